"""What the soak sends: content that a seed and a size decide, at both ends alike."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import struct
from collections.abc import Iterator
from typing import Protocol

PIECE_BYTES = 16384
_POOL = hashlib.shake_128(b"jobgate soak").digest(1 << 20)
_CHUNK_SIZE = re.compile(rb"[0-9a-f]{1,8}\r\n")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Ended(Exception):
    """The stream ended where more had to come."""


class Hash(Protocol):
    """What ``hashlib`` returns."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def pieces(seed: int, size: int) -> Iterator[bytes]:
    """Give the content in pieces; a piece that is lost, doubled or out of order changes the hash."""
    for number, start in enumerate(range(0, size, PIECE_BYTES)):
        offset = (seed * 7919 + number * 104729) % (len(_POOL) - PIECE_BYTES)
        yield _POOL[offset : offset + min(PIECE_BYTES, size - start)]


def content(seed: int, size: int) -> bytes:
    """Give the whole content."""
    return b"".join(pieces(seed, size))


def digest(seed: int, size: int) -> str:
    """Give the content's hash."""
    found = hashlib.sha256()
    for piece in pieces(seed, size):
        found.update(piece)
    return found.hexdigest()


def is_beginning(data: bytes, seed: int, size: int) -> bool:
    """Say whether these bytes are what the content begins with."""
    return len(data) <= size and content(seed, size).startswith(data)


async def take(reader: asyncio.StreamReader, size: int, found: Hash) -> None:
    """Read exactly so much into a hash.

    Raises:
        Ended: Less came.
    """
    while size:
        data = await reader.read(min(size, 65536))
        if not data:
            raise Ended(f"{size} bytes are missing")
        size -= len(data)
        found.update(data)


async def take_all(reader: asyncio.StreamReader, found: Hash) -> int:
    """Read until the end into a hash; return how much came."""
    size = 0
    while data := await reader.read(65536):
        size += len(data)
        found.update(data)
    return size


async def take_chunked(reader: asyncio.StreamReader, found: Hash) -> int:
    """Read a chunked message without extensions and trailers; return the content's size.

    Raises:
        Ended: It was cut.
        ValueError: It is not well-formed.
    """
    size = 0
    while True:
        line = await line_of(reader)
        if not _CHUNK_SIZE.fullmatch(line.lower()):
            raise ValueError(f"not the size of a chunk: {line[:40]!r}")
        n = int(line, 16)
        await take(reader, n, found)
        if await line_of(reader) != b"\r\n":
            raise ValueError("no line end behind a chunk")
        if not n:
            return size
        size += n


async def line_of(reader: asyncio.StreamReader) -> bytes:
    """Read a line with its end.

    Raises:
        Ended: The stream ended first.
    """
    return await up_to(reader, b"\n")


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """Read a head with its blank line.

    Raises:
        Ended: The stream ended first.
    """
    return await up_to(reader, b"\r\n\r\n")


async def up_to(reader: asyncio.StreamReader, separator: bytes) -> bytes:
    """Read until a separator, which is included.

    Raises:
        Ended: The stream ended first.
    """
    try:
        return await reader.readuntil(separator)
    except asyncio.IncompleteReadError as error:
        raise Ended(f"the end after {error.partial[:80]!r}") from None


def field(head: bytes, name: str) -> str:
    """Return the value of a field of a head, ``""`` if it is not there."""
    found = re.search(rf"(?im)^{name}:[ \t]*(.*?)[ \t]*\r$", head.decode("latin-1"))
    return found[1] if found else ""


def chunk(data: bytes) -> bytes:
    """Write a chunk; of nothing, the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST at once, if it is open; what was not sent is thrown away."""
    sock = writer.get_extra_info("socket")
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
