"""Requests (or new DNS names) per second of one job, over aiolimiter.

Takes what is there or refuses: nobody waits here, so that a job that floods gets
its answer at once. Of aiolimiter only the arithmetic is used, never its queue.
"""

from __future__ import annotations

from collections.abc import Callable

from aiolimiter import AsyncLimiter


class RequestLimiter:
    """Grants ``per_s`` requests a second, and as many at once after a pause (at least 1).

    The time comes from the running event loop: use one instance in one loop.

    Args:
        per_s: Requests per second; 0 means no limit.

    Raises:
        ValueError: ``per_s`` is negative.
    """

    __slots__ = ("_interval_s", "_limiter", "per_s")

    def __init__(self, per_s: float) -> None:
        self.set_rate(per_s)

    def set_rate(self, per_s: float) -> None:
        """Grant so many from now on; a change begins with as many at once as the new rate allows.

        Raises:
            ValueError: ``per_s`` is negative.
        """
        if not per_s >= 0.0:
            raise ValueError(f"rate is {per_s} requests/s, expected 0 (no limit) or more")
        self.per_s = per_s
        self._interval_s = 1.0 / per_s if per_s else 0.0
        burst = max(1.0, per_s)
        self._limiter = _Limiter(burst, burst * self._interval_s) if per_s else None

    def take(self) -> float:
        """Take leave for one request.

        Returns:
            0.0 if it is granted, else the seconds after which one will be there at the
            latest (for Retry-After).
        """
        limiter = self._limiter
        return 0.0 if limiter is None or limiter.take() else self._interval_s


class _Limiter(AsyncLimiter):
    """A limiter that nobody waits in: ``acquire`` without its coroutine, a thirtieth of a request.

    Its arithmetic is the library's, done once for all requests of one moment of the loop's
    clock (a millisecond of uvloop's): what leaks in no time is nothing.
    """

    __slots__ = ("_loop", "_time")

    _time: Callable[[], float]

    def take(self) -> bool:
        """Take a token, if there is one."""
        try:
            now = self._time()
        except AttributeError:  # for the first time
            loop = super()._loop
            self._loop = loop  # type: ignore[misc]  # a slot, over a property that looks at the loop each time
            self._time = loop.time
            now = loop.time()
        if now != self._last_check:
            self._leak()
        level = self._level + 1.0
        if level > self.max_rate:
            return False
        self._level = level
        return True
