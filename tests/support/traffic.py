"""Live traffic for tests that only watch: an origin, and clients that ask again and again, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .messages import head

_PIECE = b"x" * 65536


class Stream(NamedTuple):
    """Requests of one client, one after the other.

    Attributes:
        proxy: Port of the gate's listener.
        urls: Asked for in turn.
        pause_s: Between two requests.
        upload_bytes: Content of each request; 0: a GET.
    """

    proxy: int
    urls: Sequence[str]
    pause_s: float = 0.0
    upload_bytes: int = 0


async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer ``GET /5000`` with so many bytes, whatever was uploaded."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            received = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = received.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or b"0"))
            left = int(received.split()[1].rpartition(b"/")[2] or b"0")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
            while left > 0:
                writer.write(_PIECE[:left])
                await writer.drain()
                left -= len(_PIECE)
    writer.close()


async def ask(proxy: int, url: str, upload_bytes: int = 0) -> int:
    """Send one request through a gate and read its answer to the end; the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
    method = "POST" if upload_bytes else "GET"
    host = url.split("/")[2]
    fields = (f"Host: {host}", f"Content-Length: {upload_bytes}", "Connection: close")
    writer.write(head(f"{method} {url} HTTP/1.1", *fields) + b"u" * upload_bytes)
    status = int((await reader.readline()).split()[1])
    while await reader.read(65536):
        pass
    writer.close()
    return status


class Traffic:
    """The thread; everything in it ends with ``traffic``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.origin_port: int = self._run(self._serve())

    def start(self, *streams: Stream) -> None:
        """Have these clients ask from now on."""
        self._run(self._start(streams))

    def ask(self, proxy: int, url: str) -> int:
        """Ask once; the status."""
        return asyncio.run_coroutine_threadsafe(ask(proxy, url), self._loop).result(20)

    def end(self) -> None:
        """End everything."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: object) -> int:
        if not asyncio.iscoroutine(work):
            raise TypeError("expected a coroutine")
        return int(asyncio.run_coroutine_threadsafe(work, self._loop).result(20) or 0)

    async def _serve(self) -> int:
        self._server = await asyncio.start_server(origin, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _start(self, streams: Sequence[Stream]) -> None:
        self._tasks += [self._loop.create_task(self._follow(stream)) for stream in streams]

    async def _follow(self, stream: Stream) -> None:
        number = 0
        while not self._stop.is_set():
            url = stream.urls[number % len(stream.urls)]
            number += 1
            with contextlib.suppress(ConnectionError, IndexError):  # the gate may end before we do
                await ask(stream.proxy, url, stream.upload_bytes)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), stream.pause_s)

    async def _end(self) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._server.close()


@contextlib.contextmanager
def traffic() -> Iterator[Traffic]:
    """Run a thread of traffic inside the block."""
    running = Traffic()
    try:
        yield running
    finally:
        running.end()
