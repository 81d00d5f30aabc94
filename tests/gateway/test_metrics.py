"""The families of ``/metrics``: their values, their names, and that their number is bounded."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from jobgate.config.policy import JobPolicy, NodePolicy, Policy
from jobgate.gateway.lag import LoopLag
from jobgate.gateway.metrics import MeteredGate, gather
from jobgate.proxy.errors import Reason
from jobgate.proxy.totals import Totals
from jobgate.proxy.usage import JobCounters
from support.gate import loopback_gate
from support.messages import absolute, ok
from support.origin import Origin, answer

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


@dataclass
class Direction:
    moved_bytes: int = 0
    waiting: int = 0
    waited_s: float = 0.0


@dataclass
class Job:
    up: Direction = field(default_factory=Direction)
    down: Direction = field(default_factory=Direction)
    policy: Policy = field(default_factory=lambda: Policy(JobPolicy(), NodePolicy()))
    gone: Reason | None = None
    connections: int = 0
    requests: int = 0
    refused: int = 0

    def counters(self) -> JobCounters:
        return JobCounters(self.up.moved_bytes, self.down.moved_bytes, self.requests, self.refused, 0.0)


@dataclass
class Resolver:
    outcomes: Counter[str] = field(default_factory=Counter)
    asking: int = 0
    remembered: int = 0


@dataclass
class Journal:
    dropped: int = 0
    lost: int = 0


@dataclass
class Gate:
    jobs: dict[str, Job] = field(default_factory=dict)
    sums: Totals = field(default_factory=Totals)
    draining: bool = False
    connections: int = 0
    max_connections: int = 100
    resolver: Resolver = field(default_factory=Resolver)
    journal: Journal = field(default_factory=Journal)

    def totals(self) -> Totals:
        return self.sums


class Timer:
    """A sampler's timer that never comes."""

    def cancel(self) -> None: ...


def samples(gate: MeteredGate, *, jobs: bool = False) -> dict[tuple[str, tuple[str, ...]], float]:
    """Name and label values, in the order of their names, to value: as Prometheus reads the text."""
    lag = LoopLag(lambda: 0.0, lambda _delay, _call: Timer())
    return parsed(gather(gate, lag, jobs=jobs))


