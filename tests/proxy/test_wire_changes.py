"""A policy that changes while requests run: what is decided again, and how what is refused now ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from jobgate.config.policy import Tls
from jobgate.proxy.wire import Wire
from support.changes import (
    HeldDialer,
    HeldResolver,
    allow_only,
    change_node,
    change_policy,
    deny_address,
    job_of,
)
from support.client import Client
from support.gate import DialHook, FakeResolver, RunningGate, loopback_gate, running_gate
from support.messages import absolute, connect, head, ok
from support.narrow import only_connection, turns
from support.origin import Origin, Peer, answer, echo, swallow
from support.tls import hello_for
from support.wait import until

TWO_JOBS = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-65535"]
[[job]]
id = "first"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
tls = "any"
[[job]]
id = "second"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
tls = "any"
"""


async def open_tunnel(client: Client, authority: str) -> None:
    assert (await client.request(connect(authority), "CONNECT")).status == 200


async def assert_echoes(client: Client) -> None:
    await client.send(b"ping")
    assert await client.read_exactly(4) == b"ping"


async def assert_cut(client: Client) -> None:
    assert await client.read_to_end() == b""
    assert client.was_reset


# --- tunnels

Change = Callable[[RunningGate], None]

REVOKING: dict[str, Change] = {
    "job-domains": lambda gate: allow_only(gate, "other.test"),
    "job-deny": lambda gate: change_policy(
        gate, replace(job_of(gate).settings.policy, deny=job_of(gate).policy.job.domains)
    ),
    "node-deny": lambda gate: change_node(
        gate, replace(gate.gate.settings.node, deny=job_of(gate).policy.job.domains)
    ),
    "node-address": deny_address,
    "removed": lambda gate: gate.gate.remove_job("job"),
}


@pytest.mark.parametrize("change", REVOKING.values(), ids=REVOKING)
async def test_tunnel_that_the_change_refuses_is_reset_and_counted(change: Change) -> None:
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}")
        await assert_echoes(client)
        change(gate)
        await assert_cut(client)
        await (await origin.peer()).until_ended()
        await gate.until_closed(1)
        line = gate.closes[0]
        assert (line["reason"], line["status"]) == ("revoked", 200)
        assert (line["bytes_up"], line["bytes_down"]) == (4, 4)


KEEPING: dict[str, Change] = {
    "same": lambda gate: allow_only(gate, ".ok.test", "::1"),
    "narrower": lambda gate: allow_only(gate, "ok.test"),
    "rate": lambda gate: change_policy(gate, replace(job_of(gate).settings.policy, rate_up=1e6)),
    "tls": lambda gate: change_policy(gate, replace(job_of(gate).settings.policy, tls=Tls.REQUIRE)),
    "other-address": lambda gate: deny_address(gate, "127.0.0.2"),
}


@pytest.mark.parametrize("change", KEEPING.values(), ids=KEEPING)
async def test_tunnel_that_the_change_allows_goes_on(change: Change) -> None:
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}")
        change(gate)
        await assert_echoes(client)


async def test_close_revoked_false_spares_tunnels_and_nothing_else() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(node="close_revoked = false") as gate,
        gate.client() as running,
        gate.client() as late,
    ):
        await open_tunnel(running, f"ok.test:{origin.port}")
        allow_only(gate, "other.test")
        await assert_echoes(running)
        assert (await late.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 403


async def test_close_revoked_false_does_not_save_the_connections_of_a_job_that_is_removed() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(node="close_revoked = false") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"ok.test:{origin.port}")
        gate.gate.remove_job("job")
        await assert_cut(client)


async def test_tunnel_is_judged_by_its_server_name_as_well() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(domains=["a.test", "b.test"], tls="require") as gate,
        gate.client() as client,
    ):
        hello = hello_for(b"b.test")
        await open_tunnel(client, f"a.test:{origin.port}")
        await client.send(hello)
        assert await client.read_exactly(len(hello)) == hello
        allow_only(gate, "a.test")
        await assert_cut(client)
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "revoked"


