"""One coarse timer for all waiting queues of the process.

Due times are rounded up to whole milliseconds, so that queues which fall due
together share one wake-up, and so that the timer of uvloop, whose clock moves in
steps of 1 ms, never fires before the tokens are there. Every wake-up uses up at
least one such tick: a timer that is early does not spin, it costs a millisecond. Queues
that lose nothing by it wait for a tick that more of them share: a wake-up costs as much
as the grants that it brings.

No event loop is known here: the clock and ``call_at`` are parameters
(``time.monotonic``, ``loop.call_at``: the clock of uvloop moves in whole ticks, and the tokens
of one could leave just before the next).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

TICKS_PER_S = 1000

PATIENCE_S = 0.008
"""A queue that may be served so much later may wait for a shared tick, and for a busy process besides."""

_NEVER = math.inf
_COMPACT_MIN = 64


class Timer(Protocol):
    """What ``call_at`` returns."""

    def cancel(self) -> None: ...


class Paced(Protocol):
    """A queue as the pacer sees it."""

    @property
    def slack_s(self) -> float:
        """How much later than it is due it may be served without a loss of rate."""
        ...

    def serve(self, now: float) -> float | None:
        """Grant what can be granted at ``now``; return the time of the next grant, None if nothing waits."""
        ...


class Pacer:
    """Calls ``serve`` of each scheduled queue at its due time, at most 1 ms late by rounding.

    Args:
        clock: Monotonic seconds.
        call_at: Calls a function once when ``clock`` reaches a time.
        shared_ticks: Queues with ``PATIENCE_S`` of slack are rounded up to whole so many ticks.
    """

    __slots__ = (
        "_armed",
        "_call_at",
        "_due",
        "_ready",
        "_served",
        "_serving",
        "_shared_ticks",
        "_tick_of",
        "_ticks",
        "_timer",
        "clock",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], Timer],
        *,
        shared_ticks: int = 1,
    ) -> None:
        self.clock = clock
        self._call_at = call_at
        self._shared_ticks = shared_ticks
        self._due: dict[int, dict[Paced, None]] = {}
        self._ticks: list[int] = []  # heap of the keys of _due
        self._tick_of: dict[Paced, int] = {}
        self._ready: deque[Paced] = deque()
        self._served = -1  # the last tick that was served
        self._serving = False
        self._armed: float = _NEVER  # the tick of the timer
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Pacer {len(self._tick_of)} queues, next tick {self._armed}>"

    @property
    def armed(self) -> bool:
        """Whether a timer runs: never while nothing waits."""
        return self._timer is not None

    def schedule(self, queue: Paced, due_at: float) -> None:
        """Serve ``queue`` at ``due_at``, instead of any time set before."""
        tick = math.ceil(due_at * TICKS_PER_S)
        if tick <= self._served:
            tick = self._served + 1
        if queue.slack_s >= PATIENCE_S:
            tick += -tick % self._shared_ticks
        current = self._tick_of.get(queue)
        if current == tick:
            return
        if current is not None:
            self._leave(current, queue)
        self._tick_of[queue] = tick
        members = self._due.get(tick)
        if members is None:
            self._due[tick] = {queue: None}
            heappush(self._ticks, tick)
        else:
            members[queue] = None
        if tick < self._armed and not self._serving:
            self._arm(tick)

    def withdraw(self, queue: Paced) -> None:
        """Forget ``queue``: nothing waits in it. The last one takes the timer along."""
        tick = self._tick_of.pop(queue, None)
        if tick is None:
            return
        self._leave(tick, queue)
        if not self._tick_of and not self._ready:
            self._forget_ticks()
            self._disarm()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call once, from the loop: for news that must not be told inside the call that makes it."""
        self._call_at(self.clock(), callback)

    def _fire(self) -> None:
        """Serve all that is due; a callback's exception leaves through here, the rest comes 1 ms later."""
        now = self.clock()
        # The tick of the timer counts as reached even if the clock says otherwise.
        self._served = max(int(self._armed), int(now * TICKS_PER_S))
        self._timer, self._armed = None, _NEVER
        self._serving = True
        try:
            self._collect()
            while self._ready:
                self._serve(self._ready.popleft(), now)
        finally:
            self._serving = False
            if self._ready:
                self._arm(self._served + 1)
            elif self._tick_of:
                self._arm(self._ticks[0])
            else:
                self._forget_ticks()

    def _leave(self, tick: int, queue: Paced) -> None:
        """Take a queue out of its tick; ticks far ahead without a queue do not pile up."""
        del self._due[tick][queue]
        if len(self._ticks) > _COMPACT_MIN + 2 * len(self._tick_of):
            self._due = {tick: members for tick, members in self._due.items() if members}
            self._ticks = sorted(self._due)

    def _forget_ticks(self) -> None:
        """Drop the ticks that all queues have moved away from."""
        self._due.clear()
        self._ticks.clear()

    def _collect(self) -> None:
        while self._ticks and self._ticks[0] <= self._served:
            members = self._due.pop(heappop(self._ticks))
            self._ready.extend(members)
            for queue in members:
                del self._tick_of[queue]

    def _serve(self, queue: Paced, now: float) -> None:
        due_at: float | None = now
        try:
            due_at = queue.serve(now)
        finally:
            if due_at is not None:
                self.schedule(queue, due_at)

    def _arm(self, tick: int) -> None:
        self._disarm()
        self._armed = tick
        self._timer = self._call_at(tick / TICKS_PER_S, self._fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed = None, _NEVER
