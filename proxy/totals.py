"""What all jobs of a gate have counted together since it was made. Pure.

A job that is removed leaves its counts here, so that a sum over the jobs never goes back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Protocol

from .usage import JobCounters, Usage


class CountedDirection(Protocol):
    """What a direction of a job counts."""

    @property
    def moved_bytes(self) -> int: ...
    @property
    def waited_s(self) -> float: ...


class CountedJob(Protocol):
    """What a job counts."""

    @property
    def restored(self) -> JobCounters: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def up(self) -> CountedDirection: ...
    @property
    def down(self) -> CountedDirection: ...


@dataclass(slots=True)
class Totals:
    """Sums over jobs, in this process alone: what was restored of an earlier one is left out.

    Attributes:
        decisions: Requests by reason, ``allow`` among them.
        overlooked: Refusals by reason that report mode let pass.
        ends: Requests by how they ended.
        wait_up_s: Time that the rate held uploads back, added up over connections.
        dns_s: Time spent resolving, added up over requests.
        connect_s: Time spent dialling, likewise.
        duration_s: From the head to the end, likewise.
    """

    bytes_up: int = 0
    bytes_down: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    overlooked: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    wait_up_s: float = 0.0
    wait_down_s: float = 0.0
    dns_s: float = 0.0
    connect_s: float = 0.0
    duration_s: float = 0.0

    def copy(self) -> Totals:
        """Return sums of their own with these values."""
        return replace(
            self, decisions=self.decisions.copy(), overlooked=self.overlooked.copy(), ends=self.ends.copy()
        )

    def add_job(self, job: CountedJob) -> None:
        """Add what a job has counted until now."""
        usage = job.usage
        self.bytes_up += job.up.moved_bytes - job.restored.bytes_up
        self.bytes_down += job.down.moved_bytes - job.restored.bytes_down
        self.wait_up_s += job.up.waited_s
        self.wait_down_s += job.down.waited_s
        self.decisions.update(usage.decisions)
        self.overlooked.update(usage.overlooked_reasons)
        self.ends.update(usage.ends)
        self.dns_s += usage.dns_s
        self.connect_s += usage.connect_s
        self.duration_s += usage.duration_s
