"""Wait for what happens next on a connection, or for a deadline (edge)."""

from __future__ import annotations

import asyncio
import math

from .alarms import Alarm, Alarms


class Waiting:
    """What waits, one wait at a time. A base, since each wire is one and an object more would cost memory.

    Its alarm stays over many waits, each of which only moves the deadline on.

    Args:
        alarms: Of the loop that it is for.
    """

    __slots__ = ("_alarm", "_alarm_at", "_alarms", "_deadline", "_waiter", "loop")

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._alarm: Alarm | None = None
        self._alarm_at = math.inf
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = math.inf  # of the waiter
        self.loop = alarms.loop

    def until(self, deadline: float) -> asyncio.Future[None]:
        """Return what ``wake`` settles, or the deadline, by a ``TimeoutError``."""
        self._waiter = waiter = self.loop.create_future()
        self._deadline = deadline
        if deadline < self._alarm_at:
            self._set_alarm()
        return waiter

    def prolong(self, deadline: float) -> None:
        """Let the wait that goes on have another deadline."""
        self._deadline = deadline
        if deadline < self._alarm_at:
            self._set_alarm()

    def wake(self) -> None:
        """Something has happened: whoever waits goes on."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def forget_alarm(self) -> None:
        """Hold no alarm any more, which holds this in turn."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._alarms.at(self._deadline, self._expire)
        self._alarm_at = self._deadline

    def _expire(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        if self._waiter is None or self._waiter.done():
            return
        if self.loop.time() < self._deadline:
            self._set_alarm()
        else:
            self._waiter.set_exception(TimeoutError())