async def test_other_jobs_notice_nothing() -> None:
    async with (
        Origin(echo) as origin,
        running_gate(TWO_JOBS, resolver=FakeResolver.everything("127.0.0.1")) as gate,
        gate.client(0) as first,
        gate.client(1) as second,
        gate.client(1) as idle,
    ):
        await open_tunnel(first, f"ok.test:{origin.port}")
        await open_tunnel(second, f"ok.test:{origin.port}")
        assert (await idle.request(absolute("http://evil.test/"))).status == 403
        gate.gate.remove_job("first")
        await assert_cut(first)
        await assert_echoes(second)
        assert (await idle.request(absolute("http://evil.test/"))).status == 403


async def test_websocket_is_a_tunnel() -> None:
    switching = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
    async with Origin(answer(switching)) as origin, loopback_gate() as gate, gate.client() as client:
        fields = ("Connection: Upgrade", "Upgrade: websocket")
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/", *fields))).status == 101
        allow_only(gate, "other.test")
        await assert_cut(client)
        await gate.until_closed(1)
        assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (101, "revoked")


async def test_plain_http_inside_connect_ends_with_the_permission_of_its_connect() -> None:
    async with loopback_gate(node="connect_ports = [443]") as gate, gate.client() as client:
        await open_tunnel(client, "ok.test:80")
        allow_only(gate, "other.test")
        await assert_cut(client)
        await gate.until_closed(1)
        assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (200, "revoked")


async def test_request_under_way_inside_connect_is_cut_with_it() -> None:
    dialer = DialHook()
    async with (
        Origin(swallow) as origin,
        loopback_gate(node="connect_ports = [443]", dialer=dialer) as gate,
        gate.client() as client,
    ):
        dialer._ports = {80: origin.port}
        await open_tunnel(client, "ok.test:80")
        await client.send(head("GET / HTTP/1.1", "Host: ok.test"))
        await (await origin.peer()).until_received(1)
        allow_only(gate, "other.test")
        await assert_cut(client)
        await gate.until_closed(2)
        assert [line["reason"] for line in gate.closes] == ["revoked", "revoked"]


# --- decisions in flight

Ask = Callable[[int], bytes]
ASKED: dict[str, Ask] = {
    "connect": lambda port: connect(f"ok.test:{port}"),
    "get": lambda port: absolute(f"http://ok.test:{port}/"),
}


async def assert_refused(client: Client, gate: RunningGate, reason: str, method: str) -> None:
    """Read a refusal, which is told from the close line alone if the request was allowed before."""
    response = await client.response(method)
    assert (response.status, response.value("x-jobgate-reason")) == (403, reason)
    await gate.until_closed(1)
    assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (403, reason)


@pytest.mark.parametrize(("name", "ask"), ASKED.items(), ids=ASKED)
@pytest.mark.parametrize("close_revoked", ["true", "false"], ids=["close-revoked", "not"])
async def test_request_is_decided_again_while_its_name_is_resolved(
    name: str, ask: Ask, close_revoked: str
) -> None:
    resolver = HeldResolver("127.0.0.1")
    node = f"close_revoked = {close_revoked}"
    async with loopback_gate(resolver=resolver, node=node) as gate, gate.client() as client:
        await client.send(ask(9))
        await resolver.asked.wait()
        allow_only(gate, "other.test")
        await assert_refused(client, gate, "not-listed", name.upper())
        assert gate.decisions[0]["decision"] == "deny"
        assert gate.dials == []


@pytest.mark.parametrize(("name", "ask"), ASKED.items(), ids=ASKED)
async def test_request_is_decided_again_while_it_is_dialled(name: str, ask: Ask) -> None:
    dialer = HeldDialer()
    async with Origin(swallow) as origin, loopback_gate(dialer=dialer) as gate, gate.client() as client:
        await client.send(ask(origin.port))
        await dialer.connected.wait()
        allow_only(gate, "other.test")
        await assert_refused(client, gate, "not-listed", name.upper())
        await (await origin.peer()).until_ended()
        assert origin.peers[0].received == b""


