"""Who is taken in, and with whom a connection is counted."""

from __future__ import annotations

import resource

import pytest

from jobgate.proxy.accepting import effective_connections
from support.gate import FakeResolver, RunningGate, running_gate
from support.messages import absolute
from support.visits import showing
from support.wait import until

PROBE = "http://jobgate.internal/denials"
TWO_WAYS = """
listen.proxy = ["127.0.0.1:3128"]
[[job]]
id = "own"
network = "http"
listen = "127.0.0.1:0"
domains = ["ok.test"]
[[job]]
id = "shared"
network = "http"
token = "t"
domains = ["ok.test"]
"""


@pytest.mark.parametrize(
    ("descriptors", "configured", "effective"),
    [(1024, 20000, 192), (65536, 20000, 16320), (1 << 20, 20000, 20000), (256, 20000, 1), (1024, 5, 5)],
    ids=["1024", "65536", "enough", "none-left", "configured"],
)
def test_effective_connections_leave_descriptors_for_upstreams(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, configured: int, effective: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert effective_connections(configured) == effective


def counts(gate: RunningGate) -> dict[str, int]:
    jobs = (*gate.gate.jobs.values(), gate.gate.nobody)
    return {job.id: job.connections for job in jobs}


async def test_connection_is_counted_with_its_job_from_when_that_is_known() -> None:
    async with running_gate(TWO_WAYS, resolver=FakeResolver({})) as gate:
        gate.ports += gate.shared_ports
        async with gate.client() as own, gate.client(1) as shared:
            await until(lambda: len(gate.gate.reception) == 2)
            assert counts(gate) == {"own": 1, "shared": 0, "": 1}
            name, value = showing("shared:t")[1]
            response = await shared.request(absolute(PROBE, f"{name.decode()}: {value.decode()}"))
            assert response.status == 200
            assert counts(gate) == {"own": 1, "shared": 1, "": 0}
            assert (await own.request(absolute(PROBE))).status == 200
        await gate.gate.reception.emptied()
        assert counts(gate) == {"own": 0, "shared": 0, "": 0}


async def test_stranger_that_leaves_is_counted_no_more() -> None:
    async with running_gate(TWO_WAYS, resolver=FakeResolver({})) as gate:
        gate.ports += gate.shared_ports
        async with gate.client(1):
            await until(lambda: counts(gate)[""] == 1)
        await gate.gate.reception.emptied()
        assert counts(gate) == {"own": 0, "shared": 0, "": 0}
