"""The data directory of a Golem provider, read for ``jobgate admit``."""

from __future__ import annotations

from pathlib import Path
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
        The provider, and what of its whitelist could not be taken.

    Raises:
        click.UsageError: Something in it cannot be read.
    """
    rules, whitelist = folder / "rules.json", folder / "domain_whitelist.json"
    if not rules.exists() and not whitelist.exists():
        raise click.UsageError(f"{folder}: has neither rules.json nor domain_whitelist.json")
    notes: list[str] = []
    try:
        decided = read_rules(read_text(rules), str(rules)) if rules.exists() else OutboundRules()
        allowed = None
        if whitelist.exists():
            imported = import_patterns(read_whitelist(read_text(whitelist), str(whitelist)))
            notes = [f"{refused.source}: not taken: {refused.problem}" for refused in imported.refused]
            allowed = imported.rules()
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
    anchors = [
        certificate
        for name in _CERTIFICATES
        for file in sorted((folder / name).glob("*"))
        for certificate in _certificates(file)
    ]
    return Provider(decided, allowed, tuple(anchors)), notes


def _certificates(file: Path) -> list[x509.Certificate]:
    """The X.509 certificates of a file; Golem's own kind, which stands beside them, is none."""
    try:
        return read_certificates(file.read_bytes())
    except SignatureError:
        return []
    except OSError as error:
        raise click.UsageError(f"{file}: cannot be read: {error.strerror}") from None