@pytest.mark.parametrize(("name", "ask"), ASKED.items(), ids=ASKED)
async def test_address_is_vetted_again_when_its_dial_has_ended(name: str, ask: Ask) -> None:
    dialer = HeldDialer()
    async with Origin(swallow) as origin, loopback_gate(dialer=dialer) as gate, gate.client() as client:
        await client.send(ask(origin.port))
        await dialer.connected.wait()
        deny_address(gate)
        dialer.go.set()
        await assert_refused(client, gate, "address", name.upper())
        await (await origin.peer()).until_ended()
        assert origin.peers[0].received == b""


@pytest.mark.parametrize(("name", "ask"), ASKED.items(), ids=ASKED)
async def test_change_between_the_dial_and_the_wire_leaves_no_socket(
    name: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunnel has been promised by then, and can only be cut."""
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        await only_connection(gate)
        attach = Wire.attach

        def change_meanwhile(wire: Wire) -> None:
            asyncio.get_running_loop().call_soon(allow_only, gate, "other.test")
            attach(wire)

        monkeypatch.setattr(Wire, "attach", change_meanwhile)
        await client.send(ask(origin.port))
        if name == "connect":
            assert (await client.response("CONNECT")).status == 200
            await assert_cut(client)
            await gate.until_closed(1)
            assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (200, "revoked")
        else:
            await assert_refused(client, gate, "not-listed", name.upper())
        await (await origin.peer()).until_ended()


async def test_address_is_vetted_with_the_policy_of_the_moment_it_is_known() -> None:
    resolver = HeldResolver("127.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        await client.send(connect("ok.test:9"))
        await resolver.asked.wait()
        deny_address(gate)
        resolver.go.set()
        await assert_refused(client, gate, "address", "CONNECT")
        assert gate.dials == []


async def test_tunnel_that_waits_for_its_hello_ends_even_where_tunnels_are_spared() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(tls="require", node="close_revoked = false") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"ok.test:{origin.port}")
        allow_only(gate, "other.test")
        await assert_cut(client)
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "revoked"
        await (await origin.peer()).until_ended()
        assert origin.peers[0].received == b""


async def test_hello_is_judged_by_the_policy_of_the_moment_it_comes() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(domains=["a.test", "b.test"], tls="require") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"a.test:{origin.port}")
        allow_only(gate, "a.test")
        await client.send(hello_for(b"b.test"))
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "sni"


@pytest.mark.parametrize("part", [b"", b"half"], ids=["answer", "content"])
async def test_exchange_without_a_response_is_refused_and_its_upstream_reset(part: bytes) -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        fields = (f"Content-Length: {2 * len(part)}",) if part else ()
        await client.send(absolute(f"http://ok.test:{origin.port}/", *fields, method="PUT") + part)
        await (await origin.peer()).until_received(1)
        allow_only(gate, "other.test")
        await assert_refused(client, gate, "not-listed", "PUT")
        assert gate.decisions[0]["decision"] == "allow"
        await (await origin.peer()).until_ended()


async def test_client_goes_on_after_an_exchange_was_refused_in_flight() -> None:
    async with (
        Origin(swallow) as silent,
        Origin(answer(ok(b"1"))) as origin,
        loopback_gate(domains=["ok.test", "other.test"]) as gate,
        gate.client() as client,
    ):
        await client.send(absolute(f"http://ok.test:{silent.port}/"))
        await (await silent.peer()).until_received(1)
        allow_only(gate, "other.test")
        assert (await client.response()).status == 403
        assert (await client.request(absolute(f"http://other.test:{origin.port}/"))).status == 200


async def test_exchange_whose_response_has_begun_is_cut() -> None:
    start = head("HTTP/1.1 200 OK", "Content-Length: 100") + b"part"
    async with Origin(answer(start)) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        received = b""
        while b"part" not in received:
            received += await client.read_some()
        allow_only(gate, "other.test")
        await assert_cut(client)
        await gate.until_closed(1)
        line = gate.closes[0]
        assert (line["reason"], line["status"], line["bytes_down"]) == ("revoked", 200, len(start))


async def test_change_and_drain_at_once_end_the_connection() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        await (await origin.peer()).until_received(1)
        allow_only(gate, "other.test")
        await gate.close()
        assert await client.read_to_end() == b""
        assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (None, "revoked")


async def test_two_changes_at_once_are_one_refusal() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        await (await origin.peer()).until_received(1)
        allow_only(gate, "other.test")
        deny_address(gate)
        await assert_refused(client, gate, "not-listed", "GET")
        assert (await client.request(absolute("http://ok.test/"))).status == 403


# --- kept upstream connections


async def get(client: Client, url: str) -> None:
    assert (await client.request(absolute(url))).status == 200


@pytest.mark.parametrize(
    ("change", "kept"),
    [(REVOKING["job-domains"], 0), (deny_address, 0), (KEEPING["narrower"], 1)],
    ids=["by-name", "by-address", "allowed"],
)
async def test_idle_upstream_connections_end_with_their_permission(change: Change, kept: int) -> None:
    async with Origin(answer(ok(b"1"))) as origin, loopback_gate() as gate, gate.client() as client:
        await get(client, f"http://ok.test:{origin.port}/")
        assert len(job_of(gate).pool) == 1
        change(gate)
        assert len(job_of(gate).pool) == kept


async def test_upstream_connection_of_a_spared_exchange_is_not_kept() -> None:
    class Halved:
        def __init__(self) -> None:
            self.go = asyncio.Event()

        async def __call__(self, peer: Peer) -> None:
            await peer.read_head()
            await peer.send(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half")
            await self.go.wait()
            await peer.send(b"half")
            await peer.read_to_end()

    script = Halved()
    async with (
        Origin(script) as origin,
        loopback_gate(node="close_revoked = false") as gate,
        gate.client() as client,
    ):
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        await until(lambda: job_of(gate).down.moved_bytes > 0)
        allow_only(gate, "other.test")
        script.go.set()
        assert (await client.response()).body == b"halfhalf"
        await gate.until_closed(1)
        assert len(job_of(gate).pool) == 0


# --- a job that is removed


async def test_removed_job_has_no_listener_and_no_idle_connection() -> None:
    async with loopback_gate() as gate, gate.client() as fresh, gate.client() as kept:
        assert (await kept.request(absolute("http://evil.test/"))).status == 403
        await until(lambda: len(job_of(gate).open) == 2)
        await turns()
        gate.gate.remove_job("job")
        assert await fresh.read_to_end() == b""
        assert await kept.read_to_end() == b""
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(gate.port)


async def test_connection_that_was_left_alone_for_asking_too_often_ends_with_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 0.05)
    async with (
        loopback_gate(tables="[limits]\nrequests_per_s_per_job = 1") as gate,
        gate.client() as client,
    ):
        statuses = [(await client.request(absolute("http://evil.test/"))).status for _ in range(2)]
        assert statuses == [403, 429]
        gate.gate.remove_job("job")
        assert await client.read_to_end() == b""


async def test_request_that_is_still_coming_when_its_job_is_removed_is_refused() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        request = absolute("http://ok.test/")
        await client.send(request[:20])
        job = job_of(gate)
        await until(lambda: any(not connection._heads.idle for connection in job.open))
        gate.gate.remove_job("job")
        await client.send(request[20:])
        await assert_refused(client, gate, "unknown-job", "GET")
        assert await client.read_to_end() == b""
        await until(lambda: not job.connections)


async def test_removed_job_may_be_added_again_at_once() -> None:
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}")
        settings = job_of(gate).settings
        gate.gate.remove_job("job")
        again = gate.gate.add_job(settings)
        await assert_cut(client)
        await turns()
        assert gate.gate.jobs["job"] is again
        assert (again.gone, again.connections) == (None, 0)
