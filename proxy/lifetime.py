"""How long a job is served: until a date, for so many seconds, or both. Pure.

A date is judged by the wall clock, which may jump, so it is looked at once a minute. A
duration is judged by the monotonic clock; the wall clock only says how much of it was over
when it was set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .errors import Reason

#: A wall clock that was set forward is noticed this late.
CHECK_S = 60.0


class Timer(Protocol):
    """What ``call_later`` returns."""

    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where time comes from.

    Attributes:
        wall: Seconds since the epoch.
        monotonic: Seconds.
        call_later: Calls a function once, after so many seconds.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    call_later: Callable[[float, Callable[[], None]], Timer]


class Lifetime:
    """The end of one job. A timer runs only while there is an end to wait for.

    Args:
        clocks: Where time comes from.
        on_over: Called once when an end has come.
    """

    __slots__ = ("_clocks", "_expires_at", "_on_over", "_stops_at", "_timer")

    def __init__(self, clocks: Clocks, on_over: Callable[[], None]) -> None:
        self._clocks = clocks
        self._on_over = on_over
        self._expires_at: float | None = None  # by the wall clock
        self._stops_at: float | None = None  # by the monotonic clock
        self._timer: Timer | None = None

    def set(self, *, expires_at: float | None, started_at: float, max_duration_s: float) -> None:
        """Take the ends of now on.

        Args:
            expires_at: Seconds since the epoch; ``None``: never.
            started_at: Likewise: when the duration began.
            max_duration_s: Seconds; 0: without an end.
        """
        self.stop()
        self._expires_at = expires_at
        self._stops_at = None
        if max_duration_s:
            used_s = max(0.0, self._clocks.wall() - started_at)
            self._stops_at = self._clocks.monotonic() + max_duration_s - used_s
        self._arm()

    def over(self) -> Reason | None:
        """Say which end has come: ``expired`` or ``quota``."""
        if self._expires_at is not None and self._clocks.wall() >= self._expires_at:
            return Reason.EXPIRED
        if self._stops_at is not None and self._clocks.monotonic() >= self._stops_at:
            return Reason.QUOTA
        return None

    def stop(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Forget the timer and whoever is told, who holds this in turn."""
        self.stop()
        self._on_over = _nobody

    def _arm(self) -> None:
        if self.over() is not None:
            return
        delays_s = [CHECK_S]
        if self._expires_at is not None:
            delays_s.append(self._expires_at - self._clocks.wall())
        if self._stops_at is not None:
            delays_s.append(self._stops_at - self._clocks.monotonic())
        if len(delays_s) > 1:
            self._timer = self._clocks.call_later(min(delays_s), self._check)

    def _check(self) -> None:
        self._timer = None
        self._arm()
        if self._timer is None:
            self._on_over()


def _nobody() -> None:
    """Whom a closed lifetime tells."""
