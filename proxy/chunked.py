"""The chunked coding (RFC 9112 §7.1): a strict decoder that takes what is its own.

A size is 1 to 15 hexadecimal digits, a line ends in CRLF. Extensions and trailers
are checked, bounded and dropped. Blanks before an extension are refused, which is
stricter than the RFC and as strict as llhttp.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LAST_CHUNK = b"0\r\n\r\n"

#: A size with its extensions; as much as Go's net/http takes.
MAX_LINE_BYTES = 4096
#: All trailers together.
MAX_TRAILER_BYTES = 8192
#: Bytes of size lines that content does not explain, counted as Go does since CVE-2023-39326.
MAX_OVERHEAD_BYTES = 16384
_EXPLAINED_BYTES_PER_CHUNK = 16


class ChunkedError(ValueError):
    """The coding is broken or wasteful; nothing behind this point can be trusted."""


class _Phase(NamedTuple):
    """What must come next: a whole line, and what the beginning of one looks like."""

    whole: re.Pattern[bytes]
    start: re.Pattern[bytes]
    max_bytes: int


_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# 15 digits stay below 2**60. Possessive repeats keep every expression linear.
_SIZE = rb"([0-9A-Fa-f]{1,15}+)(?:;%s*+)?+" % _TEXT

_FIRST_SIZE = _Phase(re.compile(rb"%s\r\n" % _SIZE), re.compile(rb"%s\r?" % _SIZE), MAX_LINE_BYTES)
_NEXT_SIZE = _Phase(
    re.compile(rb"\r\n%s\r\n" % _SIZE), re.compile(rb"\r(?:\n(?:%s\r?)?)?" % _SIZE), MAX_LINE_BYTES
)
_TRAILERS = _Phase(
    re.compile(rb"(?:%s++:%s*+)?+\r\n" % (_TOKEN, _TEXT)),
    re.compile(rb"\r|%s++(?::%s*+\r?)?" % (_TOKEN, _TEXT)),
    MAX_TRAILER_BYTES,
)


class ChunkedDecoder:
    """Takes the coding in any pieces, gives the content without copying it.

    Attributes:
        done: The last chunk and its trailers have been read.
        consumed: Bytes of the last feed that belonged to the message; the rest is the next one's.
    """

    __slots__ = (
        "_carry",
        "_overhead_bytes",
        "_phase",
        "_remaining_bytes",
        "_trailer_bytes",
        "consumed",
        "done",
    )

    def __init__(self) -> None:
        self.done = False
        self.consumed = 0
        self._phase = _FIRST_SIZE
        self._remaining_bytes = 0
        self._carry = b""
        self._overhead_bytes = 0
        self._trailer_bytes = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[memoryview]:
        """Decode the next bytes.

        Returns:
            Slices of ``data`` in order, none of them empty; valid as long as it is.

        Raises:
            ChunkedError: The coding is broken; what an earlier call returned stands.
        """
        view = memoryview(data)
        pieces: list[memoryview] = []
        position = 0
        while position < len(view) and not self.done:
            if self._remaining_bytes:
                piece = view[position : position + self._remaining_bytes]
                pieces.append(piece)
                self._remaining_bytes -= len(piece)
                position += len(piece)
            else:
                position = self._read_line(view, position)
        self.consumed = position
        return pieces

    def _read_line(self, view: memoryview, position: int) -> int:
        """Read one line of the phase, or keep its beginning; return where to go on."""
        if not self._carry:
            match = self._phase.whole.match(view, position)
            if match:
                self._accept(match)
                return match.end()
        # Rare: the line is cut by the end of the data, or wrong. At most its bound is copied.
        window = bytes(view[position : position + self._phase.max_bytes + 1])
        line = self._carry + window
        match = self._phase.whole.match(line) if b"\n" in window else None
        if match:
            position += match.end() - len(self._carry)
            self._carry = b""
            self._accept(match)
            return position
        if len(line) > self._phase.max_bytes or not self._phase.start.fullmatch(line):
            raise ChunkedError(
                f"no {'trailer' if self._phase is _TRAILERS else 'chunk size'} where one must be"
            )
        self._carry = line
        return position + len(window)

    def _accept(self, match: re.Match[bytes]) -> None:
        length_bytes = match.end() - match.start()
        if self._phase is _TRAILERS:
            self._trailer_bytes += length_bytes
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise ChunkedError(f"trailers are over {MAX_TRAILER_BYTES} bytes")
            self.done = length_bytes == 2
            return
        if length_bytes > MAX_LINE_BYTES:
            raise ChunkedError(f"a chunk size with its extensions is over {MAX_LINE_BYTES} bytes")
        size_bytes = int(match[1], 16)
        excess = self._overhead_bytes + length_bytes - _EXPLAINED_BYTES_PER_CHUNK - 2 * size_bytes
        self._overhead_bytes = max(0, excess)
        if excess > MAX_OVERHEAD_BYTES:
            raise ChunkedError(f"chunk extensions are over {MAX_OVERHEAD_BYTES} bytes beyond the content")
        self._remaining_bytes = size_bytes
        self._phase = _NEXT_SIZE if size_bytes else _TRAILERS


def encode_chunk(piece: bytes | memoryview) -> list[bytes | memoryview]:
    """Frame content as one chunk; nothing for empty content, which would end the message."""
    return [b"%x\r\n" % len(piece), piece, b"\r\n"] if len(piece) else []
