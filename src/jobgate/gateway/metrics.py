"""What Prometheus reads: the gate's live counters, gathered when they are asked for.

Nothing is done per request. Labels have few values, all of them ours: directions,
states, reasons. No host and no client is ever a label; jobs are only where the scrape
asks for them (``?jobs=1``), since an operator may have a thousand a day.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from jobgate import __version__
from jobgate.config.policy import Policy
from jobgate.proxy.errors import Reason
from jobgate.proxy.totals import Totals
from jobgate.proxy.usage import ALLOW, JobCounters

from .lag import BOUNDS_S

DIRECTIONS = ("up", "down")


class MeteredDirection(Protocol):
    """One direction of a job."""

    @property
    def moved_bytes(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def waited_s(self) -> float: ...


class MeteredJob(Protocol):
    """A job of the gate."""

    @property
    def policy(self) -> Policy: ...
    @property
    def gone(self) -> Reason | None: ...
    @property
    def connections(self) -> int: ...
    @property
    def up(self) -> MeteredDirection: ...
    @property
    def down(self) -> MeteredDirection: ...
    def counters(self) -> JobCounters: ...


class MeteredResolver(Protocol):
    """What the resolver has done: its answers by outcome, and how many names it asks for and remembers."""

    @property
    def outcomes(self) -> Mapping[str, int]: ...
    @property
    def asking(self) -> int: ...
    @property
    def remembered(self) -> int: ...


class MeteredJournal(Protocol):
    """Lines that the log does not have: above a job's share, and lost by the file."""

    @property
    def dropped(self) -> int: ...
    @property
    def lost(self) -> int: ...


class MeteredLag(Protocol):
    """How late the loop was: samples up to each of ``BOUNDS_S``, and all; their sum in seconds."""

    @property
    def buckets(self) -> list[int]: ...
    @property
    def total_s(self) -> float: ...


class MeteredGate(Protocol):
    """What is read of the gate."""

    @property
    def jobs(self) -> Mapping[str, MeteredJob]: ...
    @property
    def draining(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    @property
    def max_connections(self) -> int: ...
    @property
    def resolver(self) -> MeteredResolver: ...
    @property
    def journal(self) -> MeteredJournal: ...
    def totals(self) -> Totals: ...


def gather(gate: MeteredGate, lag: MeteredLag, *, jobs: bool = False) -> list[Metric]:
    """Read all counters as they stand; on the gate's loop, since it changes them.

    Args:
        gate: Whose they are.
        lag: The sampler of its loop.
        jobs: Give those of each job, too.
    """
    totals = gate.totals()
    return [
        *_state(gate),
        *_decisions(totals),
        *_traffic(gate, totals),
        *_names(gate.resolver),
        *_log(gate.journal),
        _lag(lag),
        *(_jobs(gate.jobs) if jobs else ()),
    ]


def _state(gate: MeteredGate) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "jobgate_build",
        "Version of jobgate and of Python.",
        {"version": __version__, "python": platform.python_version()},
    )
    yield _gauge("jobgate_draining", "1 while the gate takes no new connections.", gate.draining)
    yield _gauge("jobgate_connections", "Client connections open.", gate.connections)
    yield _gauge("jobgate_connections_max", "Client connections that may be open.", gate.max_connections)
    states = Counter("active" if job.gone is None else job.gone.token for job in gate.jobs.values())
    family = GaugeMetricFamily("jobgate_jobs", "Jobs by state: active, expired, quota.", labels=["state"])
    for state in sorted({"active", *states}):
        family.add_metric([state], states[state])
    yield family


def _decisions(totals: Totals) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "jobgate_decisions", "Requests decided, by reason of refusal.", labels=["decision", "reason"]
    )
    family.add_metric(["allow", ""], totals.decisions[ALLOW])
    for reason in sorted(totals.decisions.keys() - {ALLOW}):
        family.add_metric(["deny", reason], totals.decisions[reason])
    yield family
    yield _counter(
        "jobgate_would_deny",
        "Refusals that report mode let pass.",
        ["reason"],
        sorted(totals.overlooked.items()),
    )
    yield _counter("jobgate_ends", "Requests by how they ended.", ["reason"], sorted(totals.ends.items()))
    for name, what, seconds in (
        ("request", "Time from head to end", totals.duration_s),
        ("dns", "Time spent resolving", totals.dns_s),
        ("connect", "Time spent dialling", totals.connect_s),
    ):
        yield CounterMetricFamily(f"jobgate_{name}_seconds", f"{what}, added up over requests.", seconds)


