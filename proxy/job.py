"""A job as the gate serves it: its policy, its queues, its counters, its connections (edge)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jobgate.config.policy import Policy, narrow
from jobgate.config.settings import JobSettings, Settings
from jobgate.ratelimit.bucket import TokenBucket, default_burst_bytes, default_chunk_bytes
from jobgate.ratelimit.fair import FairQueue, Lane
from jobgate.ratelimit.pacer import Pacer
from jobgate.ratelimit.requests import RequestLimiter

from .pool import IdleBudget, UpstreamPool
from .usage import Usage

#: A smaller kernel buffer starves a path of 200 ms.
MIN_RECEIVE_BUFFER_BYTES = 256 * 1024
#: How much of a limited connection the kernel may hold for us.
RECEIVE_BUFFER_S = 0.5


def receive_buffer_bytes(rate: float) -> int | None:
    """Say how large the kernel's receive buffer of a limited connection may be.

    Args:
        rate: Bytes/s in the direction that the socket reads.

    Returns:
        Bytes; ``None`` where no limit asks for a bound.
    """
    return None if math.isinf(rate) else max(MIN_RECEIVE_BUFFER_BYTES, int(RECEIVE_BUFFER_S * rate))


class Direction:
    """One direction of one job: the queue of all its connections, and how much is read at once.

    Attributes:
        piece_bytes: The most that a connection reads, and waits for, at once.
        receive_buffer_bytes: For the sockets that this direction reads from.
    """

    __slots__ = ("_queue", "piece_bytes", "receive_buffer_bytes")

    def __init__(self, rate: float, burst_bytes: int | None, relay_buffer_bytes: int, pacer: Pacer) -> None:
        self.receive_buffer_bytes = receive_buffer_bytes(rate)
        self.piece_bytes = relay_buffer_bytes
        self._queue: FairQueue | None = None
        if not math.isinf(rate):
            burst = burst_bytes if burst_bytes is not None else default_burst_bytes(rate)
            self.piece_bytes = default_chunk_bytes(burst, relay_buffer_bytes)
            self._queue = FairQueue(TokenBucket(rate, burst, pacer.clock()), pacer)

    def lane(self) -> Lane | None:
        """Give a connection its place in the queue; ``None`` without a limit."""
        return None if self._queue is None else self._queue.lane()


@dataclass(frozen=True, slots=True)
class Caps:
    """How many connections a job may hold; so many more are answered with 429, the rest is closed unheard."""

    connections: int

    @property
    def heard(self) -> int:
        """Connections whose head is read at all."""
        return 2 * self.connections


class Job:
    """The live state of one job. The job's policy is bounded by the node's here, once more."""

    def __init__(self, settings: JobSettings, gate: Settings, pacer: Pacer, budget: IdleBudget) -> None:
        node, limits = gate.node.policy, gate.limits
        self.id = settings.id
        self.settings = settings
        self.policy = Policy(narrow(settings.policy, node), node)
        bounded = self.policy.job
        self.up = Direction(bounded.rate_up, settings.burst_bytes, limits.relay_buffer_bytes, pacer)
        self.down = Direction(bounded.rate_down, settings.burst_bytes, limits.relay_buffer_bytes, pacer)
        self.requests = RequestLimiter(limits.requests_per_s_per_job)
        self.dns_names = RequestLimiter(limits.dns_names_per_s_per_job)
        self.caps = Caps(min(settings.max_connections, limits.max_connections_per_job))
        self.pool = UpstreamPool(gate.timeouts.keepalive_s, budget)
        self.usage = Usage()
        #: Open now, those over a cap included.
        self.connections = 0
        name = settings.job_header
        self.header = (name.encode("ascii"), self.id.encode("ascii")) if name else None
