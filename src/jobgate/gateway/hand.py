"""One worker as the main process sees it: started, told, asked, and started again when it has died (edge)."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from jobgate import __version__

from .link import Link, LinkError
from .outbox import Connection, Message, drop, forget, keep_connections, next_of
from .recovery import ending, pause_s
from .spawn import reap, spawn
from .workers import WorkerError

#: For a worker to load its modules, on a busy machine.
START_S = 60.0
#: A worker that lived so long has recovered: the next start is at once again.
RECOVERED_S = 60.0
#: For an answer that somebody waits for; without it what was known before is shown.
ANSWER_S = 1.0
#: A change is in force then, or its worker stands still.
SETTLE_S = 10.0
#: Connections that wait for a worker which is being started: as many as a backlog.
MAX_WAITING = 1024


class Owner(Protocol):
    """Whose workers these are."""

    def introduce(self, hand: Hand) -> None:
        """Tell a worker that has just started everything it must know."""

    def heard(self, hand: Hand, body: Mapping[str, object]) -> None:
        """Take what a worker says by itself, and answers that come too late for who asked."""

    def lost(self, hand: Hand, problem: str, restart_s: float | None) -> None:
        """A worker has died, and is started again after so many seconds; ``None``: it is not."""

    def back(self, hand: Hand) -> None:
        """It was started again."""


class Hand:
    """One of the workers.

    Args:
        number: From 1.
        arguments: Of the worker's ``main``, behind the descriptor of its link.
        owner: Whose it is.
        clock: Monotonic seconds.
        sleep: For tests.

    Attributes:
        pid: Of the process that is there, or was last.
        is_up: It takes what is told.
    """

    def __init__(
        self,
        number: int,
        arguments: Sequence[str],
        owner: Owner,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = number
        self.pid = 0
        self.is_up = False
        self._arguments = arguments
        self._owner = owner
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._outbox: deque[Message] = deque()
        self._waiting: deque[Message] = deque()
        self._is_due = False
        self._blocked = asyncio.Event()
        self._marks: dict[int, asyncio.Future[Mapping[str, object] | None]] = {}
        self._mark = 0
        self._failures = 0
        self._closing = False
        self._restarts = True
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and again whenever it dies.

        Raises:
            WorkerError: It does not come up this first time.
        """
        await self._begin()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())
        self._keeper.add_done_callback(_tell_defect)

    def post(self, body: Mapping[str, object], sock: socket.socket | None = None) -> None:
        """Tell it something, in order; one that is not there learns it all when it starts.

        Args:
            body: Whatever JSON can say.
            sock: The worker gets a duplicate.
        """
        if self.is_up:
            self._outbox.append((body, None if sock is None else os.dup(sock.fileno())))
            self._send_soon()

    def pass_on(self, sock: socket.socket, text: str, job_id: str) -> None:
        """Give it a connection, now or when it is there again; where too many wait already, nobody gets it.

        Args:
            sock: Connected; closed here.
            text: The peer's address.
            job_id: Whose it seems to be.
        """
        queue = self._outbox if self.is_up else self._waiting
        if len(queue) < MAX_WAITING and (self.is_up or (self._restarts and not self._closing)):
            queue.append((Connection(text, sock.family, job_id), sock.detach()))
            self._send_soon()
        else:
            sock.close()

    async def ask(
        self, body: Mapping[str, object], patience_s: float = ANSWER_S
    ) -> Mapping[str, object] | None:
        """Ask it something, behind all that was told before; ``None``: there was no answer."""
        if not self.is_up:
            return None
        self._mark += 1
        mark = self._mark
        answer: asyncio.Future[Mapping[str, object] | None] = asyncio.get_running_loop().create_future()
        self._marks[mark] = answer
        self.post({**body, "mark": mark})
        try:
            async with asyncio.timeout(patience_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._marks.pop(mark, None)

    def retire(self) -> None:
        """Do not start it again if it dies: what it serves ends with it."""
        self._restarts = False

    def expect_end(self) -> None:
        """Do not start it again."""
        self._closing = True
        drop(self._waiting)

    async def ended(self) -> None:
        """Return when it has ended for good."""
        if self._keeper is not None:
            await asyncio.shield(self._keeper)

    async def kill(self) -> None:
        """End it now."""
        self.expect_end()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._process is not None:
            self._process.kill()
        await self._bury()

    # --- inside -----------------------------------------------------------------------

    async def _begin(self) -> None:
        """Start the process and introduce it to its work.

        Raises:
            WorkerError: It does not come up.
        """
        try:
            self._process, self._link = spawn(self._arguments)
            self.pid = self._process.pid
            async with asyncio.timeout(START_S):
                version = (await self._link.receive()).body.get("worker")
            if version != __version__:
                raise LinkError(f"the program is version {version} now: take over or restart the gateway")
            self._began_at = self._clock()
            self.is_up = True
            self._owner.introduce(self)  # which may take descriptors that there are none of
        except (OSError, LinkError, TimeoutError) as error:
            problem = await self._bury()
            reason = str(error) or "it is too slow"
            raise WorkerError(f"worker {self.number} does not start: {reason} ({problem})") from error
        self._outbox.extend(self._waiting)
        self._waiting.clear()
        self._send_soon()

    async def _keep(self) -> None:
        """Talk to it until it ends; start it anew as often as that takes."""
        while True:
            await self._talk()
            lived_s = self._clock() - self._began_at
            problem = await self._bury()
            self._failures = 1 if lived_s >= RECOVERED_S else self._failures + 1
            if not self._closing:
                await self._begin_again(problem)
            if not self.is_up:
                return

    async def _begin_again(self, problem: str) -> None:
        """Start it after a pause, until it stays up, unless it is not to be started."""
        while not self.is_up:
            pause = pause_s(self._failures)
            self._owner.lost(self, problem, pause if self._restarts else None)
            if not self._restarts:
                return
            await asyncio.sleep(pause)
            try:
                await self._begin()
            except WorkerError as error:
                problem = str(error)
                self._failures += 1
        self._owner.back(self)

    async def _talk(self) -> None:
        """Return when it has ended."""
        link = self._link
        assert link is not None  # noqa: S101 (for the type checker)
        sending = asyncio.get_running_loop().create_task(self._send_blocked(link))
        try:
            while True:
                body = (await link.receive()).body
                answer = self._marks.get(mark) if isinstance(mark := body.get("mark"), int) else None
                if answer is not None and not answer.done():
                    answer.set_result(body)
                else:  # nobody has asked, or nobody waits any more
                    self._owner.heard(self, body)
        except LinkError:
            pass
        finally:
            sending.cancel()
            await asyncio.wait({sending})

    def _send_soon(self) -> None:
        """Send all that is said in this turn of the loop together, at its end."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._send_now)

    def _send_now(self) -> None:
        self._is_due = False
        try:
            while self._outbox and self._link is not None:
                size, body, descriptors = next_of(self._outbox)
                if not self._link.send_now(body, descriptors):
                    self._blocked.set()
                    return
                forget(self._outbox, size)
        except LinkError:
            return  # who receives sees that, too

    async def _send_blocked(self, link: Link) -> None:
        """Send, whenever the link is full, what it had no room for."""
        try:
            while True:
                await self._blocked.wait()
                self._blocked.clear()
                while self._outbox:
                    size, body, descriptors = next_of(self._outbox)
                    await link.send(body, descriptors)
                    forget(self._outbox, size)
        except LinkError:
            return

    async def _bury(self) -> str:
        """Let go of a process that has ended, or is to; say how it ended."""
        self.is_up = False
        if self._link is not None:
            self._link.close()
            self._link = None
        self._waiting.extend(keep_connections(self._outbox))
        if self._closing or not self._restarts:
            drop(self._waiting)
        for answer in self._marks.values():
            if not answer.done():
                answer.set_result(None)
        if self._process is None:
            return ""
        code = await reap(self._process)
        self._process = None
        return ending(code)


def _tell_defect(keeper: asyncio.Task[None]) -> None:
    if not keeper.cancelled() and (error := keeper.exception()) is not None:
        context = {"message": "a worker is not kept any more", "exception": error}
        keeper.get_loop().call_exception_handler(context)
