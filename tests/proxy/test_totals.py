"""Sums over all jobs: nothing twice, nothing lost, never going back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from jobgate.proxy.errors import Reason
from jobgate.proxy.totals import Totals
from jobgate.proxy.usage import JobCounters, Refused, Usage
from support.gate import loopback_gate
from support.messages import absolute, ok
from support.origin import Origin, answer
from support.wait import until


@dataclass
class Direction:
    moved_bytes: int = 0
    waited_s: float = 0.0


@dataclass
class Job:
    usage: Usage = field(default_factory=Usage)
    up: Direction = field(default_factory=Direction)
    down: Direction = field(default_factory=Direction)
    restored: JobCounters = field(default_factory=lambda: JobCounters(0, 0, 0, 0, 0.0))


def busy_job() -> Job:
    usage = Usage(requests=102, refused_requests=51)
    usage.decide("allow")
    usage.decide("not-listed")
    usage.overlook(Refused("a.test:443", "port", "connect"))
    usage.ends["done"] += 1
    usage.duration_s, usage.dns_s, usage.connect_s = 3.0, 0.25, 0.5
    return Job(usage, Direction(1100, 1.5), Direction(2200, 2.5), JobCounters(1000, 2000, 100, 50, 0.0))


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_sum_is_of_this_process_alone(jobs: int) -> None:
    totals = Totals()
    for _ in range(jobs):
        totals.add_job(busy_job())
    assert (totals.bytes_up, totals.bytes_down) == (100 * jobs, 200 * jobs)
    assert totals.decisions.total() == 2 * jobs
    assert totals.overlooked["port"] == jobs
    assert totals.ends["done"] == jobs
    times = (totals.wait_up_s, totals.wait_down_s, totals.duration_s, totals.dns_s, totals.connect_s)
    assert times == (1.5 * jobs, 2.5 * jobs, 3.0 * jobs, 0.25 * jobs, 0.5 * jobs)


def test_copy_goes_its_own_way() -> None:
    totals = Totals()
    totals.add_job(busy_job())
    copy = totals.copy()
    assert copy == totals
    copy.add_job(busy_job())
    assert totals.decisions.total() == 2
    assert copy.decisions.total() == 4


async def test_job_that_is_removed_leaves_its_counts() -> None:
    async with Origin(answer(ok(b"x" * 5000))) as origin, loopback_gate() as running:
        async with running.client() as client:
            assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
            assert (await client.request(absolute("http://evil.test/"))).status == 403
            await running.until_closed(2)
            before = running.gate.totals()
            assert before.bytes_down > 5000
            assert before.ends == {"done": 1, "not-listed": 1}
            running.gate.remove_job("job", Reason.UNKNOWN_JOB)
            during = running.gate.totals()
            await until(lambda: running.gate.connections == 0)
        after = running.gate.totals()
        assert not running.gate.jobs
        for later in (during, after):
            assert (later.bytes_up, later.bytes_down) == (before.bytes_up, before.bytes_down)
            assert later.decisions == before.decisions
