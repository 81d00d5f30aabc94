"""JSON documents of strangers: read strictly, so that two readers cannot see two different jobs. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

#: Of a job or a manifest, in characters; those that are seen have some thousand.
MAX_DOCUMENT_CHARS = 4 << 20
#: Chains of certificates go deepest, by four levels each.
MAX_DEPTH = 64


class DocumentError(ValueError):
    """A document that cannot be read; the message has its place and shows nothing of its content."""


def read_json(text: str, place: str) -> object:
    """Read a JSON text.

    Raises:
        DocumentError: It is too long or too deep or not JSON, has a key twice, or NaN.
    """
    if len(text) > MAX_DOCUMENT_CHARS:
        raise DocumentError(f"{place}: more than {MAX_DOCUMENT_CHARS} characters")

    def pairs(members: list[tuple[str, object]]) -> dict[str, object]:
        document = dict(members)
        if len(document) != len(members):
            raise DocumentError(f"{place}: not accepted: a key is there twice in one object")
        return document

    def constant(name: str) -> object:
        raise DocumentError(f"{place}: not JSON: {name}")

    try:
        document: object = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except DocumentError:
        raise
    except RecursionError:
        raise DocumentError(f"{place}: nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, and int() of too many digits
        raise DocumentError(f"{place}: not JSON: {error}") from None
    if _is_deep(document):
        raise DocumentError(f"{place}: nested too deeply")
    return document


def _is_deep(document: object) -> bool:
    """Say whether a document has more than ``MAX_DEPTH`` levels; whoever reads it goes down by recursion."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def member(table: Mapping[str, object], *names: str) -> object:
    """Take a member by its name, whatever its case; ``None`` if there is none.

    Case is that of Unicode: Go, too, takes ``Ta\u017fks`` (with a long s) for ``Tasks``.

    Raises:
        DocumentError: Two members have that name, spelled differently: readers could take either.
    """
    wanted = {name.casefold() for name in names}
    found = [key for key in table if key.casefold() in wanted]
    if len(found) > 1:
        raise DocumentError(f"{' and '.join(sorted(found))}: two spellings of one key")
    return table[found[0]] if found else None


def decode_base64(text: str, what: str) -> bytes:
    """Decode base64; blanks and line breaks inside do not matter.

    Raises:
        DocumentError: It is something else.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise DocumentError(f"{what}: not base64") from None


def decode_text(raw: bytes, what: str) -> str:
    """Decode UTF-8.

    Raises:
        DocumentError: It is something else; nothing is replaced, so that all readers see one text.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{what}: not UTF-8 at byte {error.start}") from None
