from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest

from jobgate.config.host import Address, Name
from jobgate.probe import PROBE
from jobgate.proxy.connection import Connection
from jobgate.proxy.entrance import OwnEntrance
from jobgate.proxy.errors import Reason
from jobgate.proxy.peer import Peer
from jobgate.proxy.resolver import Resolution
from jobgate.proxy.tunnel import Tunnel
from jobgate.proxy.visit import Visit
from support.client import Client
from support.gate import DialHook, FakeResolver, RunningGate, loopback_gate, running_gate
from support.messages import absolute, connect, head, ok
from support.narrow import narrow_client, only_connection, turns
from support.net import closed_port
from support.origin import Origin, Script, answer, answer_and_close, echo, swallow
from support.wait import until
from support.wires import FakeWire

UNLIMITED = "requests_per_s_per_job = 0\ndns_names_per_s_per_job = 0"


def url(origin: Origin) -> str:
    return f"http://ok.test:{origin.port}/"


# --- one decision line and one close line, however it ends

Act = Callable[[Client, RunningGate, Origin], Awaitable[None]]


async def leave(client: Client, gate: RunningGate, origin: Origin) -> None:
    """End the sending side and read what comes."""
    client.half_close()
    await client.read_to_end()


async def reset_later(client: Client, gate: RunningGate, origin: Origin) -> None:
    """Break the connection when the origin has been reached."""
    await (await origin.peer()).until_received(1)
    client.reset()


async def reset_in_tunnel(client: Client, gate: RunningGate, origin: Origin) -> None:
    """Break the connection when the tunnel stands."""
    await client.response("CONNECT")
    await origin.peer()
    client.reset()


async def wait(client: Client, gate: RunningGate, origin: Origin) -> None:
    """Read until the gate closes."""
    await client.read_to_end()


async def stop_gate(client: Client, gate: RunningGate, origin: Origin) -> None:
    """Cut what is running."""
    await (await origin.peer()).until_received(1)
    await gate.close()


GET = absolute("http://ok.test:PORT/")
CONNECT = connect("ok.test:PORT")
LONG = b"GET http://ok.test/ HTTP/1.1\r\nX: " + b"x" * 3000
PARTIAL = answer_and_close(head("HTTP/1.1 200 OK", "Content-Length: 9"))
OPTIONS = absolute("http://ok.test", "Max-Forwards: 0", method="OPTIONS")

ENDS: dict[str, tuple[bytes, Script, Act, str, str, int | None]] = {
    "answered": (GET, answer(ok(b"1")), leave, "allow", "done", 200),
    "refused": (absolute("http://evil.test/"), swallow, leave, "deny", "not-listed", 403),
    "connect-refused-by-name": (connect("evil.test:443"), swallow, wait, "deny", "not-listed", 403),
    "bad-request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", swallow, wait, "deny", "bad-request", 400),
    "never-parsed": (b"\x16\x03\x01", swallow, wait, "deny", "bad-request", 400),
    "head-timeout": (b"GET http://ok.test/", swallow, wait, "deny", "head-timeout", 408),
    "head-too-large": (LONG, swallow, wait, "deny", "head-too-large", 431),
    "method": (absolute("http://ok.test/", method="TRACE"), swallow, leave, "deny", "method", 405),
    "own-address": (connect("ok.test:GATE"), swallow, wait, "deny", "self", 403),
    "bad-address": (connect("bad.ok.test:443"), swallow, wait, "deny", "address", 403),
    "no-address": (connect("none.ok.test:443"), swallow, wait, "allow", "dns-nxdomain", 502),
    "nobody-listens": (connect("ok.test:CLOSED"), swallow, wait, "allow", "connect-refused", 502),
    "no-answer": (GET, answer_and_close(b""), leave, "allow", "upstream-closed", 502),
    "invalid-answer": (GET, answer(b"SSH-2.0\r\n\r\n"), leave, "allow", "upstream-invalid", 502),
    "late-answer": (GET, swallow, leave, "allow", "upstream-timeout", 504),
    "cut-answer": (GET, PARTIAL, wait, "allow", "upstream-closed", 200),
    "client-left": (GET, swallow, reset_later, "allow", "client-reset", None),
    "drained": (GET, swallow, stop_gate, "allow", "drained", None),
    "options-0": (OPTIONS, swallow, leave, "allow", "done", 200),
    "own-denials": (absolute("http://jobgate.internal/denials"), swallow, leave, "allow", "done", 200),
    "own-nothing": (absolute("http://jobgate.internal/x"), swallow, wait, "deny", "bad-request", 400),
    "tunnel-done": (CONNECT, echo, leave, "allow", "done", 200),
    "tunnel-reset": (CONNECT, swallow, reset_in_tunnel, "allow", "client-reset", 200),
    "tunnel-idle": (CONNECT, swallow, wait, "allow", "idle", 200),
    "tunnel-drained": (CONNECT + b"x", swallow, stop_gate, "allow", "drained", 200),
    "entered": (connect("ok.test:80"), swallow, leave, "allow", "done", 200),
}


