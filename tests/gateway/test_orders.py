from __future__ import annotations

import json

import pytest

from jobgate.config.load import load_text
from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway import orders
from jobgate.gateway.parcel import unpacked
from jobgate.proxy.usage import JobCounters

SETTINGS = load_text(
    """
[listen]
proxy = ["127.0.0.1:0"]
[limits]
max_connections = 101
[[job]]
id = "t"
network = "http"
domains = ["a.test"]
token = "0123456789abcdef"
"""
)
(JOB,) = SETTINGS.jobs


def test_worker_has_its_part_of_the_connections_and_no_jobs() -> None:
    found = unpacked(orders.begin(SETTINGS, 2)["settings"], Settings)
    assert (found.limits.max_connections, found.jobs) == (51, ())
    assert found.node == SETTINGS.node


@pytest.mark.parametrize(("limit", "workers", "part"), [(10, 2, 5), (10, 3, 4), (1, 8, 1)])
def test_numbers_are_parted_and_rounded_up(limit: int, workers: int, part: int) -> None:
    assert orders.part_of(limit, workers) == part


def test_worker_is_told_the_hash_of_a_token_and_not_the_token() -> None:
    assert JOB.token
    added = orders.add(JOB, JobCounters(1, 2, 3, 4, 5.0))
    changed, node = orders.change(JOB), orders.change_node(SETTINGS, [JOB], 2)
    (of_node,) = unpacked(node["jobs"], tuple)
    for job in (unpacked(added["add"], JobSettings), unpacked(changed["change"], JobSettings), of_node):
        assert (job.id, job.token, job.token_hash) == ("t", "", JOB.token_hash)
    assert added["counters"] == [1, 2, 3, 4, 5.0]


def test_every_order_can_be_said_in_json() -> None:
    said = [
        orders.begin(SETTINGS, 2),
        orders.add(JOB, JobCounters(0, 0, 0, 0, 0.0)),
        orders.change(JOB),
        orders.change_node(SETTINGS, [JOB], 2),
        orders.own("127.0.0.1", 1, there=True),
    ]
    assert [json.loads(json.dumps(order)) for order in said] == said


@pytest.mark.parametrize(
    ("line", "job"), [('{"event":"decision","job":"a"}', "a"), ('{"event":"state"}', ""), ('{"job":1}', "")]
)
def test_job_of_a_line(line: str, job: str) -> None:
    assert orders.job_of(line) == job
