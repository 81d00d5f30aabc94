"""The chunked coding once more, line by line over a whole input, to compare the decoder with.

Written from RFC 9112 §7.1 and the documented bounds.
"""

from __future__ import annotations

import string
from typing import NamedTuple

from jobgate.proxy.chunked import MAX_LINE_BYTES, MAX_OVERHEAD_BYTES, MAX_TRAILER_BYTES

_HEX = string.hexdigits.encode()
_TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()
_CONTROLS = bytes(byte for byte in range(32) if byte != 9) + b"\x7f"


class Decoded(NamedTuple):
    """A message: its content, and how many bytes of the input belong to it."""

    content: bytes
    consumed: int


def decode(data: bytes) -> Decoded | None:
    """Decode the message at the beginning of an input; ``None`` if it is not whole, or broken."""
    content = b""
    position = overhead = 0
    line_end = b""
    while True:
        line, found, _ = data[position:].partition(b"\r\n")
        size = _size(line) if found else None
        line_bytes = len(line_end) + len(line) + 2
        if size is None or line_bytes > MAX_LINE_BYTES:
            return None
        overhead = max(0, overhead + line_bytes - 16 - 2 * size)
        if overhead > MAX_OVERHEAD_BYTES:
            return None
        position += len(line) + 2
        if size == 0:
            end = _trailers_end(data, position)
            return None if end is None else Decoded(content, end)
        content += data[position : position + size]
        position += size
        line_end = b"\r\n"
        if data[position : position + 2] != line_end:
            return None
        position += 2


def _size(line: bytes) -> int | None:
    digits, semicolon, extension = line.partition(b";")
    if not 1 <= len(digits) <= 15 or digits.strip(_HEX):
        return None
    if semicolon and not _is_text(extension):
        return None
    return int(digits, 16)


def _trailers_end(data: bytes, position: int) -> int | None:
    begin = position
    while True:
        line, found, _ = data[position:].partition(b"\r\n")
        position += len(line) + 2
        if not found or position - begin > MAX_TRAILER_BYTES:
            return None
        if not line:
            return position
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip(_TOKEN) or not _is_text(value):
            return None


def _is_text(value: bytes) -> bool:
    return not any(byte in _CONTROLS for byte in value)
