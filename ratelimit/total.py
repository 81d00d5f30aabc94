"""One rate for all jobs of the node in one direction, on top of each job's own.

Two queues above each other (hierarchical start-time fair queueing): a job asks for the
node's tokens with the size of its first request, as soon as its own tokens are there, and
uses the grant at once. So whoever waits here could go on, nothing is granted in advance,
and jobs share by bytes, whatever their numbers of connections; quiet jobs go first.

Source: Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996, §3.
"""

from __future__ import annotations

import math

from .bucket import default_burst_bytes
from .fair import FairQueue
from .pacer import Pacer

MIN_BURST_BYTES = 128 * 1024
"""Two pieces of a job without a rate of its own, as for a job's bucket."""


class NodeTotal:
    """Shares a rate fairly among busy jobs. Work conserving; without a rate it is not in the way.

    Args:
        rate_bytes_per_s: ``math.inf``: no limit.
        pacer: That of the jobs' queues.
    """

    __slots__ = ("_jobs", "_queue", "_rate")

    def __init__(self, rate_bytes_per_s: float, pacer: Pacer) -> None:
        self._rate = rate_bytes_per_s
        self._queue = FairQueue(rate_bytes_per_s, _burst_bytes(rate_bytes_per_s), pacer)
        self._jobs: set[FairQueue] = set()

    @property
    def waiting(self) -> int:
        """Jobs that the node's rate alone holds back now."""
        return self._queue.waiting

    def join(self, job: FairQueue) -> None:
        """Bound a job's queue as well."""
        self._jobs.add(job)
        self._attach(job)

    def leave(self, job: FairQueue) -> None:
        """Let go of a queue; nothing of it waits here any more."""
        self._jobs.discard(job)
        job.set_upper(None)

    def set_rate(self, rate_bytes_per_s: float) -> None:
        """Change the rate of now; a limit where there was none begins with nothing saved."""
        changes_kind = math.isinf(rate_bytes_per_s) != math.isinf(self._rate)
        self._rate = rate_bytes_per_s
        self._queue.set_rate(rate_bytes_per_s, _burst_bytes(rate_bytes_per_s))
        if changes_kind:
            for job in self._jobs:
                self._attach(job)

    def _attach(self, job: FairQueue) -> None:
        job.set_upper(None if math.isinf(self._rate) else self._queue.lane())


def _burst_bytes(rate_bytes_per_s: float) -> int:
    """Burst of the node: nothing that matters where the rate is infinite."""
    return (
        MIN_BURST_BYTES
        if math.isinf(rate_bytes_per_s)
        else max(MIN_BURST_BYTES, default_burst_bytes(rate_bytes_per_s))
    )
