"""Load that notices every connection that is refused, broken or altered: tunnels, downloads, kept ones."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from .wait import Changes

_POOL = hashlib.shake_128(b"busy").digest(1 << 16)
#: A second at the rate of a test, for each of two: so there is one under way at every take-over.
DOWNLOAD_BYTES = 3_000_000
_DEADLINE_S = 30.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """``ECHO``, ``DOWN size``, or any number of GETs."""
    with contextlib.suppress(OSError):
        while line := await reader.readline():
            word = line.split()[0]
            if word == b"DOWN":
                for start in range(0, int(line.split()[1]), len(_POOL)):
                    writer.write(_POOL[: int(line.split()[1]) - start])
                    await writer.drain()
                break
            if word == b"ECHO":
                while data := await reader.read(4096):
                    writer.write(data)
                    await writer.drain()
                break
            while await reader.readline() not in (b"\r\n", b""):
                pass
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + _POOL[:100])
            await writer.drain()
    writer.close()


@asynccontextmanager
async def busy_origin() -> AsyncIterator[int]:
    """Serve; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with await asyncio.start_server(_origin, sock=listener) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _connected(listener: str) -> AsyncIterator[Streams]:
    if listener.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(listener.removeprefix("unix:"))
    else:
        host, _, port = listener.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


@asynccontextmanager
async def _tunnel(listener: str, authority: str) -> AsyncIterator[Streams]:
    async with _connected(listener) as (reader, writer):
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        yield reader, writer


class Talk:
    """One open tunnel, whose origin repeats what is said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def opened(cls, listener: str, origin: int) -> AsyncIterator[Self]:
        """Open it through the gate that listens there."""
        async with asyncio.timeout(_DEADLINE_S), _tunnel(listener, f"o.test:{origin}") as (reader, writer):
            writer.write(b"ECHO\n")
            yield cls(reader, writer)

    async def say(self, size: int) -> None:
        """Send so much and have it back."""
        self._writer.write(_POOL[:size])
        assert await self._reader.readexactly(size) == _POOL[:size]

    async def is_cut(self) -> bool:
        """Wait for the end, which comes from the other side; say whether it is a reset."""
        try:
            return await self._reader.read(1) != b""
        except ConnectionResetError:
            return True


class Load:
    """Clients of one listener, until they are told to end.

    Attributes:
        done: How many of each kind have succeeded.
        failures: What must not be.
        downloaded_bytes: So far, of all downloads.
    """

    def __init__(self, listener: str, origin: int) -> None:
        self._listener = listener
        self._authority = f"o.test:{origin}"
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._changes = Changes()
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.downloaded_bytes = 0

    def start(self, *, tunnels: int, downloads: int, kept: int) -> None:
        """Begin with so many clients of each kind."""
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._short, tunnels),
            (self._download, downloads),
            (self._kept, kept),
        ]
        for kind, count in kinds:
            self._tasks += [asyncio.create_task(self._again(kind)) for _ in range(count)]

    async def reach(self, kind: str, count: int) -> None:
        """Wait until so many of a kind have succeeded, or one of any kind has failed."""
        await self._changes.until(lambda: self.done[kind] >= count or bool(self.failures), _DEADLINE_S)

    async def end(self) -> None:
        """Begin nothing more, and wait until all that has begun is over."""
        self._ending = True
        async with asyncio.timeout(_DEADLINE_S):
            await asyncio.gather(*self._tasks)

    async def _again(self, kind: Callable[[], Awaitable[None]]) -> None:
        while not self._ending:
            try:
                await kind()
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append(f"{kind.__name__}: {error!r}")
                self._changes.notify()
                return

    async def _short(self) -> None:
        async with _tunnel(self._listener, self._authority) as (reader, writer):
            for size in (1, 1000):
                writer.write((b"ECHO\n" if size == 1 else b"") + _POOL[:size])
                assert await reader.readexactly(size) == _POOL[:size]
        self._succeeded("tunnel")

    async def _download(self) -> None:
        found, wanted = hashlib.sha256(), hashlib.sha256()
        async with _tunnel(self._listener, self._authority) as (reader, writer):
            writer.write(b"DOWN %d\n" % DOWNLOAD_BYTES)
            size = 0
            while data := await reader.read(65536):
                size += len(data)
                self.downloaded_bytes += len(data)
                found.update(data)
        for start in range(0, DOWNLOAD_BYTES, len(_POOL)):
            wanted.update(_POOL[: DOWNLOAD_BYTES - start])
        assert (size, found.digest()) == (DOWNLOAD_BYTES, wanted.digest())
        self._succeeded("download")

    async def _kept(self) -> None:
        """Ask on one connection until the gate says that it closes it."""
        url = f"http://{self._authority}/"
        async with _connected(self._listener) as (reader, writer):
            while not self._ending:
                writer.write(f"GET {url} HTTP/1.1\r\nHost: {self._authority}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), head
                assert await reader.readexactly(100) == _POOL[:100]
                self._succeeded("request")
                if b"\r\nconnection: close\r\n" in head.lower():
                    assert await reader.read() == b""
                    self._succeeded("close")
                    return

    def _succeeded(self, kind: str) -> None:
        self.done[kind] += 1
        self._changes.notify()
