"""Processes that take over from each other, all in one: what they are told, and the share that each holds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from jobgate.config.endpoints import UnixPath, parse_listen
from jobgate.gateway.handover import Handover
from jobgate.gateway.inherited import Inherited
from jobgate.gateway.link import Link, LinkError
from jobgate.gateway.listeners import open_listener
from jobgate.gateway.upgrade import Predecessor, Team, UpgradeServer, follow, meet


class Process:
    """One of them: the ``Host`` of a server, and its place in a team.

    Attributes:
        share: Of every rate.
        did: What it was told to do, in order.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.share = 1.0
        self.did: list[str] = []
        self.team = Team(self.set_share)
        self.listener = open_listener(parse_listen("127.0.0.1:0"))
        self._links: list[Link] = []
        self._tasks: list[asyncio.Future[Link] | asyncio.Future[None]] = []

    def set_share(self, share: float) -> None:
        self.share = share

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[Handover]:
        self.did.append("freeze")
        try:
            yield Handover([Inherited(self.listener, "", self.name)])
        finally:
            self.did.append("thaw")

    def detach(self) -> None:
        self.did.append("detach")

    def resume(self) -> None:
        self.did.append("resume")

    async def heed(self, body: Mapping[str, object]) -> None:
        self.did.append(" ".join(body))

    def serve(self, listener: socket.socket) -> asyncio.Future[Link]:
        """Let it be taken over from."""
        task = asyncio.ensure_future(UpgradeServer(listener, self, self.team).run())
        self._tasks.append(task)
        return task

    def drain(self, link: Link) -> None:
        """Do what it does after that."""
        self._links.append(link)
        self._tasks.append(asyncio.ensure_future(follow(link, self.set_share, self.heed)))

    async def end(self) -> None:
        """Die: the kernel closes everything."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, LinkError, TimeoutError):
                await task
        for link in self._links:
            link.close()
        self.listener.close()
        await self.team.leave()


class World:
    """A path, and who serves there."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.path = UnixPath(f"{folder}/control.sock.upgrade")
        self._stack = stack
        self.listener = stack.enter_context(open_listener(self.path))

    def processes(self, *names: str) -> list[Process]:
        made = [Process(name) for name in names]
        for process in made:
            self._stack.push_async_callback(process.end)
        return made

    async def meet(self) -> Predecessor:
        found = await meet(self.path)
        assert found is not None
        self._stack.callback(found.close)
        return found

    async def take_over(self, old: Process, new: Process) -> None:
        """Go all the way."""
        serving = old.serve(self.listener)
        found = await self.meet()
        await found.detach()
        await found.retire(new.team)
        old.drain(await serving)
