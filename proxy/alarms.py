"""Deadlines of all connections behind one timer of the loop (edge).

Nearly every deadline is taken back before it comes, and a timer of uvloop costs as much as a
small message: it opens and closes a handle of libuv. Here one is an entry in the set of those
that are due in the same 1/16 s, so that setting and taking back are a look-up each. An alarm is
never early and at most ``GRAIN_S`` late, besides what the loop adds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

_PER_S = 16
#: How late an alarm may be for the sake of cheapness.
GRAIN_S = 1 / _PER_S
_NEVER = 1 << 62


class Alarm:
    """Calls a function once, unless it is cancelled."""

    __slots__ = ("_alarms", "_due", "call")

    def __init__(self, alarms: Alarms, due: int, call: Callable[[], None]) -> None:
        self._alarms = alarms
        self._due = due
        self.call = call

    def cancel(self) -> None:
        """Take it back; may be done at any time, and again."""
        groups = self._alarms.groups
        group = groups.get(self._due)
        if group is not None:
            group.discard(self)
            if not group:
                del groups[self._due]


class Alarms:
    """The alarms of one loop.

    Attributes:
        groups: Those that wait, by when they are due, in 1/16 s of loop time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.groups: dict[int, set[Alarm]] = {}
        self._armed = _NEVER  # when the timer fires; not after the first group is due
        self._fired = 0  # groups that were due until then have been called
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

    @property
    def is_armed(self) -> bool:
        """Whether the timer runs: it may do so for a moment when nothing waits any more."""
        return self._timer is not None

    def at(self, when: float, call: Callable[[], None]) -> Alarm:
        """Call a function at this loop time, or a little later."""
        # Not into a group that is being called: the loop's time stands still meanwhile, so that an alarm
        # which was early, and is set again, would be called for ever.
        due = max(int(when * _PER_S), self._fired) + 1
        alarm = Alarm(self, due, call)
        group = self.groups.get(due)
        if group is not None:
            group.add(alarm)
            return alarm
        self.groups[due] = {alarm}
        if due < self._armed:
            self._arm(due)
        return alarm

    def _arm(self, due: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = due
        self._timer = self.loop.call_at(due * GRAIN_S, self._fire)

    def _fire(self) -> None:
        # A timer of uvloop may be a millisecond early: that must not make it spin.
        self._fired = now = max(int(self.loop.time() * _PER_S), self._armed)
        self._timer, self._armed = None, _NEVER
        try:
            for due in sorted(due for due in self.groups if due <= now):
                while group := self.groups.get(due):
                    alarm = next(iter(group))
                    alarm.cancel()
                    alarm.call()
        finally:  # also after a call that failed: the others are still to be made
            if self.groups:
                first = min(self.groups)
                if first < self._armed:
                    self._arm(first)


class _Own(threading.local):
    """What each thread has of its own."""

    alarms: Alarms | None = None


_OWN = _Own()


def own_alarms() -> Alarms:
    """Return the alarms of the running loop."""
    loop = asyncio.get_running_loop()
    alarms = _OWN.alarms
    if alarms is None or alarms.loop is not loop:
        alarms = _OWN.alarms = Alarms(loop)
    return alarms
