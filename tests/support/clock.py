"""Virtual time: a clock that moves only when told, and the ``call_at`` that goes with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush


class VirtualTimer:
    """One call of ``call_at``; a cancelled one is never called."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """Monotonic seconds and timers, without a loop.

    Args:
        step_s: The clock shows multiples of this only, as uvloop's does (0.001); 0: exact.
        early_s: Timers fire this much before their time, as those of some loops do.
        late_s: Called for each timer, seconds by which it fires late.
    """

    def __init__(
        self,
        start: float = 0.0,
        *,
        step_s: float = 0.0,
        early_s: float = 0.0,
        late_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.now = start
        self.fired = 0
        self._step_s = step_s
        self._early_s = early_s
        self._late_s = late_s
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._count = 0

    def time(self) -> float:
        return math.floor(self.now / self._step_s) * self._step_s if self._step_s else self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> VirtualTimer:
        timer = VirtualTimer(callback)
        self._count += 1
        heappush(self._timers, (when - self._early_s + self._late_s(), self._count, timer))
        return timer

    @property
    def pending(self) -> list[float]:
        """Times of the timers that are still to fire."""
        return sorted(when for when, _, timer in self._timers if not timer.cancelled)

    def run_until(self, end: float) -> None:
        """Fire, in order, every timer up to ``end``; what they add counts too."""
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heappop(self._timers)
            self.now = max(self.now, when)
            if not timer.cancelled:
                self.fired += 1
                timer.callback()
        self.now = max(self.now, end)

    def advance(self, seconds: float) -> None:
        self.run_until(self.now + seconds)
