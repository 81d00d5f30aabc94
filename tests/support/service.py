"""A service that runs on the test's own loop, and what it says of itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from jobgate.gateway.service import Service, serve
from jobgate.proxy.journal import Journal

from .gate import RecordingWriter

DEADLINE_S = 10.0


class Running:
    """The service as its surroundings see it.

    Attributes:
        said: What it told, in order: ``ready``, ``reloading``, ``reloaded``, ``stopping``, ``log``.
        problems: What did not work.
        listen: Where its jobs listened when it was ready.
        besides: Where it listened itself.
        log: Its lines.
    """

    def __init__(self, service: Service) -> None:
        self.said: list[str] = []
        self.problems: list[str] = []
        self.listen: dict[str, str] = {}
        self.besides: dict[str, object] = {}
        self.log = RecordingWriter()
        self._changes = self.log.changes
        self.task = asyncio.get_running_loop().create_task(serve(service, self, Journal(self.log)))
        self.task.add_done_callback(lambda _: self._changes.notify())

    def ready(self, listen: Mapping[str, str], besides: Mapping[str, object]) -> None:
        self.listen.update(listen)
        self.besides.update(besides)
        self._say("ready")

    def reloading(self) -> None:
        self._say("reloading")

    def reloaded(self) -> None:
        self._say("reloaded")

    def stopping(self) -> None:
        self._say("stopping")

    def over(self) -> None:
        self._say("over")

    def problem(self, text: str) -> None:
        self.problems.append(text)
        self._changes.notify()

    def reopen_log(self) -> None:
        self._say("log")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that it says, or for its end."""
        await self._changes.until(lambda: condition() or self.task.done(), DEADLINE_S)

    async def until_said(self, word: str, times: int = 1) -> None:
        """Wait until it has said something so many times."""
        await self.until(lambda: self.said.count(word) >= times)

    async def ended(self) -> None:
        """Wait for its end."""
        await asyncio.wait_for(self.task, DEADLINE_S)

    async def reload(self) -> None:
        """Ask for a reload by signal and wait until it is over."""
        times = self.said.count("reloaded") + 1
        os.kill(os.getpid(), signal.SIGHUP)
        await self.until_said("reloaded", times)

    def connected(self, job: str = "train") -> socket.socket:
        """Connect to a job's listener, without the resolver's threads: they would take our signals."""
        host, _, port = self.listen[job].rpartition(":")
        return socket.create_connection((host, int(port)))

    @asynccontextmanager
    async def tunnel(
        self, authority: str, job: str = "train"
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A tunnel through the service."""
        reader, writer = await asyncio.open_connection(sock=self.connected(job))
        try:
            writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
            assert head.startswith(b"HTTP/1.1 200 ")
            yield reader, writer
        finally:
            writer.close()

    def _say(self, word: str) -> None:
        self.said.append(word)
        self._changes.notify()


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Running]:
    """Run a service inside the block; two signals end it."""
    started = Running(service)
    try:
        await started.until_said("ready")
        if started.task.done():
            await started.task
        yield started
    finally:
        if not started.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
            await started.until_said("stopping")
            os.kill(os.getpid(), signal.SIGTERM)
            await started.ended()


@asynccontextmanager
async def echo_origin() -> AsyncIterator[int]:
    """An origin that sends back what it gets; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(100):
                writer.write(piece)
        except ConnectionError:
            pass
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    async with await asyncio.start_server(echo, sock=listener) as server:
        yield server.sockets[0].getsockname()[1]
