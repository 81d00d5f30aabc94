"""What a worker tells of its jobs, as JSON can say it: written there, read by the main process. Pure.

A report has the jobs that have changed since the last one, and sums over all. What one job
reached and was refused, which may be long, is told only when somebody asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

from jobgate.proxy.job import Job
from jobgate.proxy.totals import Totals
from jobgate.proxy.usage import JobCounters, Reached, Refused, Usage

from .lag import BOUNDS_S

#: Counters and state of one job; the directions are (waiting, waited_s, exhausted).
JobRow: TypeAlias = tuple[int, int, int, int, int, int, float, bool, int, float, bool]

_SUMS = ("decisions", "overlooked", "ends")
_REFUSALS = ("refused", "overlooked", "failed")


@dataclass(slots=True)
class Report:
    """What is known of a worker, or of several together.

    Attributes:
        jobs: Those that changed.
        totals: Sums since the worker began.
        connections: Open.
        outcomes: Of names asked for.
        asking: Names being asked for.
        remembered: Names remembered.
        dropped: Lines above the share of their job.
        lost: Lines that the log could not take.
        late: Samples of the loop's lateness up to each bound, and all of them.
        late_s: Their sum in seconds.
        held_back: Jobs that the node's rates alone hold back, up and down.
    """

    jobs: dict[str, JobRow] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    connections: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    asking: int = 0
    remembered: int = 0
    dropped: int = 0
    lost: int = 0
    late: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    late_s: float = 0.0
    held_back: tuple[int, int] = (0, 0)

    def as_json(self) -> dict[str, object]:
        """Write it."""
        return {**_named(self), "totals": _named(self.totals)}

    @classmethod
    def read(cls, body: Mapping[str, object]) -> Report:
        """Read what ``as_json`` wrote, after its way through JSON.

        Raises:
            TypeError, ValueError: It is something else.
        """
        values = dict(body)
        report = cls(**values)  # type: ignore[arg-type]
        report.totals = _totals(values["totals"])
        report.outcomes = Counter(report.outcomes)
        return report

    def add_past(self, other: Report) -> None:
        """Add what another one counted; what it holds now is gone with it."""
        _add_totals(self.totals, other.totals)
        self.outcomes.update(other.outcomes)
        self.dropped += other.dropped
        self.lost += other.lost
        self.late = [mine + its for mine, its in zip(self.late, other.late, strict=True)]
        self.late_s += other.late_s


def row_of(job: Job) -> JobRow:
    """Write the counters of a job."""
    usage, up, down = job.usage, job.up, job.down
    return (
        up.moved_bytes,
        down.moved_bytes,
        usage.requests,
        usage.refused_requests,
        job.connections,
        up.waiting,
        up.waited_s,
        up.exhausted,
        down.waiting,
        down.waited_s,
        down.exhausted,
    )


def mirror(job: Job, row: JobRow) -> None:
    """Have the job of the main process show what its worker counts."""
    bytes_up, bytes_down, requests, refused, connections = row[:5]
    up_waiting, up_waited_s, up_exhausted, down_waiting, down_waited_s, down_exhausted = row[5:]
    job.up.mirror(bytes_up, up_waiting, up_waited_s, exhausted=up_exhausted)
    job.down.mirror(bytes_down, down_waiting, down_waited_s, exhausted=down_exhausted)
    counters = JobCounters(bytes_up, bytes_down, requests, refused, job.restored.started_at)
    job.mirror(counters, connections)


def quiet(job: Job) -> None:
    """Have the job of the main process show that nobody serves it: its counters stay."""
    for direction in (job.up, job.down):
        direction.mirror(direction.moved_bytes, 0, direction.waited_s, exhausted=direction.exhausted)
    job.connections = 0


def usage_as_json(usage: Usage) -> dict[str, object]:
    """Write all that is known of a job's usage but the refusals that the job itself may read."""
    found = _named(usage)
    del found["denials"]
    found["reached"] = {authority: list(asdict(entry).values()) for authority, entry in usage.reached.items()}
    for name in _REFUSALS:
        counter: Counter[Refused] = getattr(usage, name)
        found[name] = [[*refused, count] for refused, count in counter.items()]
    return found


def read_usage(body: Mapping[str, object]) -> Usage:
    """Read it again.

    Raises:
        TypeError, ValueError: It is something else.
    """
    usage = Usage(**body)  # type: ignore[arg-type]
    usage.reached = {authority: Reached(*entry) for authority, entry in _mapping(body["reached"]).items()}
    for name in _REFUSALS:
        rows = body[name]
        if not isinstance(rows, list):
            raise TypeError(name)
        setattr(usage, name, Counter({Refused(*row[:3]): row[3] for row in rows}))
    for name in ("decisions", "overlooked_reasons", "ends"):
        setattr(usage, name, Counter(_mapping(body[name])))
    return usage


def _add_totals(to: Totals, more: Totals) -> None:
    """Add sums to sums."""
    for entry in fields(more):
        if entry.name in _SUMS:
            getattr(to, entry.name).update(getattr(more, entry.name))
        else:
            setattr(to, entry.name, getattr(to, entry.name) + getattr(more, entry.name))


def _named(values: Report | Totals | Usage) -> dict[str, object]:
    """Values by name; ``dataclasses.asdict`` takes counters apart."""
    return {entry.name: getattr(values, entry.name) for entry in fields(values)}


def _totals(value: object) -> Totals:
    totals = Totals(**_mapping(value))
    for name in _SUMS:
        setattr(totals, name, Counter(getattr(totals, name)))
    return totals


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, not {value!r}")
    return value
