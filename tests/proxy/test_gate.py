from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from itertools import pairwise

import pytest

from jobgate.config.load import load_text
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.ratelimit.pacer import TICKS_PER_S
from support.client import Client
from support.gate import FakeResolver, RunningGate, loopback_gate, running_gate
from support.messages import absolute, connect, head, ok
from support.origin import Origin, Peer, answer, echo, swallow
from support.wait import until

JOBS = """
[[job]]
id = "first"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
[[job]]
id = "second"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
"""


@asynccontextmanager
async def empty_gate() -> AsyncIterator[Gate]:
    """Make a gate with one job and no listener."""
    settings = load_text(JOBS)
    gate = Gate(settings, journal=Journal(), resolver=FakeResolver({}))
    gate.add_job(settings.jobs[0])
    try:
        yield gate
    finally:
        await gate.close()


async def tunnel(client: Client, port: int) -> None:
    """Open a tunnel."""
    assert (await client.request(connect(f"ok.test:{port}"), "CONNECT")).status == 200


# --- time


async def test_rate_is_counted_by_a_clock_finer_than_the_ticks_of_the_loop() -> None:
    """A clock in steps of a tick lets a tick's tokens leave twice within the time of one burst."""
    async with empty_gate() as gate:
        seen = {gate._pacer.clock() for _ in range(10_000)}
        assert min(after - before for before, after in pairwise(sorted(seen))) < 0.1 / TICKS_PER_S


# --- caps


async def test_job_over_its_cap_is_heard_and_refused_and_far_over_it_closed_unheard() -> None:
    async with Origin(swallow) as origin, loopback_gate(job="max_connections = 1") as gate:
        async with gate.client() as running, gate.client() as over, gate.client() as far_over:
            await tunnel(running, origin.port)
            response = await over.request(connect(f"ok.test:{origin.port}"), "CONNECT")
            assert (response.status, response.value("x-jobgate-reason")) == (429, "connections")
            assert int(response.value("retry-after")) >= 1
            assert await far_over.read_to_end() == b""
        await gate.until_closed(2)
        assert len(gate.decisions) == 2


async def test_refused_connection_serves_no_second_request() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(job="max_connections = 1") as gate,
        gate.client() as running,
        gate.client() as over,
    ):
        await tunnel(running, origin.port)
        await over.send(absolute("http://ok.test/") * 2)
        assert (await over.read_to_end()).count(b"HTTP/1.1 429 ") == 1


async def test_process_over_its_cap_refuses_every_job_and_closes_far_over_it() -> None:
    configuration = f'[node]\nallow_addresses = ["127.0.0.1"]\nconnect_ports = ["1-65535"]\n{JOBS}'
    async with (
        Origin(swallow) as origin,
        running_gate(
            f"[limits]\nmax_connections = 1\n{configuration}", resolver=FakeResolver.everything("127.0.0.1")
        ) as gate,
        gate.client(0) as running,
        gate.client(1) as over,
        gate.client(1) as far_over,
    ):
        await tunnel(running, origin.port)
        response = await over.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.value("x-jobgate-reason")) == (503, "overloaded")
        assert await far_over.read_to_end() == b""


async def test_connection_that_has_ended_is_no_longer_counted() -> None:
    async with loopback_gate(job="max_connections = 1") as gate:
        for _ in range(4):
            async with gate.client() as client:
                assert (await client.request(absolute("http://evil.test/"))).status == 403
            await until(lambda: gate.gate.jobs["job"].connections == 0)


# --- own listeners

LISTENING = {
    "exact": ("127.0.0.1", ["127.0.0.1", "64:ff9b::127.0.0.1"], ["127.0.0.2", "::1", "192.0.2.1"]),
    "wildcard-4": ("0.0.0.0", ["127.0.0.1", "127.0.0.2", "0.0.0.0"], ["192.0.2.1", "2001:db8::1"]),
    "wildcard-6": ("::", ["::1", "127.0.0.1"], ["2001:db8::1"]),
    "exact-6": ("::1", ["::1"], ["127.0.0.1", "2001:db8::1"]),
}


@pytest.mark.parametrize(("listening", "own", "others"), LISTENING.values(), ids=LISTENING)
async def test_is_own_knows_every_address_that_leads_to_a_listener(
    listening: str, own: list[str], others: list[str]
) -> None:
    async with empty_gate() as gate:
        family = socket.AF_INET6 if ":" in listening else socket.AF_INET
        listener = socket.create_server((listening, 0), family=family)
        port = listener.getsockname()[1]
        gate.listen(gate.jobs["first"], listener)
        assert [address for address in own if not gate.is_own(ip_address(address), port)] == []
        assert [address for address in others if gate.is_own(ip_address(address), port)] == []
        assert not gate.is_own(ip_address(own[0]), port ^ 1)


async def test_listener_in_another_namespace_is_no_address_here() -> None:
    async with empty_gate() as gate:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        gate.listen(gate.jobs["first"], listener, elsewhere=True)
        assert not gate.is_own(ip_address("127.0.0.1"), port)


