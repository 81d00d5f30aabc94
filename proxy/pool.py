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


class Kept:
    """A connection that is used for one request after another, and that the pool has in between.

    While it is idle, it reads its wire: whatever comes ends it.

    Args:
        pool: Of the job that it belongs to.
        authority: What it is used for.
        wire: The upstream one.
        address: Where it leads to.

    Attributes:
        until: When it has been idle for long enough, in loop time.
    """

    __slots__ = ("_pool", "address", "authority", "until", "wire")

    def __init__(self, pool: UpstreamPool, authority: Authority, wire: Wire, address: str) -> None:
        self._pool = pool
        self.authority = authority
        self.wire = wire
        self.address = address
        self.until = math.inf

    def data(self, view: memoryview) -> None:
        """Be told of bytes that nobody asked for."""
        self._pool.discard(self)

    def eof(self) -> None:
        """Be told of the peer's end."""
        self._pool.discard(self)

    def lost(self) -> None:
        """Be told that it broke."""
        self._pool.discard(self)


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
        self._idle: dict[Authority, list[Kept]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, authority: Authority) -> bool:
        """Whether a connection to it is kept."""
        return authority in self._idle

    def take(self, authority: Authority) -> Kept | None:
        """Take the connection used last; ``None`` if there is none."""
        siblings = self._idle.get(authority)
        if siblings is None:
            return None
        kept = siblings.pop()
        # As ``_let_go`` does, without the call: this is the way of every request.
        kept.wire.reader = None
        self._count -= 1
        self._budget.left += 1
        if not siblings:
            del self._idle[authority]
        return kept

    def keep(self, kept: Kept) -> None:
        """Keep a connection whose exchange is over, unless it has ended or has said too much."""
        wire, budget = kept.wire, self._budget
        if wire.at_eof or wire.is_lost or wire.inbox or wire.blocked:
            wire.abort()
            return
        if budget.left <= 0 or self._count >= self._max_idle:
            if self._count:
                self.discard(min(self._all(), key=attrgetter("until")))
            if budget.left <= 0:
                wire.abort()
                return
        budget.left -= 1
        self._count += 1
        alarms = self._alarms
        if alarms is None:
            alarms = self._alarms = own_alarms()
        kept.until = until = alarms.loop.time() + self.keepalive_s
        wire.reader = kept
        wire.resume_reading()
        siblings = self._idle.get(kept.authority)
        if siblings is None:
            self._idle[kept.authority] = [kept]
        else:
            siblings.append(kept)
        if until < self._alarm_at:
            self._set_alarm(alarms, until)

    def discard(self, kept: Kept) -> None:
        """Close a kept connection."""
        siblings = self._idle[kept.authority]
        siblings.remove(kept)
        self._let_go(kept, siblings)
        kept.wire.abort()

    def prune(self, allowed: Callable[[Authority, str], bool]) -> None:
        """Close those whose authority or address is not allowed."""
        for kept in self._all():
            if not allowed(kept.authority, kept.address):
                self.discard(kept)

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
        for kept in self._all():
            if kept.until <= now:
                self.discard(kept)
        if self._count:
            self._set_alarm(alarms, min(kept.until for kept in self._all()))

    def _all(self) -> list[Kept]:
        return [kept for siblings in self._idle.values() for kept in siblings]

    def _let_go(self, kept: Kept, siblings: list[Kept]) -> None:
        """Forget one that is no longer among its siblings."""
        kept.wire.reader = None
        self._count -= 1
        self._budget.left += 1
        if not siblings:
            del self._idle[kept.authority]
