from __future__ import annotations

import math
from pathlib import Path

import pytest

from jobgate.gateway.api.shapes import job_shape, live_shape, rate_shape, usage_shape
from jobgate.gateway.views import JobView, Origin, State
from jobgate.proxy.usage import JobCounters, Refused
from support.control import control_api
from support.registry import DOCUMENT

VIEW = JobView(
    id="a",
    origin=Origin.API,
    document={"id": "a"},
    state=State.ACTIVE,
    listen="127.0.0.1:3128",
    created_at=0.0,
    counters=JobCounters(1, 2, 3, 4, 0.0),
    connections=5,
    has_token=True,
)


@pytest.mark.parametrize(("rate", "shown"), [(1.5, 1.5), (math.inf, None)], ids=["limited", "unlimited"])
def test_rate_shape(rate: float, shown: float | None) -> None:
    assert rate_shape(rate) == shown


def test_job_that_the_gate_does_not_serve_is_shown_with_its_counters() -> None:
    shape = job_shape(VIEW._replace(state=State.REFUSED, problem="why"), None)
    assert (shape["state"], shape["problem"], shape["created_at"]) == (
        "refused",
        "why",
        "1970-01-01T00:00:00.000Z",
    )
    live = live_shape(VIEW, None)
    assert {key: live[key] for key in ("bytes_up", "bytes_down", "requests", "refused", "connections")} == {
        "bytes_up": 1,
        "bytes_down": 2,
        "requests": 3,
        "refused": 4,
        "connections": 5,
    }
    assert (live["rate_up"], live["waiting_up"], live["wait_down_s"]) == (None, 0, 0.0)


async def test_usage_has_the_top_of_each_list_and_what_would_help(tmp_path: Path) -> None:
    async with control_api(tmp_path, "") as api:
        view, _ = await api.world.registry.put("a", {**DOCUMENT, "rate_up": 1000})
        job = api.world.gate.jobs["a"]
        job.usage.add("small.test:443", 1, 2)
        job.usage.add("big.test:443", 100, 200)
        job.usage.decide("allow")
        for _ in range(2):
            job.usage.refuse(Refused("www.b.test:443", "not-listed", "connect"), {})
        job.usage.refuse(Refused("c.test:443", "not-listed", "connect"), {})
        job.usage.overlook(Refused("d.test:8443", "port", "connect"))
        job.usage.fail(Refused("a.test:443", "dns-nxdomain", "connect"))
        shape = usage_shape(view, job, 1)
    assert shape["decisions"] == {"allow": 1}
    assert shape["reached"] == [
        {"authority": "big.test:443", "requests": 1, "bytes_up": 100, "bytes_down": 200}
    ]
    row = {"authority": "www.b.test:443", "reason": "not-listed", "kind": "connect", "count": 2}
    assert shape["refused"] == [{**row, "proposals": ["www.b.test", ".b.test"]}]
    row = {"authority": "d.test:8443", "reason": "port", "kind": "connect", "count": 1}
    assert shape["overlooked"] == [{**row, "proposals": ["d.test:8443", ".d.test:8443"]}]
    row = {"authority": "a.test:443", "reason": "dns-nxdomain", "kind": "connect", "count": 1}
    assert shape["failed"] == [{**row, "proposals": []}]
