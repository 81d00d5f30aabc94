"""Connections of a job as its rate limit sees them, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jobgate.ratelimit import FairQueue, Pacer, TokenBucket, default_burst_bytes

from .clock import VirtualClock


class Job:
    """One queue of a job with its bucket, and the log of what was released when."""

    def __init__(self, rate: float, *, burst: int | None = None, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock(100.0)
        self.rate = rate
        self.burst = burst or default_burst_bytes(rate)
        self.pacer = Pacer(self.clock.time, self.clock.call_at)
        self.bucket = TokenBucket(rate, self.burst, self.clock.time())
        self.queue = FairQueue(self.bucket, self.pacer)
        self.released: list[tuple[float, int]] = []

    def connect(self, sizes: Iterator[int], gap_s: float = 0.0) -> Connection:
        return Connection(self, sizes, lambda: gap_s)

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


class Connection:
    """Asks for the next of ``sizes`` as soon as the last was granted, and ``gap_s`` after it."""

    def __init__(self, job: Job, sizes: Iterator[int], gap_s: Callable[[], float]) -> None:
        self.lane = job.queue.lane()
        self.got = 0
        self.asked = 0
        self.done = False
        self._job = job
        self._sizes = sizes
        self._gap_s = gap_s
        self._ask()

    def _ask(self) -> None:
        while not self.done:
            self.asked = next(self._sizes, 0)
            self.done = self.asked == 0
            if self.done or not self.lane.request(self.asked, self._granted):
                return
            self._count()
            if self._later():
                return

    def _granted(self) -> None:
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
        self._job.released.append((self._job.clock.now, self.asked))

    def stop(self) -> None:
        self.done = True
        self.lane.cancel()


def jain(shares: list[int]) -> float:
    """Jain's index: 1.0 when all shares are equal, 1 / n when one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
