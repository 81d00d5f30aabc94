"""How late the event loop is: a sample twice a second, as a histogram.

A loop that is late serves every job late. The sampler is one timer of the process,
whatever the number of jobs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Protocol

#: Between two samples: coarse enough to cost nothing.
EVERY_S = 0.5

#: Upper bounds in seconds. Timers of uvloop are a millisecond coarse; the gate's own bound is 50 ms.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Timer(Protocol):
    """What ``call_later`` returns."""

    def cancel(self) -> None: ...


class LoopLag:
    """Measures how much later than asked for a timer comes.

    Args:
        clock: Monotonic seconds; not the loop's, which stands still while a callback runs.
        call_later: Calls a function once, after so many seconds.

    Attributes:
        samples: How many were taken.
        total_s: Their sum.
        last_s: The last one.
    """

    def __init__(
        self, clock: Callable[[], float], call_later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        self.samples = 0
        self.total_s = 0.0
        self.last_s = 0.0
        self._clock = clock
        self._call_later = call_later
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._due = 0.0
        self._timer: Timer | None = None

    @property
    def buckets(self) -> list[int]:
        """Samples up to each bound of ``BOUNDS_S``, and all of them."""
        return list(accumulate(self._counts))

    def start(self) -> None:
        """Sample from now on."""
        self._due = self._clock() + EVERY_S
        self._timer = self._call_later(EVERY_S, self._sample)

    def stop(self) -> None:
        """Sample no more; what was counted stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        self.last_s = max(0.0, self._clock() - self._due)
        self.samples += 1
        self.total_s += self.last_s
        self._counts[bisect_left(BOUNDS_S, self.last_s)] += 1
        self.start()