@pytest.mark.parametrize(
    ("request_bytes", "script", "act", "decision", "reason", "status"), ENDS.values(), ids=ENDS
)
async def test_every_request_has_one_decision_and_one_close_line(
    request_bytes: bytes, script: Script, act: Act, decision: str, reason: str, status: int | None
) -> None:
    names = {"bad.ok.test": ["192.0.2.1"], "none.ok.test": []}
    tables = (
        "[timeouts]\nhead_s = 0.2\nupstream_response_s = 0.2\ntunnel_idle_s = 0.3\n"
        "[limits]\nmax_head_bytes = 2048\nmax_target_bytes = 1024"
    )
    async with (
        Origin(script) as origin,
        loopback_gate(
            node="connect_ports = [443, '1024-65535']",
            tables=tables,
            resolver=FakeResolver(names, others=["127.0.0.1"]),
        ) as gate,
        gate.client() as client,
    ):
        for mark, port in ((b"PORT", origin.port), (b"GATE", gate.port), (b"CLOSED", closed_port())):
            request_bytes = request_bytes.replace(mark, b"%d" % port)
        await client.send(request_bytes)
        await act(client, gate, origin)
        await gate.until_closed(1)
        await turns()
        (decided,), (closed,) = gate.decisions, gate.closes
        assert decided["id"] == closed["id"]
        assert decided["client"].startswith("127.0.0.1:")  # type: ignore[attr-defined]
        assert decided["decision"] == decision
        assert decided["reason"] == (None if decision == "allow" else reason)
        assert (closed["reason"], closed["status"]) == (reason, status)


async def test_connection_without_a_request_leaves_no_line() -> None:
    async with loopback_gate() as gate:
        async with gate.client() as silent, gate.client() as partial:
            await partial.send(b"GET http://ok")
            for client in (silent, partial):
                client.half_close()
                assert await client.read_to_end() == b""
        assert (gate.decisions, gate.closes) == ([], [])


# --- defects of ours


async def test_internal_error_is_answered_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeResolver):
        def lookup(self, name: Name) -> Resolution | None:
            if name == "broken.ok.test":
                raise RuntimeError("a defect")
            return super().lookup(name)

    async with (
        Origin(answer(ok(), ok())) as origin,
        loopback_gate(resolver=Broken({}, others=["127.0.0.1"])) as gate,
        gate.client() as other,
        gate.client() as client,
    ):
        assert (await other.request(absolute(url(origin)))).status == 200
        response = await client.request(absolute("http://broken.ok.test/"))
        assert (response.status, response.value("x-jobgate-reason")) == (500, "internal")
        assert "defect" not in response.body.decode()
        assert await client.read_to_end() == b""
        assert (await other.request(absolute(url(origin)))).status == 200
        assert gate.closes[1]["reason"] == "internal"
    assert "a defect" in caplog.text


