"""The origin and the name server of the soak; ends when its standard input does.

In a tunnel the first line says what to do: a verb, a seed and a size. Anything else
is HTTP/1.1. Whatever arrives is hashed, and whoever sent it is told the hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections import OrderedDict

from soak_content import (
    Ended,
    chunk,
    content,
    digest,
    field,
    head_of,
    line_of,
    pieces,
    reset,
    take,
    take_all,
    take_chunked,
)
from soak_names import serve_names

PORT, RESET_PORT = 9000, 9009
#: One exchange, or the wait for it: a peer whose reset was lost is not waited for.
_PATIENCE_S = 90.0
_REMEMBERED = 1000


class Origin:
    """Serves both ports."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, str] = OrderedDict()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until its end."""
        try:
            while True:
                async with asyncio.timeout(_PATIENCE_S):
                    line = await line_of(reader)
                    if not line.endswith(b" HTTP/1.1\r\n"):
                        verb, seed, size = line.split()
                        await self._tunnel(verb, int(seed), int(size), reader, writer)
                        break
                    if not await answer(line, reader, writer):
                        break
        except (OSError, Ended, TimeoutError):
            writer.transport.abort()
        finally:
            with contextlib.suppress(OSError, TimeoutError):
                writer.close()
                async with asyncio.timeout(_PATIENCE_S):
                    await writer.wait_closed()

    async def _tunnel(
        self, verb: bytes, seed: int, size: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        found = hashlib.sha256()
        if verb == b"DOWN":
            await send(writer, seed, size)
            writer.write(digest(seed, size).encode())
        elif verb == b"UP":
            with contextlib.suppress(Ended):
                await take(reader, size, found)
            writer.write(found.hexdigest().encode())
        elif verb == b"ECHO":
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        elif verb == b"TELL":
            await take_all(reader, found)
            writer.write(found.hexdigest().encode())
            await send(writer, seed, size)
        elif verb == b"FIRST":
            await send(writer, seed, size)
            writer.write_eof()
            await take_all(reader, found)
            self._remember(seed, found.hexdigest())
        elif verb == b"ASK":
            writer.write(self._seen.get(seed, "nothing").encode())
        elif verb == b"BREAK":
            await send(writer, seed, size)
            reset(writer)
        elif verb == b"HANG":
            await reader.read()
        else:
            raise Ended(f"unknown {verb!r}")
        await writer.drain()

    def _remember(self, seed: int, found: str) -> None:
        self._seen[seed] = found
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


async def send(writer: asyncio.StreamWriter, seed: int, size: int) -> None:
    """Send content, no faster than it is taken."""
    for piece in pieces(seed, size):
        writer.write(piece)
        await writer.drain()


async def answer(line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one HTTP request; ``False`` when the connection is over.

    Paths are ``/KIND/SEED/SIZE``.
    """
    head = line + await head_of(reader)
    kind, seed, size = _path(line)
    if line.startswith(b"POST "):
        found = hashlib.sha256()
        if field(head, "transfer-encoding") == "chunked":
            await take_chunked(reader, found)
        else:
            await take(reader, int(field(head, "content-length")), found)
        text = found.hexdigest().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
    elif kind == "length":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await send(writer, seed, size)
    elif kind == "chunked":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces(seed, size):
            writer.write(chunk(piece))
            await writer.drain()
        writer.write(chunk(b""))
    elif kind == "close":
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        await send(writer, seed, size)
        return False
    elif kind == "socket":
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        return False
    else:
        return _break_off(kind, content(seed, size), writer)
    await writer.drain()
    return True


def _path(line: bytes) -> tuple[str, int, int]:
    kind, seed, size = line.split()[1].decode().strip("/").split("/")
    return kind, int(seed), int(size)


def _break_off(kind: str, data: bytes, writer: asyncio.StreamWriter) -> bool:
    """Answer in a way that no client may take for a whole response."""
    if kind in ("reset", "cut"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (2 * len(data), data))
    elif kind == "half":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    elif kind == "unfinished":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(data))
    if kind == "reset":
        reset(writer)
    return False


async def main(address: str) -> None:
    """Serve until the end of standard input; whoever is still connected is of no interest then."""
    origin = Origin()
    for port in (PORT, RESET_PORT):
        await asyncio.start_server(origin.serve, address, port, backlog=1024)
    await serve_names(address, 53)
    os.write(1, b"ready\n")
    await asyncio.to_thread(sys.stdin.buffer.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
