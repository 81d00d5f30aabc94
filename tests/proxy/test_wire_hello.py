"""HTTPS only means HTTPS, over the wire: rows L, slow and broken hellos, both ends leaving meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from support.client import Client
from support.gate import Line, RunningGate, loopback_gate
from support.messages import absolute, connect, head
from support.origin import Origin, Peer, Script, echo, swallow
from support.tls import (
    ENCRYPTED_CLIENT_HELLO,
    GREASE,
    POST_QUANTUM,
    client_hello,
    hello_for,
    library_hello,
    records,
    server_name,
)

#: A fatal ``unrecognized_name``, and nothing else.
ALERT = b"\x15\x03\x01\x00\x02\x02\x70"
OK_NAME = server_name(b"ok.test")
NAMELESS = records(client_hello((GREASE, b"")))
ECH = (ENCRYPTED_CLIENT_HELLO, b"\x00" + bytes(100))
MESSAGE = client_hello(OK_NAME, (GREASE, b""), POST_QUANTUM)
SHORT = "[timeouts]\nhello_s = 0.05"


async def open_tunnel(client: Client, authority: str, early: bytes = b"") -> None:
    await client.send(connect(authority) + early)
    assert (await client.response("CONNECT")).status == 200


async def close_line(gate: RunningGate, count: int = 1) -> Line:
    await gate.until_closed(count)
    return gate.closes[count - 1]


async def assert_passes(
    sent: Sequence[bytes], *, host: str = "ok.test", address: str = "127.0.0.1", early: bytes = b""
) -> Line:
    """Send a hello in pieces; an origin that echoes must get and give exactly its bytes."""
    whole = early + b"".join(sent)
    async with (
        Origin(echo, address) as origin,
        loopback_gate(tls="require") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"{host}:{origin.port}", early)
        for piece in sent:
            await client.send(piece)
            await asyncio.sleep(0)
        assert await client.read_exactly(len(whole)) == whole
        client.half_close()
        assert await client.read_to_end() == b""
        assert bytes(origin.peers[0].received) == whole
        line = await close_line(gate)
        assert (line["reason"], line["status"]) == ("done", 200)
        assert (line["bytes_up"], line["bytes_down"]) == (len(whole), len(whole))
        return line


async def assert_refused(
    sent: bytes,
    reason: str,
    *,
    domains: Sequence[str] = (".ok.test", "::1"),
    host: str = "ok.test",
    answer: bytes = b"",
    tables: str = "",
    half_close: bool = False,
    script: Script = swallow,
) -> Line:
    """Send what must be refused; the client gets the answer and FIN, the origin not a byte."""
    async with (
        Origin(script) as origin,
        loopback_gate(tls="require", domains=domains, tables=tables) as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"{host}:{origin.port}")
        await client.send(sent)
        if half_close:
            client.half_close()
        assert await client.read_to_end() == answer
        assert not client.was_reset
        assert await (await origin.peer()).until_ended() == b""
        client.close()
        line = await close_line(gate)
        assert (line["reason"], line["status"]) == (reason, 200)
        assert (line["bytes_up"], line["bytes_down"]) == (0, 0)
        assert [entry["decision"] for entry in gate.decisions] == ["allow"]
        return line


PASSING = {
    "L1": [hello_for(b"ok.test")],
    "L1-library": [library_hello()],
    "L2-upper-case": [hello_for(b"Ok.TEST")],
    "L2-final-dot": [hello_for(b"ok.test.")],
    "L10-byte-by-byte": [bytes([byte]) for byte in hello_for(b"ok.test")],
    "L10-two-records": [records(MESSAGE, 100)],
    "L10-three-records-in-segments": [records(MESSAGE[:50]), records(MESSAGE[50:60]), records(MESSAGE[60:])],
    "L10-post-quantum": [records(MESSAGE)],
    "L10-16-kib": [records(client_hello(OK_NAME, (51, bytes(16_000))))],
    "L10-60-kib": [records(client_hello((51, bytes(60_000)), OK_NAME), *[16_384] * 3)],
    "L11-minor-ff": [records(client_hello(), version=b"\x03\xff")],
    "L13-second-hello-is-opaque": [hello_for(b"ok.test"), hello_for(b"evil.test")],
}


@pytest.mark.parametrize("sent", PASSING.values(), ids=PASSING)
async def test_allowed_hello_is_passed_on_unchanged(sent: list[bytes]) -> None:
    line = await assert_passes(sent)
    assert {"sni", "ech"}.isdisjoint(line)


async def test_l1_hello_in_the_segment_of_its_connect() -> None:
    await assert_passes([], early=hello_for(b"ok.test") + b"early data")


async def test_l1_hello_that_begins_in_the_segment_of_its_connect() -> None:
    hello = hello_for(b"ok.test")
    await assert_passes([hello[20:]], early=hello[:20])


async def test_l4_another_allowed_name_passes_and_is_logged() -> None:
    line = await assert_passes([hello_for(b"sub.ok.test")])
    assert line["sni"] == "sub.ok.test"


async def test_l14_ech_passes_by_its_outer_name_and_is_logged() -> None:
    line = await assert_passes([records(client_hello(OK_NAME, ECH))])
    assert line["ech"] is True


@pytest.mark.parametrize("sent", [NAMELESS, library_hello(None)], ids=["hand-made", "library"])
async def test_l5_no_name_passes_for_a_listed_address(sent: bytes) -> None:
    await assert_passes([sent], host="[::1]", address="::1")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(NAMELESS, id="L5-no-sni"),
        pytest.param(records(client_hello(block=b"")), id="L5-no-extensions-block"),
        pytest.param(records(client_hello(server_name(b"ok.test", b"evil.test"))), id="L12-two-names"),
        pytest.param(records(client_hello(OK_NAME, OK_NAME)), id="L12-two-extensions"),
        pytest.param(records(client_hello(server_name(b"ok.test", kind=1))), id="L12-name-type"),
        pytest.param(records(client_hello(server_name())), id="L12-empty-list"),
        pytest.param(hello_for(b"ok.test\x00.evil.test"), id="L12-nul"),
    ],
)
async def test_no_single_name_is_refused(sent: bytes) -> None:
    line = await assert_refused(sent, "sni", answer=ALERT)
    assert "sni" not in line


async def test_l3_name_outside_the_policy_is_refused_and_logged() -> None:
    line = await assert_refused(hello_for(b"evil.test"), "sni", answer=ALERT)
    assert line["sni"] == "evil.test"


async def test_l3_split_hello_is_refused_alike() -> None:
    message = client_hello(server_name(b"evil.test"))
    await assert_refused(records(message, 3, 60, 20), "sni", answer=ALERT)


async def test_l14_ech_with_another_outer_name_is_refused() -> None:
    line = await assert_refused(records(client_hello(server_name(b"evil.test"), ECH)), "sni", answer=ALERT)
    assert (line["sni"], line["ech"]) == ("evil.test", True)


async def test_l16_name_of_the_same_front_is_refused() -> None:
    line = await assert_refused(
        hello_for(b"example.ok.test"),
        "sni",
        domains=["registry.ok.test"],
        host="registry.ok.test",
        answer=ALERT,
    )
    assert line["sni"] == "example.ok.test"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n", id="L6-http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="L7-ssh"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="L15-http2"),
        pytest.param(b"\x00", id="one-byte"),
        pytest.param(records(client_hello(kind=2)), id="L11-server-hello"),
        pytest.param(b"\x16\x02", id="L11-record-version"),
        pytest.param(records(client_hello(session_id=bytes(33))), id="L12-session-id"),
        pytest.param(records(client_hello(block=b"\x00\x09" + bytes(8))), id="L12-extensions-block"),
        pytest.param(records(b"\x01\x00\xff\xff" + bytes(65_532), *[16_384] * 4), id="over-64-kib"),
    ],
)
async def test_what_is_no_hello_is_refused_without_a_word(sent: bytes) -> None:
    await assert_refused(sent, "not-tls")


async def test_l8_end_inside_the_hello() -> None:
    await assert_refused(b"\x16\x03\x01\x00\xff", "not-tls", half_close=True)


async def test_end_before_the_first_byte_is_a_normal_end() -> None:
    await assert_refused(b"", "done", half_close=True)


@pytest.mark.parametrize(
    "sent", [b"", b"\x16", hello_for(b"ok.test")[:-1]], ids=["nothing", "L9-one-byte", "all-but-one"]
)
async def test_silence_ends_at_the_deadline(sent: bytes) -> None:
    await assert_refused(sent, "hello-timeout", tables=SHORT)


async def test_l17_server_that_speaks_first_is_not_heard() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"220 ready\r\n")
        await peer.read_to_end()

    await assert_refused(b"", "hello-timeout", tables=SHORT, script=script)


async def test_deadline_is_for_the_whole_hello() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(tls="require", tables=SHORT) as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"ok.test:{origin.port}", b"\x16\x03\x01\x40\x00")
        ending = asyncio.ensure_future(client.read_to_end())
        while not ending.done():
            await client.send(b"\x01")
            await asyncio.wait([ending], timeout=0.005)
        assert (await close_line(gate))["reason"] == "hello-timeout"
        assert origin.peers[0].received == b""


async def test_l17_any_is_the_way_out() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"220 ready\r\n")
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate(tls="any") as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}")
        assert await client.read_exactly(11) == b"220 ready\r\n"


async def test_early_words_of_the_server_come_once_the_hello_is_accepted() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"early")
        peer.half_close()
        await peer.read_to_end()

    hello = hello_for(b"ok.test")
    async with (
        Origin(script) as origin,
        loopback_gate(tls="require") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"ok.test:{origin.port}")
        await client.send(hello)
        assert await client.read_to_end() == b"early"
        client.half_close()
        assert await (await origin.peer()).until_ended() == hello
        assert (await close_line(gate))["reason"] == "done"


async def test_half_close_right_behind_the_hello_is_carried_through() -> None:
    hello = hello_for(b"ok.test")
    async with Origin(echo) as origin, loopback_gate(tls="require") as gate, gate.client() as client:
        await client.send(connect(f"ok.test:{origin.port}") + hello)
        client.half_close()
        assert (await client.response("CONNECT")).status == 200
        assert await client.read_to_end() == hello
        assert (await close_line(gate))["reason"] == "done"


async def test_reset_of_the_client_before_its_hello_resets_the_origin() -> None:
    async with Origin(swallow) as origin, loopback_gate(tls="require") as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}", b"\x16")
        client.reset()
        await (await origin.peer()).until_ended()
        assert origin.peers[0].was_reset
        assert (await close_line(gate))["reason"] == "client-reset"


async def test_reset_of_the_origin_before_the_hello_resets_the_client() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await go.wait()
        peer.reset()

    async with Origin(script) as origin, loopback_gate(tls="require") as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}")
        go.set()
        assert await client.read_to_end() == b""
        assert client.was_reset
        assert (await close_line(gate))["reason"] == "upstream-reset"


async def test_gate_that_stops_does_not_wait_for_a_hello() -> None:
    async with Origin(swallow) as origin, loopback_gate(tls="require") as gate, gate.client() as client:
        await open_tunnel(client, f"ok.test:{origin.port}")
        await gate.close()
        assert gate.closes[0]["reason"] == "drained"
        assert await client.read_to_end() == b""


async def test_hello_is_charged_like_any_bytes() -> None:
    early = hello_for(b"ok.test") + bytes(100_000)
    async with (
        Origin(swallow) as origin,
        loopback_gate(tls="require", rate='"100kB"') as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, f"ok.test:{origin.port}", early)
        client.half_close()
        assert await (await origin.peer()).until_ended() == early
        line = await close_line(gate)
        assert line["bytes_up"] == len(early)
        assert isinstance(line["wait_up_s"], float)
        assert line["wait_up_s"] > 0


async def test_job_can_read_why_its_tunnel_was_closed() -> None:
    async with Origin(swallow) as origin, loopback_gate(tls="require") as gate:
        for sent in (hello_for(b"evil.test"), b"GET /"):
            async with gate.client() as client:
                await open_tunnel(client, f"ok.test:{origin.port}", sent)
                await client.read_to_end()
        async with gate.client() as client:
            response = await client.request(absolute("http://jobgate.internal/denials"))
        found = [(entry["host"], entry["reason"]) for entry in json.loads(response.body)]
        assert found == [("evil.test", "sni"), ("ok.test", "not-tls")]


async def test_upgrade_on_plain_http_is_not_looked_at() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"))
        await peer.send(await peer.read_some())

    async with Origin(script) as origin, loopback_gate(tls="require") as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        response = await client.request(absolute(url, "Connection: upgrade", "Upgrade: websocket"))
        assert response.status == 101
        await client.send(b"\x81\x02hi")
        assert await client.read_exactly(4) == b"\x81\x02hi"
