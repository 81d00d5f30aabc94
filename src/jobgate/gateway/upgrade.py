"""A new process takes the listeners over from the one that serves, which lets its connections end (edge).

The process that serves hears on a unix socket beside the control socket. The new one connects,
gets copies of the listening sockets and all that is known of jobs, prepares, and says ``go``;
the old one stops accepting and says ``detached``; the new one serves and says ``ready``. If
that fails at any point before, the old one goes on as if nothing had been asked. From the
first word on all these processes share the jobs' rates equally; when one ends, the
connection to it breaks and the others' shares grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from jobgate.config.endpoints import Endpoint, UnixPath

from .alone import UpgradeError
from .handover import Handover, give, take
from .link import Link, LinkError

logger = logging.getLogger("jobgate")

#: Of what is said; a process that speaks another one is refused.
VERSION = 1
#: For the new process to open its state file and its listeners.
PREPARE_S = 60.0
#: For anything that needs no more than a turn of the loop.
ANSWER_S = 10.0
#: After a connection that could not be accepted.
PAUSE_S = 1.0

_NOBODY = frozenset({errno.ENOENT, errno.ECONNREFUSED})


class Host(Protocol):
    """The process that serves, as far as it can be taken over from."""

    def frozen(self) -> AbstractAsyncContextManager[Handover]:
        """Give everything away while the block is entered: no job changes meanwhile."""

    def detach(self) -> None:
        """Stop accepting; the listening sockets stay open."""

    def resume(self) -> None:
        """Accept again."""


def upgrade_path(control: Endpoint | UnixPath | None) -> UnixPath | None:
    """Say where the process that serves is asked; ``None`` where it has no control socket with a path."""
    return UnixPath(f"{control.path}.upgrade") if isinstance(control, UnixPath) else None


class Team:
    """The processes that serve the same jobs: this one, and those before it whose connections still run.

    Args:
        set_share: Takes this process's part of every rate.
    """

    def __init__(self, set_share: Callable[[float], None]) -> None:
        self._set_share = set_share
        self._watching: dict[Link, asyncio.Task[None]] = {}
        self._guests = 0

    @property
    def drainers(self) -> list[Link]:
        """Links to the processes before this one."""
        return list(self._watching)

    async def join(self, link: Link) -> None:
        """Count a process that drains from now on, until it ends."""
        self._watching[link] = asyncio.create_task(self._watch(link), name="jobgate-drainer")
        await self.share()

    async def share(self, *, guests: int = 0) -> None:
        """Give each process an equal part.

        Args:
            guests: Processes that are about to serve, too.
        """
        self._guests = guests
        size = 1 + len(self._watching) + guests
        self._set_share(1 / size)
        await self.tell({"of": size})

    async def tell(self, body: Mapping[str, object]) -> None:
        """Send something to all that drain; who has ended meanwhile misses nothing."""
        for link in self.drainers:
            with contextlib.suppress(LinkError):  # its watcher sees that, too
                await link.send(body)

    async def leave(self) -> None:
        """Have another process watch those that drain."""
        watching, self._watching = self._watching, {}
        for task in watching.values():
            task.cancel()
        if watching:
            await asyncio.wait(watching.values())
        for link in watching:
            link.close()

    async def _watch(self, link: Link) -> None:
        try:
            while True:
                await link.receive()
        except LinkError:
            del self._watching[link]
            link.close()
            await self.share(guests=self._guests)


class Predecessor:
    """The process that has served so far, as the new one sees it.

    Attributes:
        handover: What it gave.
    """

    def __init__(self, link: Link, handover: Handover) -> None:
        self.handover = handover
        self._link = link

    async def detach(self) -> None:
        """Have it stop accepting. If it has ended, it has stopped.

        Raises:
            UpgradeError: It does not.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._link.send({"go": True})
                await _expect(self._link, "detached")
        except LinkError:
            return
        except TimeoutError:
            raise UpgradeError("the process that serves does not let go of its listeners") from None

    async def retire(self, team: Team) -> None:
        """Tell it to care for its connections alone; take it into a team, and those before it."""
        with contextlib.suppress(LinkError):  # it has ended: the team will see
            await self._link.send({"ready": True})
        drainers, self.handover.drainers = self.handover.drainers, []
        for link in (*drainers, self._link):
            await team.join(link)

    def close(self) -> None:
        """Give up: it goes on as before."""
        self.handover.close()
        self._link.close()


