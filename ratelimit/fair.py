"""Fair queue in front of one token bucket: which connection of a job goes next.

Start-time fair queueing: a request of n bytes gets the tag ``start``, its
connection's tag moves on by n, and the smallest ``start`` is granted as soon as
its tokens are there. So busy connections share the rate by bytes, whatever the
sizes of their reads. A connection that has been quiet is placed ``QUIET_BYTES``
behind the virtual time and goes before all busy ones until it has caught up.
Sizes and times only: no sockets, no event loop, no timer of its own (``pacer.py``).

Source: Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996; quiet ones first
as in RFC 8290 §4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from .bucket import TokenBucket
from .pacer import Pacer

QUIET_BYTES = 32 * 1024
"""What a quiet connection may send ahead of busy ones: a TLS handshake and a small answer."""

_COMPACT_MIN = 64


class Lane:
    """One connection in one direction of a job. At most one request waits at a time."""

    __slots__ = ("_ahead_until", "_finish", "_granted", "_queue", "_seq", "_since", "_size", "waited_s")

    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue
        self._finish = -math.inf  # tag behind the bytes granted so far
        self._ahead_until = -math.inf  # a request that starts before this tag goes ahead of busy lanes
        # Of the waiting request:
        self._size = 0
        self._since = 0.0
        self._seq = 0  # 0 if none waits
        self._granted: Callable[[], None] = _nobody
        self.waited_s = 0.0

    def __repr__(self) -> str:
        state = f"waits for {self._size} bytes" if self._seq else "idle"
        return f"<Lane {state}, waited {self.waited_s:.3f} s>"

    @property
    def waiting(self) -> bool:
        """Whether a request waits for its grant."""
        return self._seq != 0

    def request(self, n: int, granted: Callable[[], None]) -> bool:
        """Ask for leave to pass on ``n`` bytes that are already held.

        Returns:
            True: granted, ``granted`` is not called. False: ``granted`` is called once,
            later, unless the request is cancelled; never from inside this call.
            It may call any method of any lane.

        Raises:
            ValueError: ``n`` is not between 1 and the burst.
            RuntimeError: A request of this lane is waiting.
        """
        return self._queue._request(self, n, granted)

    def cancel(self) -> None:
        """Withdraw the waiting request, if there is one; its tokens were never taken."""
        if self._seq:
            self._queue._cancel(self)

    def give_back(self, n: int) -> None:
        """Return the tokens of ``n`` granted bytes that were not passed on (an aborted connection)."""
        self._finish -= n
        self._queue._give_back(n)


class FairQueue:
    """All lanes of one job in one direction.

    Work conserving: while a request waits, the bucket does not overflow. Between
    two lanes that always ask, the bytes granted differ by at most one chunk of
    each, besides ``QUIET_BYTES`` once. What quiet lanes are granted ahead moves the
    virtual time half as fast as a fair share would, and with it the place of the next
    quiet one: beside an endless row of new connections a busy lane still gets a third
    of its share, rate / (3 x waiting lanes), and a request is overtaken by at most
    2 x (chunk + ``QUIET_BYTES``) for each waiting lane.

    Args:
        bucket: The rate and the burst, shared by the lanes.
        pacer: Wakes the queue when tokens are there; its clock is the queue's clock.
    """

    __slots__ = ("_bucket", "_clock", "_heap", "_next_seq", "_pacer", "_virtual", "waiting")

    def __init__(self, bucket: TokenBucket, pacer: Pacer) -> None:
        self._bucket = bucket
        self._pacer = pacer
        self._clock = pacer.clock
        # (start, seq, lane); a cancelled entry stays until it comes first, so the head is never one
        self._heap: list[tuple[float, int, Lane]] = []
        self._next_seq = 1
        self._virtual = 0.0  # where a lane stands that gets its share, in bytes of one lane
        self.waiting = 0  # lanes that wait for a grant

    def __repr__(self) -> str:
        return f"<FairQueue {self.waiting} waiting, {self._bucket!r}>"

    @property
    def bucket(self) -> TokenBucket:
        """The rate and the burst; change them by ``set_rate``, which wakes the waiting ones in time."""
        return self._bucket

    def lane(self) -> Lane:
        """Add a connection. An idle lane costs nothing; cancel it to remove it."""
        return Lane(self)

    def set_rate(self, rate_bytes_per_s: float, burst_bytes: int) -> None:
        """Change the rate for waiting and later requests.

        The burst becomes at least the largest request that waits, which could never
        be granted otherwise.

        Raises:
            ValueError: The rate or the burst is out of range.
        """
        largest = max((lane._size for _, seq, lane in self._heap if lane._seq == seq), default=0)
        self._bucket.set_rate(rate_bytes_per_s, max(burst_bytes, largest), self._clock())
        self._reschedule()

    def serve(self, now: float) -> None:
        """Grant waiting requests in their order while their tokens are there (called by the pacer).

        An exception of a callback goes through to the caller; that request counts
        as granted, and the queue can be served again.
        """
        heap, bucket = self._heap, self._bucket
        while heap:
            start, _, lane = heap[0]
            if not bucket.take(lane._size, now):
                return
            granted = self._remove(lane, now)
            self._account(lane, start, lane._size)
            granted()

    def due(self, now: float) -> float | None:
        """Time when the first request's tokens are there; None if nothing waits."""
        if not self._heap:
            return None
        return now + self._bucket.delay_s(self._heap[0][2]._size, now)

    def _request(self, lane: Lane, n: int, granted: Callable[[], None]) -> bool:
        bucket, heap = self._bucket, self._heap
        if not 1 <= n <= bucket.burst_bytes:
            raise ValueError(f"asked for {n} bytes, expected 1 to {bucket.burst_bytes} (the burst)")
        if lane._seq:
            raise RuntimeError("the lane already waits for a grant")
        now = self._clock()
        start = lane._finish
        if start < self._virtual - QUIET_BYTES:
            start = self._virtual - QUIET_BYTES
            lane._ahead_until = self._virtual
        is_first = not heap or start < heap[0][0]
        if is_first and bucket.take(n, now):
            self._account(lane, start, n)
            return True
        lane._size, lane._since, lane._granted = n, now, granted
        lane._seq = self._next_seq
        self._next_seq += 1
        heappush(heap, (start, lane._seq, lane))
        self.waiting += 1
        if is_first:
            self._pacer.schedule(self, now + bucket.delay_s(n, now))
        return False

    def _account(self, lane: Lane, start: float, n: int) -> None:
        """Move the tags on for ``n`` bytes granted to ``lane``."""
        lane._finish = start + n
        if start >= self._virtual:
            self._virtual = start
        elif start < lane._ahead_until:
            self._virtual += n / (2 * (self.waiting + 1))

    def _remove(self, lane: Lane, now: float) -> Callable[[], None]:
        """End the lane's waiting; returns whom to tell of a grant."""
        granted, lane._granted = lane._granted, _nobody
        lane.waited_s += max(0.0, now - lane._since)
        lane._seq = 0
        self.waiting -= 1
        heap = self._heap
        while heap and heap[0][1] != heap[0][2]._seq:
            heappop(heap)
        if len(heap) > max(_COMPACT_MIN, 2 * self.waiting):
            heap[:] = [entry for entry in heap if entry[1] == entry[2]._seq]
            heapify(heap)
        return granted

    def _cancel(self, lane: Lane) -> None:
        was_first = self._heap[0][2] is lane
        self._remove(lane, self._clock())
        if was_first:
            self._reschedule()

    def _give_back(self, n: int) -> None:
        self._bucket.give_back(n)
        self._reschedule()

    def _reschedule(self) -> None:
        due_at = self.due(self._clock())
        if due_at is None:
            self._pacer.withdraw(self)
        else:
            self._pacer.schedule(self, due_at)


def _nobody() -> None:
    """The callback of a lane that does not wait."""