def parsed(families: list[Metric]) -> dict[tuple[str, tuple[str, ...]], float]:
    registry = CollectorRegistry()
    registry.register(Fixed(families))
    text = generate_latest(registry).decode()
    found = {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert len(found) == sum(1 for line in text.splitlines() if not line.startswith("#"))
    return found


class Fixed:
    """A collector of given families."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def busy_gate() -> Gate:
    job = Job(
        up=Direction(10, 1, 0.5),
        down=Direction(2000, 3, 7.25),
        policy=Policy(JobPolicy(rate_up=125_000.0, rate_down=math.inf), NodePolicy()),
        connections=4,
        requests=9,
        refused=2,
    )
    sums = Totals(
        bytes_up=110,
        bytes_down=3000,
        decisions=Counter({"allow": 7, "not-listed": 2}),
        overlooked=Counter({"port": 3}),
        ends=Counter({"done": 6, "idle": 1}),
        wait_up_s=0.75,
        wait_down_s=8.25,
        dns_s=0.25,
        connect_s=0.5,
        duration_s=60.0,
    )
    return Gate(
        jobs={"train-42": job, "old": Job(gone=Reason.EXPIRED)},
        sums=sums,
        draining=True,
        connections=4,
        resolver=Resolver(Counter({"answered": 5, "dns-nxdomain": 1}), 2, 3),
        journal=Journal(11, 12),
    )


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("jobgate_draining", (), 1),
        ("jobgate_connections", (), 4),
        ("jobgate_connections_max", (), 100),
        ("jobgate_jobs", ("active",), 1),
        ("jobgate_jobs", ("expired",), 1),
        ("jobgate_decisions_total", ("allow", ""), 7),
        ("jobgate_decisions_total", ("deny", "not-listed"), 2),
        ("jobgate_would_deny_total", ("port",), 3),
        ("jobgate_ends_total", ("done",), 6),
        ("jobgate_ends_total", ("idle",), 1),
        ("jobgate_request_seconds_total", (), 60),
        ("jobgate_dns_seconds_total", (), 0.25),
        ("jobgate_connect_seconds_total", (), 0.5),
        ("jobgate_relayed_bytes_total", ("up",), 110),
        ("jobgate_relayed_bytes_total", ("down",), 3000),
        ("jobgate_rate_wait_seconds_total", ("up",), 0.75),
        ("jobgate_rate_wait_seconds_total", ("down",), 8.25),
        ("jobgate_rate_waiting", ("up",), 1),
        ("jobgate_rate_waiting", ("down",), 3),
        ("jobgate_dns_answers_total", ("answered",), 5),
        ("jobgate_dns_answers_total", ("dns-nxdomain",), 1),
        ("jobgate_dns_asking", (), 2),
        ("jobgate_dns_cache_entries", (), 3),
        ("jobgate_log_lines_dropped_total", ("share",), 11),
        ("jobgate_log_lines_dropped_total", ("log",), 12),
        ("jobgate_loop_lag_seconds_count", (), 0),
    ],
)
def test_counter_of_the_gate_is_a_sample(name: str, labels: tuple[str, ...], value: float) -> None:
    assert samples(busy_gate())[name, labels] == value


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("relayed_bytes_total", ("up",), 10),
        ("relayed_bytes_total", ("down",), 2000),
        ("rate_wait_seconds_total", ("down",), 7.25),
        ("rate_waiting", ("down",), 3),
        ("rate_bytes", ("up",), 125_000),
        ("rate_bytes", ("down",), math.inf),
        ("requests_total", ("allow",), 7),
        ("requests_total", ("deny",), 2),
        ("connections", (), 4),
    ],
)
def test_counter_of_a_job_is_a_sample_where_asked_for(
    name: str, labels: tuple[str, ...], value: float
) -> None:
    assert samples(busy_gate(), jobs=True)[f"jobgate_job_{name}", (*labels, "train-42")] == value


def test_job_is_no_label_unless_asked_for() -> None:
    assert not any("train-42" in labels for _, labels in samples(busy_gate()))


def test_gate_without_jobs_has_samples_too() -> None:
    found = samples(Gate(), jobs=True)
    assert found["jobgate_jobs", ("active",)] == 0
    assert found["jobgate_decisions_total", ("allow", "")] == 0


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_every_reason_is_a_valid_label(reason: Reason) -> None:
    gate = Gate(sums=Totals(decisions=Counter({reason.token: 1}), ends=Counter({reason.token: 1})))
    found = samples(gate)
    assert found["jobgate_decisions_total", ("deny", reason.token)] == 1
    assert found["jobgate_ends_total", (reason.token,)] == 1


async def test_number_of_series_does_not_follow_hosts() -> None:
    unlimited = "[limits]\nrequests_per_s_per_job = 0"
    counts = []
    async with loopback_gate(tables=unlimited) as running, running.client() as client:
        for first in (0, 1000):
            for number in range(first, first + 1000):
                response = await client.request(absolute(f"http://host-{number}.evil.test/"))
                assert response.status == 403
            counts.append(samples(running.gate, jobs=True))
    few, many = counts
    assert few.keys() == many.keys()
    assert many["jobgate_decisions_total", ("deny", "not-listed")] == 2000
    assert not any("evil" in label for _, labels in many for label in labels)
    assert len(many) < 80


async def test_real_gate_has_what_is_read_of_it() -> None:
    async with (
        Origin(answer(ok(b"x" * 5000))) as origin,
        loopback_gate() as running,
        running.client() as client,
    ):
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        await running.until_closed(1)
        found = samples(running.gate, jobs=True)
    assert found["jobgate_connections", ()] == 1
    assert found["jobgate_decisions_total", ("allow", "")] == 1
    assert found["jobgate_ends_total", ("done",)] == 1
    assert found["jobgate_relayed_bytes_total", ("down",)] > 5000
    assert found["jobgate_job_relayed_bytes_total", ("down", "job")] > 5000
    assert found["jobgate_job_rate_bytes", ("up", "job")] == math.inf


def test_documented_metrics_are_those_there_are() -> None:
    documented = set(re.findall(r"^\| `(jobgate_\w+)`", PAGE, re.MULTILINE))
    names = {name for name, _ in samples(busy_gate(), jobs=True)}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in names} == documented


ALERTS = re.findall(r"^\| [^`|]+ \| `(.*)` \|$", PAGE.split("## Worth an alert")[1], re.MULTILINE)


def test_alerts_are_found() -> None:
    assert len(ALERTS) == 5


@pytest.mark.parametrize("alert", ALERTS)
def test_documented_alert_is_of_series_that_there_are(alert: str) -> None:
    gate = busy_gate()
    gate.resolver.outcomes.update(reason.token for reason in Reason if reason.token.startswith("dns-"))
    families = gather(gate, LoopLag(lambda: 0.0, lambda _delay, _call: Timer()), jobs=True)
    every = [sample for family in families for sample in family.samples]
    for name, selector in re.findall(r"(jobgate_\w+)(?:\{(.*?)\})?", alert):
        labels = [sample.labels for sample in every if sample.name == name]
        assert labels
        for label, values in re.findall(r'(\w+)=~?"(.*?)"', selector):
            assert set(values.split(r"\|")) <= {each.get(label) for each in labels}
    growing = re.findall(r"rate\((\w+)", alert)
    assert all(name.endswith(("_total", "_bucket")) for name in growing)
