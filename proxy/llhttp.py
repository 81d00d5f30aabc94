"""The second reader of every head: llhttp, through httptools.

It is given heads that ``grammar.py`` accepted, never content, and says which fields
it sees or why it refuses. What it lets through by itself is not relied upon.
"""

from __future__ import annotations

from typing import TypeAlias

import httptools

from .framing import Headers
from .grammar import FIELD, TRAILING_BLANKS

_ParserType: TypeAlias = type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser]


class _Fields:
    """Collects fields; llhttp leaves the blanks behind a value in it."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value.strip(b" \t")))


#: Listens to nothing that a parser finds.
_NOBODY = object()


def read_request_fields(raw: bytes) -> tuple[Headers, str | None]:
    """Split the fields of a request head.

    Returns:
        All fields, and why llhttp refuses the head, or ``None``.
    """
    return _read(httptools.HttpRequestParser, raw)


def read_response_fields(raw: bytes) -> tuple[Headers, str | None]:
    """Split the fields of a response head; as ``read_request_fields``."""
    return _read(httptools.HttpResponseParser, raw)


def accepts_request(raw: bytes) -> bool:
    """Say whether llhttp accepts a request head as it stands; its fields are not split."""
    return _accepts(httptools.HttpRequestParser, raw)


def accepts_response(raw: bytes) -> bool:
    """Say whether llhttp accepts a response head; as ``accepts_request``."""
    return _accepts(httptools.HttpResponseParser, raw)


def _accepts(parser_type: _ParserType, raw: bytes) -> bool:
    try:
        parser_type(_NOBODY).feed_data(raw)
    except httptools.HttpParserUpgrade:  # as below
        return True
    except httptools.HttpParserError:
        return False
    return True


def _read(parser_type: _ParserType, raw: bytes) -> tuple[Headers, str | None]:
    fields = _Fields()
    try:
        parser_type(fields).feed_data(raw)
    except httptools.HttpParserUpgrade:
        # CONNECT, or an upgrade: llhttp stops behind the head, which is all it was given.
        return fields.headers, None
    except httptools.HttpParserError as error:
        # It refuses legal blanks behind "chunked" (RFC 9110 §5.5): give it the head without them.
        cleaned = TRAILING_BLANKS.sub(b"\r\n", raw)
        if cleaned != raw:
            return _read(parser_type, cleaned)
        return FIELD.findall(raw, raw.find(b"\n") + 1), str(error)
    return fields.headers, None
