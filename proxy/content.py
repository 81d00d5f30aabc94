"""Content on its way through: what came in, re-framed for the other side (RFC 9112 §6, §7). Pure.

Nothing is copied from the sender's framing: lengths were parsed strictly, chunks are
decoded and written anew, trailers and chunk extensions end here. What stands behind
the content is never touched, so that the next message starts where it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk


class Framing(Protocol):
    """Reads one content out of a stream and writes it as the other side wants it."""

    #: The content is whole.
    done: bool
    #: How many bytes of the last ``feed`` belonged to the content.
    consumed: int
    #: How many bytes belong to the content whatever they are, and go on as they are.
    plain_bytes: int

    def passed(self, n: int) -> None:
        """Note that so many of ``plain_bytes`` went on unread."""

    def feed(self, data: memoryview) -> Sequence[bytes | memoryview]:
        """Take bytes as they came.

        Returns:
            What to send on; views are valid until the next call.

        Raises:
            ValueError: The framing is broken.
        """


class ContentTooLarge(ValueError):
    """A chunked content grew over the configured limit (413)."""


class KnownLength:
    """Content whose length was announced: exactly that many bytes, as they are."""

    __slots__ = ("consumed", "done", "plain_bytes")

    def __init__(self, length_bytes: int) -> None:
        self.plain_bytes = length_bytes
        self.consumed = 0
        self.done = length_bytes == 0

    def feed(self, data: memoryview) -> Sequence[memoryview]:
        """Take at most what remains."""
        piece = data[: self.plain_bytes]
        self.consumed = len(piece)
        self.passed(len(piece))
        return (piece,)

    def passed(self, n: int) -> None:
        """Count what went on."""
        self.plain_bytes -= n
        self.done = self.plain_bytes == 0


class Chunked:
    """Chunked content: decoded strictly, and written as chunks of our own or, for HTTP/1.0, plain.

    Args:
        plain: Write the content without chunks; the end is then told by closing.
        max_bytes: Most content accepted; 0 is no limit.
    """

    __slots__ = ("_bytes", "_decoder", "_max_bytes", "_plain", "consumed", "done")

    plain_bytes = 0  # every byte is looked at

    def passed(self, n: int) -> None:
        """Never called."""

    def __init__(self, *, plain: bool = False, max_bytes: int = 0) -> None:
        self._decoder = ChunkedDecoder()
        self._plain = plain
        self._max_bytes = max_bytes
        self._bytes = 0
        self.consumed = 0
        self.done = False

    def feed(self, data: memoryview) -> Sequence[bytes | memoryview]:
        """Decode, and frame anew.

        Raises:
            ChunkedError: The coding is broken.
            ContentTooLarge: There is more content than allowed.
        """
        pieces = self._decoder.feed(data)
        self.consumed = self._decoder.consumed
        self.done = self._decoder.done
        self._bytes += sum(map(len, pieces))
        if self._max_bytes and self._bytes > self._max_bytes:
            raise ContentTooLarge(f"content is over {self._max_bytes} bytes")
        if self._plain:
            return pieces
        out: list[bytes | memoryview] = []
        for piece in pieces:
            out.extend(encode_chunk(piece))
        if self.done:
            out.append(LAST_CHUNK)
        return out
