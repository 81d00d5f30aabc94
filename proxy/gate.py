"""The gate: jobs, their listeners, and what all connections share (edge)."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Awaitable, Sequence
from ipaddress import ip_address
from typing import Protocol

from jobgate.config.host import Address
from jobgate.config.settings import JobSettings, Settings
from jobgate.ratelimit.pacer import Pacer

from .addresses import embedded_ipv4
from .connection import Connection
from .dial import dial
from .errors import Reason
from .forward import ForwardOptions
from .head import HeadLimits
from .job import Direction, Job
from .journal import Journal
from .listener import Listener
from .pool import IdleBudget
from .resolver import Resolver
from .wire import Wire

#: Largest window of a read; the scratch buffer is shared by all connections of a gate.
SCRATCH_BYTES = 1 << 20
#: Descriptors kept for everything that is not a connection.
RESERVED_DESCRIPTORS = 256
#: Descriptors that one connection may need: both legs, and the pipes of a faster relay.
DESCRIPTORS_PER_CONNECTION = 4


class Dialer(Protocol):
    """Opens a connection to one of the vetted addresses; ``dial.dial`` outside tests."""

    def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> Awaitable[socket.socket]:
        """Return a connected non-blocking socket, or raise ``ProxyError``."""


class Gate:
    """Serves jobs until it is closed. Made, used and closed on one running loop.

    Args:
        settings: Of the node; ``settings.jobs`` are not added by themselves.
        journal: Where decision and close lines go.
        resolver: For tests; by default the configured servers are asked.
        dialer: For tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        journal: Journal,
        resolver: Resolver | None = None,
        dialer: Dialer = dial,
    ) -> None:
        limits, timeouts = settings.limits, settings.timeouts
        self.settings = settings
        self.journal = journal
        self.resolver = resolver if resolver is not None else Resolver(settings.dns)
        self.dialer = dialer
        self.draining = False
        self.jobs: dict[str, Job] = {}
        self.head_limits = HeadLimits(limits.max_head_bytes, limits.max_target_bytes, limits.max_fields)
        self.via = settings.node.via.encode("ascii")
        self.forward_options = ForwardOptions(
            self.head_limits,
            limits.max_content_bytes,
            timeouts.upstream_response_s,
            timeouts.tunnel_idle_s,
            timeouts.half_closed_s,
            self.via,
        )
        self.max_connections = effective_connections(limits.max_connections)
        self._idle_budget = IdleBudget(self.max_connections)
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(self._loop.time, self._loop.call_at)
        self._scratch = memoryview(bytearray(min(SCRATCH_BYTES, max(limits.relay_buffer_bytes, 1 << 16))))
        self._listeners: list[Listener] = []
        self._own: set[tuple[Address, int]] = set()
        self._tasks: dict[asyncio.Task[None], Job] = {}
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def add_job(self, settings: JobSettings) -> Job:
        """Register a job.

        Raises:
            PolicyError: It asks for more than the node allows.
        """
        job = self.jobs[settings.id] = Job(settings, self.settings, self._pacer, self._idle_budget)
        return job

    def listen(self, job: Job, sock: socket.socket, *, elsewhere: bool = False) -> None:
        """Accept a job's connections on a bound, listening socket, which the gate owns from now on.

        Args:
            job: Whose connections these are.
            sock: Where they come in.
            elsewhere: It was made in another network namespace: its address means something else here.
        """
        if not elsewhere and sock.family in (socket.AF_INET, socket.AF_INET6):
            host, port = sock.getsockname()[:2]
            self._own.add((ip_address(host), port))
        self._listeners.append(Listener(sock, lambda sock, peer: self._accepted(job, sock, peer)))

    def is_own(self, address: Address, port: int) -> bool:
        """Say whether an endpoint is one of the gate's own listeners, by whatever form of its address."""
        inner = embedded_ipv4(address)
        if (address, port) in self._own or (inner is not None and self.is_own(inner, port)):
            return True
        return any(port == p and host.is_unspecified for host, p in self._own) and _is_local(address)

    async def open_wire(self, sock: socket.socket, direction: Direction) -> Wire:
        """Wrap a connected socket that the given direction reads from."""
        window = self._scratch[: direction.piece_bytes]
        return await Wire.open(sock, window, self.settings.limits.max_head_bytes)

    async def close(self, drain_s: float = 0.0) -> None:
        """Stop: no new connections, no new requests; what runs has ``drain_s`` to end, then it is cut."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.leave()
        if drain_s > 0 and self._tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), drain_s)
        for connection in list(self._connections):
            connection.cut()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        for job in self.jobs.values():
            job.pool.close()
        await self.resolver.close()

    # --- inside --------------------------------------------------------------------

    def _accepted(self, job: Job, sock: socket.socket, peer: str) -> None:
        """Take an accepted socket in; over a cap it is heard and refused, far over it closed unheard."""
        in_all = len(self._tasks)
        if job.connections >= job.caps.heard or in_all >= 2 * self.max_connections:
            sock.close()
            return
        refusal: Reason | None = None
        if job.connections >= job.caps.connections:
            refusal = Reason.CONNECTIONS
        elif in_all >= self.max_connections:
            refusal = Reason.OVERLOADED
        task = self._loop.create_task(self._serve(job, sock, peer, refusal))
        self._tasks[task] = job
        job.connections += 1
        self._empty.clear()
        task.add_done_callback(self._gone)

    async def _serve(self, job: Job, sock: socket.socket, peer: str, refusal: Reason | None) -> None:
        client = await self.open_wire(sock, job.up)
        connection = Connection(self, job, client, peer, refusal)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task).connections -= 1
        if not self._tasks:
            self._empty.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "a connection of the gate failed", "exception": error, "task": task}
            )


def effective_connections(configured: int) -> int:
    """Bound the configured number of connections by the descriptors that the process may open."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(configured, (descriptors - RESERVED_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION))


def _is_local(address: Address) -> bool:
    """Say whether an address is one of this network namespace's own: only those can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
