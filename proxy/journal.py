"""The log of decisions: what the data plane tells, limited per job.

One job may write ``DECISIONS_PER_S`` decisions a second with their close lines;
what is above is counted and the count is logged, so that a job that floods cannot
push out another's lines. The file itself is ``logwriter.py``'s.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jobgate.ratelimit.bucket import TokenBucket

from .logwriter import LogWriter
from .records import (
    HALF_US,
    close_line,
    decision_line,
    dropped_line,
    event_line,
    ready_line,
    timestamp,
    timestamp_ms,
)

if TYPE_CHECKING:
    from .exchange import Exchange

DECISIONS_PER_S = 200.0
"""At least, and where nothing bounds requests: the default of ``requests_per_s_per_job``."""

DECISIONS_BURST = 1000
"""What a job that was quiet may write at once, or those of a second: so many requests may come at once."""

REPORT_S = 1.0
"""A job's missing lines are counted this long before the count is logged."""


class Journal:
    """Writes one decision line and one close line for each request.

    Args:
        writer: Where lines go; None: to the taps alone, and none is made without them.
        clock_wall: Seconds since the epoch.
        clock: Monotonic seconds, for the limit.
    """

    def __init__(
        self,
        writer: LogWriter | None = None,
        *,
        clock_wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Called on the loop with each line, without the newline, and the job it is about ("": the gate
        #: itself); must not raise.
        self.taps: list[Callable[[str, bytes], None]] = []
        self._writer = writer
        self._clock_wall = clock_wall
        self._clock = clock
        self._decisions_per_s = DECISIONS_PER_S
        self._shares: dict[str, _Share] = {}
        self._silent: set[str] = set()  # ids whose decision line was left out, until their close
        self._ms: int | None = None  # of the last line: many of a busy gate are of one millisecond
        self._ts = ""
        self._prefix = os.urandom(4).hex()
        self._count = 0
        #: Lines left out because they were above the share of their job.
        self.dropped = 0

    @property
    def lost(self) -> int:
        """Lines that the log itself could not take."""
        return 0 if self._writer is None else self._writer.dropped

    def follow(self, requests_per_s: float) -> None:
        """Let every job write as many decisions as it may make requests; 0: those are not bounded."""
        self._decisions_per_s = per_s = max(DECISIONS_PER_S, requests_per_s)
        now = self._clock()
        for share in self._shares.values():
            share.lines.set_rate(per_s, _burst(per_s), now)

    def new_id(self) -> str:
        """Return an id that joins a decision and its close line: hexadecimal, unique over restarts."""
        self._count += 1
        return "%s%08x" % (self._prefix, self._count)  # noqa: UP031 (an f-string takes twice as long)

    def decision(self, exchange: Exchange) -> None:
        """Log what was decided about a request."""
        writer, taps = self._writer, self.taps
        if writer is None and not taps:
            return
        job, now = exchange.job_id, self._clock()
        share = self._shares.get(job)
        if share is None:
            share = self._shares[job] = _Share(self._decisions_per_s, now)
        if share.dropped and now >= share.report_at:
            self._report(job, share)
        if share.lines.take(1, now):
            self._silent.add(exchange.id)
            if not share.dropped:
                share.report_at = now + REPORT_S
            share.dropped += 1
            self.dropped += 1
            return
        line = decision_line(self._now(), exchange)
        if taps or writer is None:
            self._write(job, line)
        else:  # as ``_write`` does, without the call: this is the way of every request
            writer.write(line)

    def close(self, exchange: Exchange) -> None:
        """Log how a request ended; left out where its decision line was."""
        if self._silent and exchange.id in self._silent:
            self._silent.remove(exchange.id)
            self.dropped += 1
            if (share := self._shares.get(exchange.job_id)) is not None:
                share.dropped += 1
        elif self._writer is not None or self.taps:
            line = close_line(self._now(), exchange)
            if self.taps or self._writer is None:
                self._write(exchange.job_id, line)
            else:
                self._writer.write(line)

    def ready(self, listen: Mapping[str, str], besides: Mapping[str, object] | None = None) -> None:
        """Log, once, that every listener accepts: job to ``ip:port`` or ``unix:/path``.

        Args:
            listen: The jobs' own.
            besides: Those of the gateway, such as ``control``.
        """
        if self._writer is not None:
            self._writer.write(ready_line(timestamp(self._clock_wall()), listen, besides or {}))

    def event(self, event: str, fields: Mapping[str, object]) -> None:
        """Log something rare that happened to the gate itself, such as a change of policy."""
        job = fields.get("job")
        line = event_line(timestamp(self._clock_wall()), event, fields)
        self._write(job if isinstance(job, str) else "", line)

    def forget(self, job: str) -> None:
        """Log what is left to be counted of a job that is gone, and keep nothing of it."""
        share = self._shares.pop(job, None)
        if share is not None:
            self._report(job, share)

    def report_dropped(self) -> None:
        """Log the counts that were not logged yet; call it at the end, before the writer is closed."""
        for job, share in self._shares.items():
            self._report(job, share)

    def _now(self) -> str:
        """Write the time of a line."""
        ms = int(self._clock_wall() * 1e3 + HALF_US)
        if ms != self._ms:
            self._ms, self._ts = ms, timestamp_ms(ms)
        return self._ts

    def _report(self, job: str, share: _Share) -> None:
        if share.dropped:
            self._write(job, dropped_line(timestamp(self._clock_wall()), share.dropped, job))
            share.dropped = 0

    def _write(self, job: str, line: bytes) -> None:
        if self._writer is not None:
            self._writer.write(line)
        for tap in self.taps:
            tap(job, line[:-1])


class _Share:
    """What one job may still write, and how many of its lines were left out."""

    __slots__ = ("dropped", "lines", "report_at")

    def __init__(self, decisions_per_s: float, now: float) -> None:
        # A token is a decision.
        self.lines = TokenBucket(decisions_per_s, _burst(decisions_per_s), now)
        self.dropped = 0
        self.report_at = now


def _burst(decisions_per_s: float) -> int:
    return max(DECISIONS_BURST, int(decisions_per_s))
