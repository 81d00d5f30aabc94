"""Take accepted sockets in: how many, whose, and until when (edge).

A connection is counted with its job from the accept on where the listener says whose it
is, and otherwise from the first request that shows it. Until then it is a stranger's.
Strangers are counted by where they come from: so a client that floods a shared listener
ends at its own bound, and the others find room to show who they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
import time
from typing import TYPE_CHECKING

from .connection import Connection
from .entrance import Entrance
from .errors import ProxyError, Reason
from .exchange import Exchange
from .job import Job
from .peer import Origin, Peer
from .strangers import Strangers
from .visit import NOTHING_SHOWN, Visit

if TYPE_CHECKING:
    from .gate import Gate

#: Descriptors kept for everything that is not a connection.
RESERVED_DESCRIPTORS = 256
#: Both legs of a connection, spliced or not, and for every second one two of the ``spare``.
DESCRIPTORS_PER_CONNECTION = 3

# struct ucred: pid, uid, gid (unix(7)).
_UCRED = struct.Struct("=iII")


class Reception:
    """The open connections of a gate.

    Args:
        gate: Whose connections these are.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], Job] = {}
        self._strangers = Strangers()
        self._origins: dict[asyncio.Task[None], Origin] = {}  # of the strangers among the tasks
        self._empty = asyncio.Event()  # for those who wait until it is
        # Once for all: each connection has both for as long as it is open.
        self._on_gone = self._gone
        self._adopter = self._adopt

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def open(self) -> list[Connection]:
        """Those that are served."""
        return [connection for job in set(self._tasks.values()) for connection in job.open]

    def accepted(self, entrance: Entrance, sock: socket.socket, text: str, shown: Job | None = None) -> None:
        """Take an accepted socket in; over a cap it is heard and refused, far over it closed unheard.

        Args:
            entrance: Of the listener.
            sock: Connected, non-blocking.
            text: The peer's address.
            shown: Whose the process that accepted it has seen it to be, by a head that is there: it is
                counted with that job from now on, and each request is judged as ever.
        """
        gate = self._gate
        uid = _uid_behind(sock) if sock.family == socket.AF_UNIX else None
        peer = tuple.__new__(Peer, (text, uid))  # without a function in Python for it
        job = entrance.anyones(peer)
        if job is None:
            if not entrance.welcomes(peer):
                sock.close()
                self._log_unwelcome(peer)
                return
            if shown is not None and shown.connections < shown.caps.heard:
                job = shown
            elif gate.takes(sock, peer):
                return
        if len(self._tasks) >= gate.max_heard or (
            job.connections >= job.caps.heard if job is not None else not self._lets_in(peer)
        ):
            sock.close()
            return
        refusal: Reason | None = None
        if job is not None and job.connections >= job.caps.connections:
            refusal = Reason.CONNECTIONS
        elif len(self._tasks) >= gate.max_connections:
            refusal = Reason.OVERLOADED
        owner = gate.nobody if job is None else job
        visit = Visit(entrance, peer, owner, gate.nobody, self._adopter, refusal)
        if job is not None and job is shown:
            visit.stranger = NOTHING_SHOWN
        connection = Connection(gate, visit, gate.wire(sock, owner.up), self._loop.time())
        serving = connection.run() if job is not None else self._serve_here(connection, sock, peer)
        task = connection.task = self._loop.create_task(serving, name="jobgate-connection")
        self._tasks[task] = owner
        owner.connections += 1
        if job is None:
            self._origins[task] = peer.origin
        task.add_done_callback(self._on_gone)

    async def emptied(self) -> None:
        """Return when no connection is open."""
        while self._tasks:
            self._empty.clear()
            await self._empty.wait()

    async def close(self, drain_s: float) -> None:
        """Let what runs end for so long, then cut it."""
        for connection in self.open:
            connection.leave()
        if drain_s > 0 and self._tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.emptied(), drain_s)
        for connection in self.open:
            connection.cut()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    # --- inside --------------------------------------------------------------------

    def _lets_in(self, peer: Peer) -> bool:
        """Say whether one more stranger is heard, and count him."""
        each = self._gate.settings.limits.max_connections_per_job
        return self._strangers.enter(peer.origin, each=each, in_all=max(1, self._gate.max_connections // 2))

    async def _serve_here(self, connection: Connection, sock: socket.socket, peer: Peer) -> None:
        """Serve a stranger, unless another process does."""
        if not await self._gate.leads_on(sock, peer):
            await connection.run()

    def _adopt(self, job: Job) -> Reason | None:
        """Count the stranger's connection that this task serves with its job from now on.

        Returns:
            Why nothing is served on it, where the job has too many.

        Raises:
            ProxyError: ``connections``: it has so many too many that this one stays a stranger's.
        """
        if job.connections >= job.caps.heard:
            raise ProxyError(Reason.CONNECTIONS)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (for the type checker)
        self._strangers.leave(self._origins.pop(task))
        self._tasks[task].connections -= 1
        self._tasks[task] = job
        job.connections += 1
        return Reason.CONNECTIONS if job.connections > job.caps.connections else None

    def _gone(self, task: asyncio.Task[None]) -> None:
        job = self._tasks.pop(task)
        job.connections -= 1
        if task in self._origins:
            self._strangers.leave(self._origins.pop(task))
        if job is not self._gate.nobody:
            self._gate.forget(job)
        if not self._tasks:
            self._empty.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "a connection of the gate failed", "exception": error, "task": task}
            )

    def _log_unwelcome(self, peer: Peer) -> None:
        """Log who was closed unheard, as a request that nobody made out."""
        gate = self._gate
        exchange = Exchange(
            gate.nobody.id, f"{peer.text}:{peer.uid}", gate.nobody.usage, gate.journal, time.monotonic
        )
        exchange.finish(Reason.UNKNOWN_JOB)


def spare(max_connections: int) -> int:
    """Return how many connections above the cap are heard, and how many upstream ones are kept idle."""
    return (max_connections + 1) // 2


def effective_connections(configured: int) -> int:
    """Bound the configured number of connections by the descriptors that the process may open."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(configured, (descriptors - RESERVED_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION))


def _uid_behind(sock: socket.socket) -> int:
    """Say who connected to a unix socket."""
    uid: int = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1]
    return uid