async def test_unix_listener_is_served_and_is_no_address(tmp_path: os.PathLike[str]) -> None:
    async with empty_gate() as gate:
        path = os.fspath(tmp_path) + "/job.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        gate.listen(gate.jobs["first"], listener)
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
        async with Client(sock) as client:
            assert (await client.request(absolute("http://evil.test/"))).status == 403


# --- draining


class Held:
    """An origin that answers when told to."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_head()
        await peer.send(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half")
        await self.release.wait()
        await peer.send(b"half")
        await peer.read_to_end()


async def test_drain_closes_idle_connections_at_once_and_lets_running_ones_finish() -> None:
    held = Held()
    async with (
        Origin(held) as origin,
        Origin(answer(ok(b"1"))) as quick,
        loopback_gate() as gate,
        gate.client() as silent,
        gate.client() as kept,
        gate.client() as running,
    ):
        assert (await kept.request(absolute(f"http://ok.test:{quick.port}/"))).status == 200
        await running.send(absolute(f"http://ok.test:{origin.port}/"))
        await (await origin.peer()).until_received(1)
        await until(lambda: len(gate.gate.reception.open) == 3)
        closing = asyncio.ensure_future(gate.close(60.0))
        assert await silent.read_to_end() == b""
        assert await kept.read_to_end() == b""
        assert not closing.done()
        held.release.set()
        assert (await running.response()).body == b"halfhalf"
        assert await running.read_to_end() == b""
        await closing


async def test_drain_refuses_a_head_that_is_still_coming() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        request = absolute(f"http://ok.test:{origin.port}/")
        await client.send(request[:20])
        await until(lambda: any(not c._heads.idle for c in gate.gate.reception.open))
        closing = asyncio.ensure_future(gate.close(60.0))
        await asyncio.sleep(0)
        await client.send(request[20:])
        response = await client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (503, "draining")
        assert response.value("connection") == "close"
        client.close()
        await closing


async def test_drain_accepts_nobody_new() -> None:
    async with loopback_gate() as gate:
        await gate.close()
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(gate.port)


async def test_drain_cuts_a_tunnel_when_its_time_is_over() -> None:
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await tunnel(client, origin.port)
        await client.send(b"ping")
        assert await client.read_exactly(4) == b"ping"
        await gate.close(0.01)
        assert await client.read_to_end() == b""
        assert client.was_reset
        await (await origin.peer()).until_ended()
        assert (gate.closes[0]["reason"], gate.closes[0]["bytes_up"]) == ("drained", 4)


CUT = {
    "until-close": head("HTTP/1.1 200 OK"),
    "length": head("HTTP/1.1 200 OK", "Content-Length: 100"),
    "chunked": head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"4\r\n",
}


@pytest.mark.parametrize("start", CUT.values(), ids=CUT)
async def test_drain_cuts_an_answer_so_that_it_looks_cut_and_is_counted(start: bytes) -> None:
    async with Origin(answer(start + b"part")) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        received = b""
        while b"part" not in received:
            received += await client.read_some()
        await gate.close()
        assert await client.read_to_end() == b""
        assert client.was_reset
        assert gate.closes[0]["reason"] == "drained"
        assert gate.closes[0]["bytes_down"] == len(start) + len(b"part")


async def test_drain_cuts_a_websocket_by_a_reset() -> None:
    switching = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
    async with Origin(answer(switching)) as origin, loopback_gate() as gate, gate.client() as client:
        fields = ("Connection: Upgrade", "Upgrade: websocket")
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/", *fields))).status == 101
        await gate.close()
        await client.read_to_end()
        assert client.was_reset
        assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (101, "drained")


# --- nothing is left


def descriptors() -> set[str]:
    """Return the open sockets of this process."""
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return {os.readlink(link) for link in links if os.path.exists(link) or os.path.islink(link)}


async def everything(gate: RunningGate, port: int) -> None:
    """Leave connections of every kind behind."""
    async with gate.client() as plain, gate.client() as tunnelled, gate.client() as refused:
        assert (await plain.request(absolute(f"http://ok.test:{port}/"))).status == 200
        await tunnel(tunnelled, port)
        assert (await refused.request(absolute("http://evil.test/"))).status == 403
        await gate.close()


async def test_nothing_is_left_after_close() -> None:
    async with Origin(answer(ok(b"1"))) as origin:
        tasks, sockets = asyncio.all_tasks(), descriptors()
        async with loopback_gate() as gate:
            await everything(gate, origin.port)
            assert gate.gate.jobs["job"].connections == 0
            assert len(gate.gate.jobs["job"].pool) == 0
            assert not gate.gate._pacer.armed
        await origin.until_all_ended()
        await until(lambda: asyncio.all_tasks() <= tasks)
        await until(lambda: descriptors() <= sockets)


async def test_close_twice_is_close_once() -> None:
    async with loopback_gate() as gate:
        await gate.close()
        await gate.close(60.0)
