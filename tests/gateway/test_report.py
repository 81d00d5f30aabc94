from __future__ import annotations

import json
from collections import Counter

import pytest

from jobgate.gateway.lag import BOUNDS_S
from jobgate.gateway.report import Report, mirror, quiet, read_usage, row_of, usage_as_json
from jobgate.proxy.totals import Totals
from jobgate.proxy.usage import Reached, Refused, Usage
from support.registry import world

LATE = list(range(len(BOUNDS_S) + 1))


def report() -> Report:
    totals = Totals(1, 2, Counter(allow=3), Counter(), Counter(done=3), 0.5, 0.25, 0.1, 0.2, 0.3)
    row = (1, 2, 3, 4, 5, 6, 7.0, True, 8, 9.0, False)
    return Report({"a": row}, totals, 5, Counter(answered=2), 1, 2, 3, 4, LATE, 0.5, (1, 0))


def through_json(body: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(json.dumps(body))
    return found


def test_report_arrives_as_it_was() -> None:
    found, sent = Report.read(through_json(report().as_json())), report()
    assert (found.totals, found.outcomes, found.late) == (sent.totals, sent.outcomes, sent.late)
    assert [tuple(row) for row in found.jobs.values()] == list(sent.jobs.values())
    assert (found.connections, found.dropped, found.lost) == (5, 3, 4)
    assert tuple(found.held_back) == (1, 0)


@pytest.mark.parametrize("body", [{}, {"unknown": 1}, {"totals": 7}], ids=["empty", "unknown", "no-totals"])
def test_something_else_is_not_taken(body: dict[str, object]) -> None:
    with pytest.raises((TypeError, KeyError)):
        Report.read(body)


def test_past_is_what_was_counted_and_not_what_was_held() -> None:
    whole = Report()
    whole.add_past(report())
    whole.add_past(report())
    assert (whole.totals.bytes_up, whole.totals.decisions["allow"], whole.totals.connect_s) == (2, 6, 0.4)
    assert (whole.outcomes, whole.dropped, whole.lost, whole.late_s) == (Counter(answered=4), 6, 8, 1.0)
    assert whole.late == [2 * count for count in LATE]
    assert (whole.jobs, whole.connections, whole.asking, whole.remembered) == ({}, 0, 0, 0)


def test_usage_arrives_as_it_was_but_for_what_the_job_may_read() -> None:
    refused = Refused("evil.test:443", "not-listed", "connect")
    usage = Usage(requests=3, refused_requests=1)
    usage.add("a.test:443", 10, 20)
    usage.refuse(refused, {"host": "evil.test"})
    usage.overlook(refused)
    usage.fail(refused)
    usage.decide("allow")
    usage.ends["done"] += 1
    usage.duration_s, usage.dns_s, usage.connect_s = 1.0, 0.5, 0.25
    found = read_usage(through_json(usage_as_json(usage)))
    assert not found.denials
    usage.denials.clear()
    assert found == usage
    assert found.reached["a.test:443"] == Reached(1, 10, 20)


async def test_mirror_shows_what_another_process_counts() -> None:
    job_of_file = '[[job]]\nid = "t"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["a.test"]\n'
    async with world(f"{job_of_file}max_bytes_up = 1000\n") as made:
        job = made.gate.jobs["t"]
        row = (400, 500, 6, 2, 3, 1, 0.5, False, 2, 0.25, False)
        mirror(job, row)
        assert row_of(job) == row
        assert job.counters()[:4] == (400, 500, 6, 2)
        assert job.gone is None
        mirror(job, (990, 500, 7, 2, 3, 0, 0.5, True, 2, 0.25, False))  # a piece did not fit any more
        assert job.gone is not None
        assert job.gone.token == "quota"
        mirror(job, row)
        assert job.gone is None
        quiet(job)
        assert row_of(job) == (400, 500, 6, 2, 0, 0, 0.5, False, 0, 0.25, False)