async def test_internal_error_in_a_tunnel_writes_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Tunnel) -> Reason:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Tunnel, "run", fail)
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        assert await client.read_to_end() == b""
        assert client.was_reset
        await (await origin.peer()).until_ended()
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "internal"


class ResetAfterDial(DialHook):
    """Hands out a connection that the origin has reset meanwhile."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        sock = await super().__call__(
            addresses, port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes
        )
        (await self._origin.peer()).reset()
        return sock


async def test_origin_that_resets_at_once_is_no_internal_error() -> None:
    async with (
        Origin(lambda _: asyncio.sleep(0)) as origin,
        loopback_gate(dialer=ResetAfterDial(origin)) as gate,
        gate.client() as client,
    ):
        response = await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")
        assert (response.status, response.value("x-jobgate-reason")) == (502, "upstream-closed")


# --- what may follow a request

REFUSED: dict[str, tuple[bytes, bool]] = {
    "get": (absolute("http://evil.test/"), True),
    "get-1.0": (absolute("http://evil.test/", minor=0), False),
    "get-close": (absolute("http://evil.test/", "Connection: close"), False),
    "post": (absolute("http://evil.test/", "Content-Length: 3", method="POST"), False),
    "connect": (connect("evil.test:443"), False),
    "bad": (absolute("http://evil.test/#x"), False),
}


@pytest.mark.parametrize(("request_bytes", "is_kept"), REFUSED.values(), ids=REFUSED)
async def test_only_a_plain_refusal_without_content_keeps_the_connection(
    request_bytes: bytes, is_kept: bool
) -> None:
    async with loopback_gate() as gate, gate.client() as client:
        await client.send(request_bytes + absolute("http://second.test/"))
        client.half_close()
        received = await client.read_to_end()
        assert received.count(b"HTTP/1.1 4") == 1 + is_kept
        assert received.count(b"Connection: close\r\n") == (not is_kept)
        assert [line["host"] for line in gate.decisions][1:] == ["second.test"] * is_kept


async def test_pipelined_requests_let_other_connections_go_first() -> None:
    async with loopback_gate(tables=f"[limits]\n{UNLIMITED}") as gate, gate.client() as client:
        decided_at_turn: list[int] = []
        turn = asyncio.ensure_future(note_turns(gate, decided_at_turn))
        await client.send(absolute("http://evil.test/") * 20)
        await gate.until_closed(20)
        turn.cancel()
        steps = [later - earlier for earlier, later in itertools.pairwise(decided_at_turn)]
        assert max(steps) == 1


async def note_turns(gate: RunningGate, decided: list[int]) -> None:
    """Note the number of decisions at each turn of the loop."""
    while True:
        decided.append(len(gate.decisions))
        await asyncio.sleep(0)


async def test_client_that_does_not_read_is_not_answered_further() -> None:
    count = 900
    async with loopback_gate(tables=f"[limits]\n{UNLIMITED}") as gate, narrow_client(gate) as client:
        await client.send(absolute("http://evil.test/") * count)
        connection = await only_connection(gate)
        await until(lambda: connection._client.blocked)
        await turns()
        assert len(connection._client._unsent or b"") < 1000
        assert len(gate.decisions) < count // 2
        client.half_close()
        assert (await client.read_to_end()).count(b"HTTP/1.1 403") == count


async def test_client_that_never_reads_is_cut() -> None:
    tables = f"[limits]\n{UNLIMITED}\n[timeouts]\ntunnel_idle_s = 0.05"
    async with loopback_gate(tables=tables) as gate, narrow_client(gate) as client:
        await client.send(absolute("http://evil.test/") * 900)
        await only_connection(gate)
        await until(lambda: not gate.gate.reception.open)
        await client.read_to_end()
        assert client.was_reset


async def test_answer_with_close_is_not_lost_to_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobgate.proxy.linger.LINGER_S", 0.0)
    content = b"x" * 60_000  # one piece: all of it is written while the client has taken little
    async with (
        Origin(answer(ok(content))) as origin,
        loopback_gate() as gate,
        narrow_client(gate) as client,
    ):
        await client.send(absolute(url(origin), "Connection: close"))
        connection = await only_connection(gate)
        await until(lambda: connection._client.blocked)
        received = await client.read_to_end()
        assert received.endswith(content)
        assert not client.was_reset


async def test_leave_keeps_a_request_that_has_come_but_was_not_read() -> None:
    async with loopback_gate() as gate:
        wire = FakeWire()
        job = gate.gate.jobs["job"]
        visit = Visit(OwnEntrance(job), Peer("192.0.2.7:49152"), job, gate.gate.nobody, lambda _: None)
        connection = Connection(gate.gate, visit, wire)
        wire.arrive(absolute("http://ok.test/"))
        connection.leave()
        assert wire.calls == []
        wire.inbox.clear()
        connection.leave()
        assert wire.calls == ["abort"]


# --- deadlines


async def test_head_deadline_is_for_the_whole_head() -> None:
    async with loopback_gate(tables="[timeouts]\nhead_s = 0.2") as gate, gate.client() as client:
        loop = asyncio.get_running_loop()
        started = loop.time()
        sending = asyncio.ensure_future(drip(client, b"GET http://ok.test/"))
        response = await client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (408, "head-timeout")
        assert loop.time() - started < 2.0
        sending.cancel()


async def drip(client: Client, start: bytes) -> None:
    """Send the start, then byte after byte, for ever."""
    await client.send(start)
    while True:
        await client.send(b"a")
        await turns()


async def test_keepalive_is_a_deadline_of_its_own() -> None:
    timeouts = "[timeouts]\nhead_s = 60.0\nkeepalive_s = 0.05"
    async with (
        Origin(answer(ok())) as origin,
        loopback_gate(tables=timeouts) as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(url(origin)))).status == 200
        assert await client.read_to_end() == b""
        assert not client.was_reset


# --- caps by rate


async def test_new_names_above_the_rate_are_refused_before_any_query() -> None:
    resolver = FakeResolver.everything("192.0.2.1")
    tables = "[limits]\ndns_names_per_s_per_job = 2"
    async with loopback_gate(tables=tables, resolver=resolver) as gate, gate.client() as client:
        responses = [await client.request(absolute(f"http://n{n}.ok.test/")) for n in range(6)]
        limited = [r for r in responses if r.value("x-jobgate-reason") == "rate"]
        assert limited
        assert {r.status for r in limited} == {429}
        assert all(int(r.value("retry-after")) >= 1 for r in limited)
        assert len(resolver.queries) == len(responses) - len(limited)


async def test_known_names_cost_no_query_and_are_not_capped() -> None:
    tables = '[limits]\ndns_names_per_s_per_job = 1\n[dns]\nhosts = { "ok.test" = ["192.0.2.1"] }'
    configuration = (
        f'{tables}\n[[job]]\nid = "job"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["ok.test"]'
    )
    async with running_gate(configuration) as gate, gate.client() as client:
        reasons = {
            (await client.request(absolute("http://ok.test/"))).value("x-jobgate-reason") for _ in range(5)
        }
        assert reasons == {"address"}


# --- the job's own refusals


async def test_denials_are_the_job_s_own() -> None:
    job = '[[job]]\nid = "{0}"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["ok.test"]\n'
    resolver = FakeResolver({})
    async with (
        running_gate(job.format("one") + job.format("two"), resolver=resolver) as gate,
        gate.client(0) as one,
        gate.client(1) as two,
    ):
        await one.request(absolute("http://first.test/path?query"))
        await two.request(absolute("http://second.test/"))
        response = await one.request(absolute("http://jobgate.internal/denials"))
        assert response.value("content-type") == "application/json"
        assert [denial["host"] for denial in json.loads(response.body)] == ["first.test"]
        assert b"query" not in response.body
        assert resolver.queries == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        connect("jobgate.internal:443"),
        connect("jobgate.internal:80"),
        absolute("http://jobgate.internal/"),
        absolute("http://jobgate.internal/denials", method="DELETE"),
    ],
    ids=["connect", "connect-80", "root", "delete"],
)
async def test_reserved_name_serves_nothing_else_and_is_never_resolved(request_bytes: bytes) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    domains = ["jobgate.internal"]
    async with loopback_gate(domains=domains, resolver=resolver) as gate, gate.client() as client:
        assert (await client.request(request_bytes)).status == 400
        assert resolver.queries == []


# --- plain HTTP inside CONNECT to port 80


async def test_content_refused_inside_a_plain_tunnel_leaves_one_line_each() -> None:
    """The CONNECT and each request inside have their own lines."""
    dialer = DialHook()
    async with Origin(swallow) as origin:
        dialer._ports = {80: origin.port}
        async with (
            loopback_gate(node="connect_ports = [443]", dialer=dialer) as gate,
            gate.client() as client,
        ):
            assert (await client.request(connect("ok.test:80"), "CONNECT")).status == 200
            inner = head("POST / HTTP/1.1", "Host: ok.test", "Transfer-Encoding: chunked")
            await client.send(inner + b"zz\r\n")
            await client.read_to_end()
            await gate.until_closed(2)
            assert sorted(str(line["reason"]) for line in gate.closes) == ["not-http", "not-http"]


# --- a flood ends at the job's own caps


@pytest.mark.parametrize(
    "one", [absolute("http://evil.test/"), b"\x16\x03\x01 no HTTP\r\n\r\n"], ids=["refusals", "malformed"]
)
async def test_connection_that_asks_too_often_is_left_alone_for_a_while(
    one: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 3600.0)
    async with (
        loopback_gate(tables="[limits]\nrequests_per_s_per_job = 1\nmax_connections_per_job = 2") as gate,
        gate.client() as first,
        gate.client() as second,
        gate.client() as third,
    ):
        for client in (first, second):
            await client.send(one * 50)
        await gate.until_closed(2)
        await until(lambda: gate.gate.jobs["job"].connections >= 2)
        await third.send(one)  # the floods hold their places
        await gate.until_closed(3)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(gate.closes) <= 4


@pytest.mark.parametrize(
    "one",
    [
        PROBE,
        head("GET /x HTTP/1.1", "Host: other"),
        head("GET https://ok.test/ HTTP/1.1", "Host: ok.test"),
        head("CONNECT ok.test HTTP/1.1", "Host: ok.test"),
    ],
    ids=["probe", "origin-form", "https", "no-port"],
)
async def test_request_that_names_no_destination_counts_against_the_cap(
    one: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 3600.0)
    async with (
        loopback_gate(tables="[limits]\nrequests_per_s_per_job = 1") as gate,
        gate.client() as first,
        gate.client() as second,
        gate.client() as third,
    ):
        assert (await first.request(one, one.partition(b" ")[0].decode())).status == 400
        assert await first.read_to_end() == b""
        assert (await second.request(one, one.partition(b" ")[0].decode())).status == 400
        answer = await third.request(absolute("http://evil.test/"))
        assert (answer.status, answer.value("x-jobgate-reason")) == (429, "rate")


async def test_connection_that_asked_too_often_is_served_again_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 0.0)
    async with (
        loopback_gate(tables="[limits]\nrequests_per_s_per_job = 1") as gate,
        gate.client() as client,
    ):
        statuses = [(await client.request(absolute("http://evil.test/"))).status for _ in range(3)]
        assert statuses == [403, 429, 429]