async def meet(path: UnixPath) -> Predecessor | None:
    """Ask the process that serves for everything it has; ``None`` if there is none.

    Raises:
        UpgradeError: It does not answer, or as nothing that is known here.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link = Link(sock)
    code = sock.connect_ex(path.path)
    try:
        if code in _NOBODY:
            link.close()
            return None
        if code:
            raise UpgradeError(f"cannot connect to {path}: {errno.errorcode[code]}")
        if not link.is_trusted():
            raise UpgradeError(f"{path} belongs to another user")
        async with asyncio.timeout(PREPARE_S):
            await link.send({"take_over": VERSION})
            return Predecessor(link, await take(link))
    except (LinkError, TimeoutError) as error:
        link.close()
        raise UpgradeError(f"cannot take over by {path}: {str(error) or 'no answer'}") from error
    except BaseException:
        link.close()
        raise


class UpgradeServer:
    """Lets a new process take over.

    Args:
        listener: Where it is asked.
        host: This process.
        team: Those that drain are handed on.
    """

    def __init__(self, listener: socket.socket, host: Host, team: Team) -> None:
        self._listener = listener
        self._host = host
        self._team = team

    async def run(self) -> Link:
        """Return the link to the new process once it serves; this one has stopped accepting then."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # no descriptor left, most likely
                logger.warning("cannot be asked for the listeners for the moment: %s", error.strerror)
                await asyncio.sleep(PAUSE_S)
                continue
            with contextlib.ExitStack() as undo:
                link = Link(sock)
                undo.callback(link.close)
                if not link.is_trusted():
                    continue
                try:
                    await self._hand_over(link)
                except (LinkError, TimeoutError) as error:
                    logger.warning("a new process did not take over: %s", str(error) or "it was too slow")
                    continue
                undo.pop_all()
                return link

    async def _hand_over(self, link: Link) -> None:
        async with asyncio.timeout(ANSWER_S):
            asked = await link.receive()
        if asked.body != {"take_over": VERSION}:
            await link.send({"error": f"this process can be taken over by version {VERSION} only"})
            raise LinkError("it speaks another version")
        async with self._host.frozen() as handover:
            handover.drainers = self._team.drainers
            await self._team.share(guests=1)
            try:
                async with asyncio.timeout(PREPARE_S):
                    await give(link, handover)
                    await _expect(link, "go")
                await self._let_go(link)
            except BaseException:
                await self._team.share()
                raise
        await self._team.leave()

    async def _let_go(self, link: Link) -> None:
        self._host.detach()
        try:
            async with asyncio.timeout(ANSWER_S):
                await link.send({"detached": True})
                await _expect(link, "ready")
        except BaseException:
            self._host.resume()
            raise


async def _expect(link: Link, word: str) -> None:
    message = await link.receive()
    if word not in message.body:
        raise LinkError(f"it says {sorted(message.body)} instead of {word}")


async def follow(
    link: Link,
    set_share: Callable[[float], None],
    heed: Callable[[Mapping[str, object]], Awaitable[None]],
) -> None:
    """While this process drains, do as the one that serves says; return when that has ended.

    Args:
        link: To that process.
        set_share: Takes this process's part of every rate.
        heed: Takes everything else that is said.
    """
    size = 2
    try:
        while True:
            body = (await link.receive()).body
            match body:
                case {"of": int(size)} if size > 0:
                    set_share(1 / size)
                case _:
                    await heed(body)
    except LinkError:
        set_share(1 / max(1, size - 1))
