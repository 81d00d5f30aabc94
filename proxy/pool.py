"""Idle upstream connections of one job, kept for its next plain-HTTP request (edge).

A kept connection belongs to one job and one authority, and every request that uses it
is decided anew. Anything that happens on an idle connection, a byte included, ends it:
a byte that nobody asked for is never a response (RFC 9112 §9.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter

from jobgate.config.host import Authority

from .alarms import Alarm, Alarms, own_alarms
from .wire import Wire

#: Idle connections kept per job, over all origins; the one that is due first goes first.
MAX_IDLE = 64


class IdleBudget:
    """How many idle upstream connections the process may hold, over all jobs.

    They are in nobody's cap of connections, yet each is a descriptor.
    """

    __slots__ = ("left",)

    def __init__(self, connections: int) -> None:
        self.left = connections


class UpstreamPool:
    """Idle upstream wires by authority.

    Args:
        keepalive_s: How long one is kept.
        budget: Shared by all jobs; where it is used up, nothing more is kept.
        max_idle: Kept by this job.
    """

    def __init__(self, keepalive_s: float, budget: IdleBudget, max_idle: int = MAX_IDLE) -> None:
        self.keepalive_s = keepalive_s
        self._budget = budget
        self._max_idle = max_idle
        self._alarms: Alarms | None = None
        self._alarm: Alarm | None = None  # one for all …
        self._alarm_at = math.inf  # … when the first of them is due, or before
        self._idle: dict[Authority, list[_Parked]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, authority: Authority) -> bool:
        return authority in self._idle

    def take(self, authority: Authority) -> tuple[Wire, str] | None:
        """Take the connection used last, and the address it leads to; ``None`` if there is none."""
        siblings = self._idle.get(authority)
        if siblings is None:
            return None
        parked = siblings.pop()
        self._let_go(parked, siblings)
        return parked.wire, parked.address

    def keep(self, authority: Authority, wire: Wire, address: str) -> None:
        """Keep a wire whose exchange is over, unless it has ended or has said too much."""
        budget = self._budget
        if wire.at_eof or wire.is_lost or wire.inbox or wire.blocked:
            wire.abort()
            return
        if budget.left <= 0 or self._count >= self._max_idle:
            if self._count:
                self.discard(min(self._parked(), key=attrgetter("until")))
            if budget.left <= 0:
                wire.abort()
                return
        budget.left -= 1
        self._count += 1
        alarms = self._alarms
        if alarms is None:
            alarms = self._alarms = own_alarms()
        until = alarms.loop.time() + self.keepalive_s
        wire.reader = parked = _Parked(self, authority, wire, address, until)
        wire.resume_reading()
        siblings = self._idle.get(authority)
        if siblings is None:
            self._idle[authority] = [parked]
        else:
            siblings.append(parked)
        if until < self._alarm_at:
            self._set_alarm(alarms, until)

    def discard(self, parked: _Parked) -> None:
        """Close a kept connection."""
        siblings = self._idle[parked.authority]
        siblings.remove(parked)
        self._let_go(parked, siblings)
        parked.wire.abort()

    def prune(self, allowed: Callable[[Authority, str], bool]) -> None:
        """Close those whose authority or address is not allowed."""
        for parked in self._parked():
            if not allowed(parked.authority, parked.address):
                self.discard(parked)

    def close(self) -> None:
        """Close all."""
        self.prune(lambda authority, address: False)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm, self._alarm_at = None, math.inf

    def _set_alarm(self, alarms: Alarms, until: float) -> None:
        if self._alarm is not None:  # a reload has made the time shorter
            self._alarm.cancel()
        self._alarm, self._alarm_at = alarms.at(until, self._expire), until

    def _expire(self) -> None:
        """Close what was kept long enough."""
        self._alarm, self._alarm_at = None, math.inf
        alarms = self._alarms or own_alarms()
        now = alarms.loop.time()
        for parked in self._parked():
            if parked.until <= now:
                self.discard(parked)
        if self._count:
            self._set_alarm(alarms, min(parked.until for parked in self._parked()))

    def _parked(self) -> list[_Parked]:
        return [parked for siblings in self._idle.values() for parked in siblings]

    def _let_go(self, parked: _Parked, siblings: list[_Parked]) -> None:
        """Forget one that is no longer among its siblings."""
        parked.wire.reader = None
        self._count -= 1
        self._budget.left += 1
        if not siblings:
            del self._idle[parked.authority]


class _Parked:
    """Reads an idle wire: whatever comes ends it."""

    __slots__ = ("_pool", "address", "authority", "until", "wire")

    def __init__(
        self, pool: UpstreamPool, authority: Authority, wire: Wire, address: str, until: float
    ) -> None:
        self._pool = pool
        self.authority = authority
        self.wire = wire
        self.address = address
        self.until = until

    def data(self, view: memoryview) -> None:
        self._pool.discard(self)

    def eof(self) -> None:
        self._pool.discard(self)

    def lost(self) -> None:
        self._pool.discard(self)
