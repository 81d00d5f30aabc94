"""One direction of one job: its rate, its quota, and what all its connections share."""

from __future__ import annotations

import math
from collections.abc import Callable

from jobgate.ratelimit.bucket import default_burst_bytes
from jobgate.ratelimit.fair import FairQueue, Lane
from jobgate.ratelimit.pacer import Pacer
from jobgate.ratelimit.quota import ByteQuota
from jobgate.ratelimit.total import NodeTotal

#: A smaller kernel buffer starves a path of 200 ms.
MIN_RECEIVE_BUFFER_BYTES = 256 * 1024
#: How much of a limited connection the kernel may hold for us.
RECEIVE_BUFFER_S = 0.5
#: What is written and not sent: less would let the path run dry while the loop is busy elsewhere.
MIN_SEND_BUFFER_BYTES = 128 * 1024
#: Without a limit a queue has no bucket to give a burst to.
_NO_BURST = 1


def receive_buffer_bytes(rate: float) -> int | None:
    """Say how large the kernel's receive buffer of a limited connection may be.

    Args:
        rate: Bytes/s in the direction that the socket reads.

    Returns:
        Bytes; ``None`` where no limit asks for a bound.
    """
    return None if math.isinf(rate) else max(MIN_RECEIVE_BUFFER_BYTES, int(RECEIVE_BUFFER_S * rate))


class Direction:
    """The queue of all connections of a job in one direction; everything may change while they run.

    Args:
        rate: Bytes/s; ``math.inf``: unlimited.
        burst_bytes: ``None``: what suits the rate.
        scratch: What the wires of the gate read into; its size is the most that one read takes.
        pacer: Of the gate.
        total: Bound of all jobs together.
        max_bytes: Quota; 0 is none.
        used_bytes: What of it was used before.
        on_exhausted: Called once, soon, when the first byte over the quota came.

    Attributes:
        window: What one read may fill now.
        receive_buffer_bytes: For the sockets that this direction reads from, before they connect.
        send_buffer_bytes: For those that it writes to: what may be written and not sent yet.
    """

    __slots__ = (
        "_burst_bytes",
        "_queue",
        "_rate",
        "_scratch",
        "_share",
        "_total",
        "receive_buffer_bytes",
        "send_buffer_bytes",
        "window",
    )

    def __init__(
        self,
        rate: float,
        burst_bytes: int | None,
        scratch: memoryview,
        pacer: Pacer,
        *,
        total: NodeTotal | None = None,
        max_bytes: int = 0,
        used_bytes: int = 0,
        on_exhausted: Callable[[], None] | None = None,
    ) -> None:
        self._rate = rate
        self._burst_bytes = burst_bytes
        self._scratch = scratch
        self._share = 1.0
        self._total = total
        self._queue = FairQueue(
            rate,
            self._burst(),
            pacer,
            cap_bytes=len(scratch),
            quota=ByteQuota(max_bytes, used_bytes),
            on_exhausted=on_exhausted,
        )
        if total is not None:
            total.join(self._queue)
        self._settle()

    @property
    def piece_bytes(self) -> int:
        """The most that a connection reads, and waits for, at once."""
        return self._queue.supply.piece_bytes

    @property
    def moved_bytes(self) -> int:
        """Every byte that passed, now: those of open connections and those used before included."""
        return self._queue.supply.quota.moved_bytes

    @property
    def exhausted(self) -> bool:
        """Whether the quota is spent."""
        return self._queue.supply.quota.exhausted

    @property
    def waiting(self) -> int:
        """Connections that the rate holds back now."""
        return self._queue.waiting

    @property
    def waited_s(self) -> float:
        """Time that the rate has held connections back, added up."""
        return self._queue.waited_s

    def mirror(self, moved_bytes: int, waiting: int, waited_s: float, *, exhausted: bool) -> None:
        """Show what another process counts, which serves this direction: there is no lane here."""
        quota = self._queue.supply.quota
        quota.moved_bytes = moved_bytes
        if quota.closed and not exhausted:
            quota.open_again()
        elif exhausted:
            quota.close()
        self._queue.waiting, self._queue.waited_s = waiting, waited_s

    def lane(self) -> Lane:
        """Give a connection its place in the queue."""
        return Lane(self._queue)

    def set_limits(self, rate: float, burst_bytes: int | None, max_bytes: int) -> None:
        """Change rate, burst and quota for live connections and new ones, at once."""
        self._rate = rate
        self._burst_bytes = burst_bytes
        self._queue.set_quota(max_bytes)
        self._apply()

    def set_share(self, share: float) -> None:
        """Take this part of the rate and the burst alone: another process serves the same job."""
        self._share = share
        self._apply()

    def close(self) -> None:
        """Leave the node's queue, and let go of the job, which is gone."""
        if self._total is not None:
            self._total.leave(self._queue)
        self._queue.close()

    def _apply(self) -> None:
        self._queue.set_rate(self._rate * self._share, self._burst())
        self._settle()

    def _settle(self) -> None:
        self.window = self._scratch[: self.piece_bytes]
        self.receive_buffer_bytes = receive_buffer_bytes(self._rate)
        self.send_buffer_bytes = (
            None if math.isinf(self._rate) else max(MIN_SEND_BUFFER_BYTES, 2 * self._queue.supply.most_bytes)
        )

    def _burst(self) -> int:
        if math.isinf(self._rate):
            return _NO_BURST
        burst = self._burst_bytes if self._burst_bytes is not None else default_burst_bytes(self._rate)
        return max(1, int(burst * self._share))