def _traffic(gate: MeteredGate, totals: Totals) -> Iterator[Metric]:
    yield _counter(
        "jobgate_relayed_bytes",
        "Bytes relayed between jobs and origins.",
        ["direction"],
        zip(DIRECTIONS, (totals.bytes_up, totals.bytes_down), strict=True),
    )
    yield _counter(
        "jobgate_rate_wait_seconds",
        "Time that connections were held back by their job's rate, added up.",
        ["direction"],
        zip(DIRECTIONS, (totals.wait_up_s, totals.wait_down_s), strict=True),
    )
    family = GaugeMetricFamily(
        "jobgate_rate_waiting", "Connections held back by their job's rate now.", labels=["direction"]
    )
    family.add_metric(["up"], sum(job.up.waiting for job in gate.jobs.values()))
    family.add_metric(["down"], sum(job.down.waiting for job in gate.jobs.values()))
    yield family


def _names(resolver: MeteredResolver) -> Iterator[Metric]:
    yield _counter(
        "jobgate_dns_answers",
        "Names asked for at name servers, by outcome.",
        ["outcome"],
        sorted(resolver.outcomes.items()),
    )
    yield _gauge("jobgate_dns_asking", "Names being asked for.", resolver.asking)
    yield _gauge("jobgate_dns_cache_entries", "Names remembered.", resolver.remembered)


def _log(journal: MeteredJournal) -> Iterator[Metric]:
    yield _counter(
        "jobgate_log_lines_dropped",
        "Lines that the log lacks: above a job's share, or lost by a log that was blocked or full.",
        ["cause"],
        (("share", journal.dropped), ("log", journal.lost)),
    )


def _lag(lag: MeteredLag) -> Metric:
    bounds = [*map(repr, BOUNDS_S), "+Inf"]
    return HistogramMetricFamily(
        "jobgate_loop_lag_seconds",
        "How late the event loop was, sampled twice a second.",
        list(zip(bounds, map(float, lag.buckets), strict=True)),
        lag.total_s,
    )


def _jobs(jobs: Mapping[str, MeteredJob]) -> Iterator[Metric]:
    """One series or two a job and family; a job that is removed takes its series along."""
    by_direction = ["job", "direction"]
    moved = CounterMetricFamily("jobgate_job_relayed_bytes", "Bytes relayed.", labels=by_direction)
    waited = CounterMetricFamily(
        "jobgate_job_rate_wait_seconds", "Time held back by the rate.", labels=by_direction
    )
    waiting = GaugeMetricFamily("jobgate_job_rate_waiting", "Connections held back.", labels=by_direction)
    limit = GaugeMetricFamily("jobgate_job_rate_bytes", "Bytes per second allowed.", labels=by_direction)
    requests = CounterMetricFamily("jobgate_job_requests", "Requests decided.", labels=["job", "decision"])
    connections = GaugeMetricFamily("jobgate_job_connections", "Client connections.", labels=["job"])
    for job_id, job in jobs.items():
        counters, policy = job.counters(), job.policy.job
        for name, direction, rate in (("up", job.up, policy.rate_up), ("down", job.down, policy.rate_down)):
            labels = [job_id, name]
            moved.add_metric(labels, direction.moved_bytes)
            waited.add_metric(labels, direction.waited_s)
            waiting.add_metric(labels, direction.waiting)
            limit.add_metric(labels, math.inf if math.isinf(rate) else rate)
        requests.add_metric([job_id, "allow"], counters.requests - counters.refused)
        requests.add_metric([job_id, "deny"], counters.refused)
        connections.add_metric([job_id], job.connections)
    yield from (moved, waited, waiting, limit, requests, connections)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counter(name: str, text: str, labels: list[str], values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for label, value in values:
        family.add_metric([label], value)
    return family
