"""Connections of a job as its rate limit sees them, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from jobgate.ratelimit import ByteQuota, FairQueue, Lane, Pacer, TokenBucket, default_burst_bytes

from .clock import VirtualClock


class Job:
    """One queue of a job with its bucket, and the log of what was released when.

    Args:
        rate: Bytes/s.
        burst: By default what suits the rate.
        clock: By default one of its own.
        pacer: Likewise; jobs of one node share it, and its clock.
        max_bytes: Quota.
        node_log: Where the releases of all jobs of a node are logged in their order, too.
    """

    def __init__(
        self,
        rate: float,
        *,
        burst: int | None = None,
        clock: VirtualClock | None = None,
        pacer: Pacer | None = None,
        max_bytes: int = 0,
        node_log: list[tuple[float, int]] | None = None,
    ) -> None:
        self.clock = clock or VirtualClock(100.0)
        self.rate = rate
        self.burst = burst or (1 if math.isinf(rate) else default_burst_bytes(rate))
        self.pacer = pacer or Pacer(self.clock.time, self.clock.call_at)
        self.exhausted = 0
        self.queue = FairQueue(
            rate, self.burst, self.pacer, quota=ByteQuota(max_bytes), on_exhausted=self._on_exhausted
        )
        self.released: list[tuple[float, int]] = []
        self._logs = [self.released] if node_log is None else [self.released, node_log]
        self.connections: list[Connection] = []

    @property
    def bucket(self) -> TokenBucket:
        assert self.queue.supply.bucket is not None
        return self.queue.supply.bucket

    @property
    def got(self) -> int:
        """Bytes granted to its connections."""
        return sum(connection.got for connection in self.connections)

    def connect(self, sizes: Iterator[int], gap_s: float = 0.0) -> Connection:
        connection = Connection(self, sizes, lambda: gap_s)
        self.connections.append(connection)
        return connection

    def excess(self) -> float:
        """Most bytes that any window let through above ``rate x t``.

        Over all windows ``[i, j]`` this is the largest gain of ``sum - rate x t``.
        """
        total, lowest, excess = 0, float("inf"), 0.0
        for at, n in self.released:
            lowest = min(lowest, total - self.rate * at)
            total += n
            excess = max(excess, total - self.rate * at - lowest)
        return excess

    def log(self, n: int) -> None:
        """Note that so much was released now."""
        for released in self._logs:
            released.append((self.clock.now, n))

    def _on_exhausted(self) -> None:
        self.exhausted += 1


def free_lane() -> Lane:
    """A lane without a rate: every request is granted at once."""
    return Job(math.inf).queue.lane()


class Connection:
    """Asks for the next of ``sizes`` as soon as the last was granted, and ``gap_s`` after it."""

    def __init__(self, job: Job, sizes: Iterator[int], gap_s: Callable[[], float]) -> None:
        self.lane = job.queue.lane()
        self.got = 0
        self.asked = 0
        self.done = False
        self.waited_s = 0.0
        self._asked_at = 0.0
        self._job = job
        self._sizes = sizes
        self._gap_s = gap_s
        self._ask()

    def _ask(self) -> None:
        while not self.done:
            self.asked = next(self._sizes, 0)
            self.done = self.asked == 0
            if self.done or not self.lane.request(self.asked, self._granted):
                self._asked_at = self._job.clock.time()
                return
            self._count()
            if self._later():
                return

    def _granted(self) -> None:
        self.waited_s += self._job.clock.time() - self._asked_at
        self._count()
        if not self._later():
            self._ask()

    def _later(self) -> bool:
        gap_s = self._gap_s()
        if gap_s > 0.0:
            self._job.clock.call_at(self._job.clock.now + gap_s, self._ask)
        return gap_s > 0.0

    def _count(self) -> None:
        self.got += self.asked
        self._job.log(self.asked)

    def stop(self) -> None:
        self.done = True
        if self.lane.waiting:
            self.waited_s += self._job.clock.time() - self._asked_at
        self.lane.cancel()


def jain(shares: list[int]) -> float:
    """Jain's index: 1.0 when all shares are equal, 1 / n when one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
