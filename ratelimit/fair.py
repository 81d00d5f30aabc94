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
from functools import partial
from heapq import heapify, heappop, heappush

from .pacer import Pacer
from .quota import ByteQuota
from .supply import Supply, Upper

QUIET_BYTES = 32 * 1024
"""What a quiet connection may send ahead of busy ones: a TLS handshake and a small answer."""

DEFAULT_PIECE_BYTES = 64 * 1024
"""Read at once without a rate: larger reads save no time that could be measured."""

_COMPACT_MIN = 64
#: In one turn, behind those that waited when it began; what asks again after that has the next tick.
_MORE_GRANTS = 8
_LONG_AGO = -math.inf  # before every tag; one object for all lanes


class Lane:
    """One connection in one direction of a job. At most one request waits at a time."""

    __slots__ = (
        "_ahead_until",
        "_finish",
        "_granted",
        "_is_elastic",
        "_queue",
        "_seq",
        "_since",
        "_size",
        "waited_s",
    )

    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue
        self._finish = _LONG_AGO  # tag behind the bytes granted so far
        self._ahead_until = _LONG_AGO  # a request that starts before this tag goes ahead of busy lanes
        # Of the waiting request:
        self._size = 0
        self._is_elastic = False
        self._since = 0.0
        self._seq = 0  # 0 if none waits
        self._granted: Callable[[], None] = _nobody
        self.waited_s = 0.0

    def __repr__(self) -> str:
        state = f"waits for {self._size} bytes" if self._seq else "idle"
        return f"<Lane {state}, waited {self.waited_s:.3f} s>"

    @property
    def piece_bytes(self) -> int:
        """The most to ask for at once, at the rate of now."""
        return self._queue.supply.piece_bytes

    @property
    def bulk_bytes(self) -> int:
        """The same for bytes that stay in the kernel."""
        return self._queue.supply.bulk_bytes

    @property
    def granted_bytes(self) -> int:
        """How many bytes the last request that waited was granted."""
        return self._size

    @property
    def waiting(self) -> bool:
        """Whether a request waits for its grant."""
        return self._seq != 0

    def request(self, n: int, granted: Callable[[], None], *, elastic: bool = False) -> bool:
        """Ask for leave to pass on ``n`` bytes that are already held.

        Args:
            granted: See below.
            elastic: Fewer will do, ``granted_bytes``, where the rate was lowered meanwhile: a piece of
                another rate would be a debt that all lanes wait for.

        Returns:
            True: granted, ``granted`` is not called. False: ``granted`` is called once,
            later, unless the request is cancelled or the quota is spent; never from inside
            this call. It may call any method of any lane.

        Raises:
            ValueError: ``n`` is below 1.
            RuntimeError: A request of this lane is waiting.
        """
        if n < 1:
            raise ValueError(f"asked for {n} bytes, expected at least 1")
        if self._seq:
            raise RuntimeError("the lane already waits for a grant")
        queue = self._queue
        supply, heap = queue.supply, queue._heap
        if supply.free and not heap:  # as ``take`` does, without a clock and a turn
            quota = supply.quota
            moved_bytes = quota.moved_bytes + n
            if moved_bytes <= quota.most_bytes:
                quota.moved_bytes = moved_bytes
                return True
        now = queue._clock()
        start = self._start()
        # While requests are served the first one is asked for next, and the next is scheduled behind it.
        is_first = not queue._serving and (not heap or start < heap[0][0])
        if is_first and not supply.take(n, now):
            queue._account(self, start, n)
            if heap:  # who was first before asks anew
                queue._schedule(now)
            return True
        self._size, self._since, self._granted, self._is_elastic = n, now, granted, elastic
        self._seq = seq = queue._next_seq
        queue._next_seq = seq + 1
        queue.waiting += 1
        heappush(heap, (start, seq, self))
        if is_first:
            queue._schedule(now)
        return False

    def at_once(self, n: int) -> bool:
        """Pass on ``n`` bytes if nobody waits and all that they need is there; if not, ask by ``request``."""
        queue = self._queue
        supply = queue.supply
        if queue._heap:
            return False
        if supply.free:
            quota = supply.quota
            moved_bytes = quota.moved_bytes + n
            if moved_bytes > quota.most_bytes:
                return False
            quota.moved_bytes = moved_bytes
            return True
        if not supply.take_at_once(n, queue._clock()):
            return False
        queue._account(self, self._start(), n)
        return True

    def cancel(self) -> None:
        """Withdraw the waiting request, if there is one; its tokens were never taken."""
        if self._seq:
            self._queue._cancel(self)

    def give_back(self, n: int) -> None:
        """Return the tokens of ``n`` granted bytes that were not passed on (an aborted connection)."""
        self._finish -= n
        self._queue._give_back(n)

    def _start(self) -> float:
        """Return the tag of a request that is made now: a quiet lane is placed ahead of busy ones."""
        queue, start = self._queue, self._finish
        quiet = queue._virtual - QUIET_BYTES
        if start < quiet:
            self._ahead_until = queue._virtual
            return quiet
        return start


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
        rate_bytes_per_s: Shared by the lanes; ``math.inf`` grants every request at once.
        burst_bytes: Of the token bucket, which begins full; without meaning for an infinite rate.
        pacer: Wakes the queue when tokens are there; its clock is the queue's clock.
        cap_bytes: Most that one request is to ask for, at any rate.
        quota: Counts what is granted, and may end it.
        on_exhausted: Called once, soon, when the first byte over the quota was asked for.

    Attributes:
        waiting: Lanes that wait for a grant.
        waited_s: Of all lanes, added up; a request that waits is counted at its end.

    Raises:
        ValueError: The rate or the burst is out of range.
    """

    __slots__ = (
        "_cancelled",
        "_clock",
        "_heap",
        "_next_seq",
        "_pacer",
        "_serving",
        "_virtual",
        "supply",
        "waited_s",
        "waiting",
    )

    def __init__(
        self,
        rate_bytes_per_s: float,
        burst_bytes: int,
        pacer: Pacer,
        *,
        cap_bytes: int = DEFAULT_PIECE_BYTES,
        quota: ByteQuota | None = None,
        on_exhausted: Callable[[], None] | None = None,
    ) -> None:
        self._pacer = pacer
        self._clock = pacer.clock
        self.supply = Supply(
            rate_bytes_per_s,
            burst_bytes,
            pacer.clock(),
            cap_bytes=cap_bytes,
            quota=quota if quota is not None else ByteQuota(),
            on_upper=self._upper_granted,
            on_exhausted=partial(pacer.call_soon, on_exhausted or _nobody),
        )
        # (start, seq, lane); a cancelled entry stays until it comes first, so the head is never one
        self._heap: list[tuple[float, int, Lane]] = []
        self._cancelled = 0  # entries in it
        self._next_seq = 1
        self._serving = False
        self._virtual = 0.0  # where a lane stands that gets its share, in bytes of one lane
        self.waiting = 0
        self.waited_s = 0.0

    def __repr__(self) -> str:
        return f"<FairQueue {self.waiting} waiting, {self.supply!r}>"

    def lane(self) -> Lane:
        """Add a connection. An idle lane costs nothing; cancel it to remove it."""
        return Lane(self)

    def set_rate(self, rate_bytes_per_s: float, burst_bytes: int) -> None:
        """Change the rate for waiting and later requests; nothing is granted from inside this call.

        A rate where there was none begins with an empty bucket. The change makes no
        tokens, so that who changes it often gives nothing away, and a busy job is at
        its new rate with the next byte.

        Raises:
            ValueError: The rate or the burst is out of range.
        """
        self.supply.set_rate(rate_bytes_per_s, burst_bytes, self._clock())
        self._changed()

    def set_quota(self, max_bytes: int) -> None:
        """Change the quota; what waits because it was spent goes on if it is larger now."""
        self.supply.quota.set_limit(max_bytes)
        self.supply.withdraw()
        self._changed()

    def set_upper(self, upper: Upper | None) -> None:
        """Ask this lane of another queue, too, for every grant: this one is a part of that."""
        self.supply.set_upper(upper)
        self._changed()

    def close(self) -> None:
        """Let go of whoever is told that the quota is spent; nothing waits, and nobody asks any more."""
        self.supply.close()

    def serve(self, now: float) -> float | None:
        """Grant waiting requests in their order while their tokens are there (called by the pacer).

        Not without end: lanes that ask again when they are granted would keep the loop from all others where
        tokens are always there.

        An exception of a callback goes through to the caller; that request counts
        as granted, and the queue can be served again.

        Returns:
            As ``due``.
        """
        heap, supply = self._heap, self.supply
        self._serving = True  # whoever called schedules the rest
        try:
            for _ in range(self.waiting + _MORE_GRANTS):
                if not heap:
                    return None
                wait_s = supply.take(heap[0][2]._size, now)
                if wait_s:
                    return now + wait_s if wait_s < math.inf else None
                self._grant_first(now)()
            return self.due(now)
        finally:
            self._serving = False

    @property
    def slack_s(self) -> float:
        """How much later than it is due the queue may be served without a loss of rate."""
        return self.supply.slack_s

    def due(self, now: float) -> float | None:
        """Time when the first request's tokens are there; None if nothing waits for time alone."""
        return self.supply.due(self._heap[0][2]._size, now) if self._heap else None

    def _upper_granted(self) -> None:
        """Use the upper queue's grant for the first request, whose size was asked for."""
        now = self._clock()
        self.supply.collect(now)
        try:
            self._grant_first(now)()
        finally:
            self._schedule(now)

    def _account(self, lane: Lane, start: float, n: int) -> None:
        """Move the tags on for ``n`` bytes granted to ``lane``."""
        lane._finish = start + n
        if start >= self._virtual:
            self._virtual = start
        elif start < lane._ahead_until:
            self._virtual += n / (2 * (self.waiting + 1))

    def _grant_first(self, now: float) -> Callable[[], None]:
        """Take the first request out as granted; returns whom to tell."""
        start, _, lane = heappop(self._heap)
        granted = lane._granted
        self._end_waiting(lane, now)
        if self._cancelled:
            self._drop_cancelled()
        self._account(lane, start, lane._size)
        return granted

    def _end_waiting(self, lane: Lane, now: float) -> None:
        lane._seq = 0
        lane._granted = _nobody
        waited_s = now - lane._since
        if waited_s > 0.0:
            lane.waited_s += waited_s
            self.waited_s += waited_s
        self.waiting -= 1

    def _drop_cancelled(self) -> None:
        """Let no cancelled request be the first."""
        heap = self._heap
        while self._cancelled and heap[0][1] != heap[0][2]._seq:
            heappop(heap)
            self._cancelled -= 1

    def _cancel(self, lane: Lane) -> None:
        heap = self._heap
        was_first = heap[0][2] is lane
        self._end_waiting(lane, self._clock())
        self._cancelled += 1
        self._drop_cancelled()
        if self._cancelled > max(_COMPACT_MIN, len(heap) // 2):
            heap[:] = [entry for entry in heap if entry[1] == entry[2]._seq]
            heapify(heap)
            self._cancelled = 0
        if was_first:
            self.supply.withdraw()
            self._schedule(self._clock())

    def _changed(self) -> None:
        """Let what waits wait for no more than one would ask for now, where it bears that."""
        bulk_bytes = self.supply.bulk_bytes
        for _, seq, lane in self._heap:
            if seq == lane._seq and lane._is_elastic and lane._size > bulk_bytes:
                lane._size = bulk_bytes
        self._schedule(self._clock())

    def _give_back(self, n: int) -> None:
        self.supply.give_back(n)
        if self._heap:
            self._schedule(self._clock())

    def _schedule(self, now: float) -> None:
        due_at = self.due(now)
        if due_at is None:
            self._pacer.withdraw(self)
        else:
            self._pacer.schedule(self, due_at)


def _nobody() -> None:
    """The callback of a lane that does not wait."""
