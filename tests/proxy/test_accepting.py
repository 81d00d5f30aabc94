"""Who is taken in, and with whom a connection is counted."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from jobgate.proxy.accepting import RESERVED_DESCRIPTORS, effective_connections, spare
from jobgate.proxy.job import Job
from jobgate.proxy.splice import OWN
from support.client import Client
from support.gate import FakeResolver, RunningGate, loopback_gate, running_gate
from support.messages import absolute, connect
from support.origin import Origin, echo
from support.splicers import CountingSplicer
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
    [(1024, 20000, 256), (20000, 20000, 6581), (1 << 20, 20000, 20000), (256, 20000, 1), (1024, 5, 5)],
    ids=["1024", "20000", "enough", "none-left", "configured"],
)
def test_effective_connections_leave_descriptors_for_upstreams(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, configured: int, effective: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert effective_connections(configured) == effective


@pytest.mark.parametrize("descriptors", [259, 260, 261, 262, 1024, 20000])
def test_descriptors_suffice_for_all_connections_and_the_spare_ones(
    monkeypatch: pytest.MonkeyPatch, descriptors: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    connections = effective_connections(20000)
    in_all = 2 * connections + 2 * spare(connections)  # refused ones have one leg, idle ones likewise
    assert in_all <= descriptors - RESERVED_DESCRIPTORS + 1


class WatchingSplicer(CountingSplicer):
    """Remembers how many descriptors the process had at most while bytes were spliced."""

    __slots__ = ("most",)

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def move(self, source: socket.socket, target: socket.socket, n: int) -> tuple[int, bytes]:
        moved = super().move(source, target, n)
        self.most = max(self.most, len(os.listdir("/proc/self/fd")))
        return moved


async def echoed(client: Client, content: bytes) -> None:
    received, _ = await asyncio.gather(client.read_exactly(len(content)), client.send(content))
    assert received == content


@pytest.mark.parametrize("rate", ["1000000000", '"unlimited"'], ids=["limited", "unlimited"])
async def test_tunnel_in_bulk_has_two_descriptors(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    splicer, content = WatchingSplicer(), bytes(1 << 21)
    monkeypatch.setattr(OWN, "splicer", splicer)
    async with Origin(echo) as origin, loopback_gate(rate=rate) as gate, AsyncExitStack() as stack:
        most = []
        for _ in range(3):
            client = await stack.enter_async_context(gate.client())
            assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
            before = splicer.moved_bytes
            splicer.most = 0
            await echoed(client, content)
            assert splicer.moved_bytes > before
            most.append(splicer.most)
    splicer.close()
    ends = 2  # the client's and the origin's, which are in this process, too
    assert [later - earlier for earlier, later in pairwise(most)] == [2 + ends] * 2


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


async def answered(gate: RunningGate, head: bytes, shown: Job | None) -> bytes:
    """Give the gate a connection whose head another process has seen already; what comes back."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    theirs.sendall(head)
    gate.gate.reception.accepted(gate.gate.shared, ours, "192.0.2.7:49152", shown)
    with theirs:
        return await asyncio.get_running_loop().sock_recv(theirs, 1000)


def asking(credentials: str) -> bytes:
    name, value = showing(credentials)[1]
    return absolute(PROBE, f"{name.decode()}: {value.decode()}")


async def test_connection_that_another_process_knows_is_counted_with_its_job_at_once() -> None:
    async with running_gate(TWO_WAYS, resolver=FakeResolver({})) as gate:
        job = gate.gate.jobs["shared"]
        asked = asyncio.ensure_future(answered(gate, asking("shared:t"), job))
        await asyncio.sleep(0)
        assert counts(gate) == {"own": 0, "shared": 1, "": 0}
        assert (await asked).startswith(b"HTTP/1.1 200 ")
        await gate.gate.reception.emptied()
        assert counts(gate) == {"own": 0, "shared": 0, "": 0}
        assert [line["job"] for line in gate.decisions] == ["shared"]


@pytest.mark.parametrize(
    ("head", "status"),
    [(asking("shared:changed"), 407), (asking("shared:t").replace(b"Host", b"Ho st"), 400)],
    ids=["token-changed-meanwhile", "no-head"],
)
async def test_request_is_nobodys_until_it_shows_a_job_whatever_another_process_knew(
    head: bytes, status: int
) -> None:
    async with running_gate(TWO_WAYS, resolver=FakeResolver({})) as gate:
        answer = await answered(gate, head, gate.gate.jobs["shared"])
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        await gate.until_closed(1)
        assert [line["job"] for line in gate.decisions] == [""]
        assert gate.gate.jobs["shared"].usage.decisions == {}


async def test_connection_of_a_job_that_has_far_too_many_stays_a_strangers() -> None:
    text = TWO_WAYS.replace('token = "t"', 'token = "t"\nmax_connections = 1')
    async with running_gate(text, resolver=FakeResolver({})) as gate:
        job = gate.gate.jobs["shared"]
        job.connections = job.caps.heard
        try:
            answer = await answered(gate, asking("shared:t"), job)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert job.connections == job.caps.heard
        finally:
            job.connections = 0
