"""What the metrics page reads of a gate: of one process, or the sums of several. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from jobgate.proxy.gate import Gate
from jobgate.proxy.totals import Totals

from .fleet import Fleet
from .lag import LoopLag
from .metrics import MeteredGate, MeteredJob, MeteredLag


@dataclass(frozen=True, slots=True)
class _Names:
    outcomes: Mapping[str, int]
    asking: int
    remembered: int


@dataclass(frozen=True, slots=True)
class _Lines:
    dropped: int
    lost: int


@dataclass(frozen=True, slots=True)
class _Lateness:
    buckets: list[int]
    total_s: float


@dataclass(frozen=True, slots=True)
class _Sum:
    """A fleet as one gate."""

    jobs: Mapping[str, MeteredJob]
    draining: bool
    connections: int
    max_connections: int
    resolver: _Names
    journal: _Lines
    all_totals: Totals

    def totals(self) -> Totals:
        return self.all_totals


def metered(gate: Gate, lag: LoopLag) -> tuple[MeteredGate, MeteredLag]:
    """Add up what the processes of a gate have counted: the workers, as they told last, and this one.

    Args:
        gate: One that serves alone is what it is.
        lag: Of this process.
    """
    if not isinstance(gate, Fleet):
        return gate, lag
    report, own = gate.report(), gate.resolver
    names = _Names(
        Counter(own.outcomes) + report.outcomes,
        own.asking + report.asking,
        own.remembered + report.remembered,
    )
    lines = _Lines(gate.journal.dropped + report.dropped, gate.journal.lost + report.lost)
    late = [mine + theirs for mine, theirs in zip(lag.buckets, report.late, strict=True)]
    whole = _Sum(
        gate.jobs, gate.draining, gate.connections, gate.max_connections, names, lines, gate.totals()
    )
    return whole, _Lateness(late, lag.total_s + report.late_s)
