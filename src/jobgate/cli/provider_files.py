"""The data directory of a Golem provider, read for ``jobgate admit``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

import click

from jobgate.integrations.documents import DocumentError
from jobgate.integrations.golem.provider import OutboundRules, Provider, read_rules
from jobgate.integrations.golem.signature import SignatureError, read_certificates
from jobgate.integrations.golem.whitelist import import_patterns, read_whitelist

from .import_ import read_text

if TYPE_CHECKING:
    from cryptography import x509

#: As providers name it, now and earlier.
_CERTIFICATES = ("cert-dir", "cert_dir")


def read_provider(folder: Path) -> tuple[Provider, list[str]]:
    """Read a provider's data directory; what is not there has Golem's default.

    Returns:
        The provider, and what of its whitelist and certificates could not be taken.

    Raises:
        click.UsageError: Something in it cannot be read.
    """
    rules, whitelist = folder / "rules.json", folder / "domain_whitelist.json"
    rules_text, whitelist_text = _text(rules), _text(whitelist)
    if rules_text is None and whitelist_text is None:
        raise click.UsageError(f"{folder}: has neither rules.json nor domain_whitelist.json")
    notes: list[str] = []
    try:
        decided = OutboundRules() if rules_text is None else read_rules(rules_text, str(rules))
        allowed = None
        if whitelist_text is not None:
            imported = import_patterns(read_whitelist(whitelist_text, str(whitelist)))
            notes = [f"{refused.source}: not taken: {refused.problem}" for refused in imported.refused]
            allowed = imported.rules()
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
    anchors: list[x509.Certificate] = []
    for raw, file in _certificate_files(folder):
        try:
            anchors += read_certificates(raw)
        except SignatureError as error:
            if not raw.lstrip().startswith(b"{"):  # Golem's own kind stands beside them
                notes.append(f"{file}: not taken: {error}")
    return Provider(decided, allowed, tuple(anchors)), notes


def _text(path: Path) -> str | None:
    """The text of a file; ``None``: it is not there. A link that leads nowhere is there."""
    return read_text(path) if _is_there(path) else None


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(path, error) from None
    return True


def _certificate_files(folder: Path) -> Iterator[tuple[bytes, Path]]:
    """What is in the folders of certificates; folders inside, as mounted secrets have them, are left out."""
    for place in (folder / name for name in _CERTIFICATES):
        path = place
        try:
            for path in sorted(place.iterdir()) if _is_there(place) else ():
                if S_ISREG(path.stat().st_mode):
                    yield path.read_bytes(), path
        except OSError as error:
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> click.UsageError:
    return click.UsageError(f"{path}: cannot be read: {error.strerror}")
