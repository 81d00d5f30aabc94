"""The log of decisions: what the data plane tells, limited per job.

One job may write ``DECISIONS_PER_S`` decisions a second with their close lines;
what is above is counted and the count is logged, so that a job that floods cannot
push out another's lines. The file itself is ``logwriter.py``'s.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from jobgate.ratelimit.bucket import TokenBucket

from .logwriter import LogWriter
from .records import close_line, decision_line, dropped_line, ready_line, timestamp

DECISIONS_PER_S = 200.0
"""As many as ``requests_per_s_per_job`` lets through."""

DECISIONS_BURST = 1000

REPORT_S = 1.0
"""A job's missing lines are counted this long before the count is logged."""


class Journal:
    """Writes one decision line and one close line for each request.

    Args:
        writer: Where lines go; None: nowhere, and none is made.
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
        self._writer = writer
        self._clock_wall = clock_wall
        self._clock = clock
        self._shares: dict[str, _Share] = {}
        self._silent: set[str] = set()  # ids whose decision line was left out, until their close
        self._prefix = secrets.token_hex(4)
        self._count = 0

    def new_id(self) -> str:
        """Return an id that joins a decision and its close line, unique over restarts as well."""
        self._count += 1
        return f"{self._prefix}{self._count:08x}"

    def decision(
        self,
        *,
        id: str,
        job: str,
        client: str,
        kind: str | None,
        method: str | None,
        host: str | None,
        port: int | None,
        allowed: bool,
        reason: str | None,
        rule: str | None,
        dropped: Sequence[str] = (),
    ) -> None:
        """Log what was decided; ``host`` is canonical, ``rule`` the entry that decided."""
        if self._writer is None:
            return
        if not self._admits(job):
            self._silent.add(id)
            return
        line = decision_line(
            timestamp(self._clock_wall()),
            id=id,
            job=job,
            client=client,
            kind=kind,
            method=method,
            host=host,
            port=port,
            allowed=allowed,
            reason=reason,
            rule=rule,
            dropped=dropped,
        )
        self._writer.write(line)

    def close(
        self,
        *,
        id: str,
        job: str,
        address: str | None,
        status: int | None,
        reason: str,
        bytes_up: int,
        bytes_down: int,
        duration_s: float,
        dns_s: float,
        connect_s: float,
        wait_up_s: float,
        wait_down_s: float,
        sni: str | None = None,
        ech: bool = False,
    ) -> None:
        """Log how a request ended; left out where its decision line was."""
        if self._writer is None:
            return
        if id in self._silent:
            self._silent.remove(id)
            self._shares[job].dropped += 1
            return
        line = close_line(
            timestamp(self._clock_wall()),
            id=id,
            job=job,
            address=address,
            status=status,
            reason=reason,
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            duration_s=duration_s,
            dns_s=dns_s,
            connect_s=connect_s,
            wait_up_s=wait_up_s,
            wait_down_s=wait_down_s,
            sni=sni,
            ech=ech,
        )
        self._writer.write(line)

    def ready(self, listen: Mapping[str, str]) -> None:
        """Log, once, that every listener accepts: job to ``ip:port`` or ``unix:/path``."""
        if self._writer is not None:
            self._writer.write(ready_line(timestamp(self._clock_wall()), listen))

    def report_dropped(self) -> None:
        """Log the counts that were not logged yet; call it at the end, before the writer is closed."""
        for job, share in self._shares.items():
            self._report(job, share)

    def _admits(self, job: str) -> bool:
        now = self._clock()
        share = self._shares.get(job)
        if share is None:
            share = self._shares[job] = _Share(now)
        if share.dropped and now >= share.report_at:
            self._report(job, share)
        if share.lines.take(1, now):
            return True
        if not share.dropped:
            share.report_at = now + REPORT_S
        share.dropped += 1
        return False

    def _report(self, job: str, share: _Share) -> None:
        if share.dropped and self._writer is not None:
            self._writer.write(dropped_line(timestamp(self._clock_wall()), share.dropped, job))
            share.dropped = 0


class _Share:
    """What one job may still write, and how many of its lines were left out."""

    __slots__ = ("dropped", "lines", "report_at")

    def __init__(self, now: float) -> None:
        self.lines = TokenBucket(DECISIONS_PER_S, DECISIONS_BURST, now)  # a token is a decision
        self.dropped = 0
        self.report_at = now
