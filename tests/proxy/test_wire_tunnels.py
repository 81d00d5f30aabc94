"""Tunnels over the wire: early data, half-close, resets, idleness, back-pressure."""

from __future__ import annotations

import asyncio

import pytest

from support.client import Client
from support.gate import RunningGate, loopback_gate
from support.messages import connect
from support.origin import Origin, Peer, echo, swallow


async def open_tunnel(client: Client, port: int, early: bytes = b"") -> None:
    """Send CONNECT, with bytes right behind its head, and take the 200."""
    await client.send(connect(f"ok.test:{port}") + early)
    response = await client.response("CONNECT")
    assert response.status == 200
    assert not response.values("content-length")
    assert not response.values("transfer-encoding")


async def close_line(gate: RunningGate) -> dict[str, object]:
    await gate.until_closed(1)
    return gate.closes[0]


async def test_b29_plain_http_in_a_tunnel_is_opaque() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        spoofed = b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"
        await client.send(spoofed)
        assert await (await origin.peer()).until_received(len(spoofed)) == spoofed


async def test_bytes_behind_the_head_reach_the_origin_once_and_first() -> None:
    early = bytes(range(256)) * 2000  # more than the gate keeps before it has dialled
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port, early)
        await client.send(b"later")
        assert await client.read_exactly(len(early) + 5) == early + b"later"
        client.half_close()
        assert await client.read_to_end() == b""
        assert bytes(origin.peers[0].received) == early + b"later"


async def test_bytes_behind_a_refused_head_go_nowhere() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(connect(f"evil.test:{origin.port}") + b"GET http://ok.test/ HTTP/1.1\r\n\r\n")
        response = await client.response()
        assert (response.status, response.value("connection").lower()) == (403, "close")
        assert await client.read_to_end() == b""
        assert origin.peers == []
        assert len(gate.decisions) == 1


async def test_half_close_of_the_client_is_carried_through_and_the_answer_still_comes() -> None:
    async def script(peer: Peer) -> None:
        question = await peer.read_to_end()
        await peer.send(b"answer to " + question)

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        await client.send(b"question")
        client.half_close()
        assert await client.read_to_end() == b"answer to question"
        assert not client.was_reset
        assert (await close_line(gate))["reason"] == "done"


async def test_half_close_of_the_origin_is_carried_through_and_the_rest_still_goes_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"last words")
        peer.half_close()
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        assert await client.read_to_end() == b"last words"
        await client.send(b"still here")
        client.half_close()
        assert await (await origin.peer()).until_ended() == b"still here"
        line = await close_line(gate)
        assert (line["reason"], line["bytes_up"], line["bytes_down"]) == ("done", 10, 10)


async def test_early_data_and_half_close_in_one_segment() -> None:
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(connect(f"ok.test:{origin.port}") + b"all I have")
        client.half_close()
        assert (await client.response("CONNECT")).status == 200
        assert await client.read_to_end() == b"all I have"


async def test_g9_reset_of_the_origin_is_a_reset_for_the_client() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_exactly(5)
        peer.reset()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        await client.send(b"hello")
        assert await client.read_to_end() == b""
        assert client.was_reset
        assert (await close_line(gate))["reason"] == "upstream-reset"


async def test_g9_reset_right_after_connect_writes_no_http() -> None:
    async def script(peer: Peer) -> None:
        peer.reset()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(connect(f"ok.test:{origin.port}"))
        received = await client.read_to_end()
        assert received.count(b"HTTP/1.1") <= 1
        assert received == b"" or received.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 502 "))


async def test_reset_of_the_client_is_a_reset_for_the_origin() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate:
        async with gate.client() as client:
            await open_tunnel(client, origin.port)
            await client.send(b"hello")
            await (await origin.peer()).until_received(5)
            client.reset()
        await (await origin.peer()).until_ended()
        assert origin.peers[0].was_reset
        assert (await close_line(gate))["reason"] == "client-reset"


async def test_g7_silent_tunnel_is_closed_after_its_idle_time_without_http() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(tables="[timeouts]\ntunnel_idle_s = 0.05") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, origin.port)
        assert await client.read_to_end() == b""
        assert (await close_line(gate))["reason"] == "idle"
        await (await origin.peer()).until_ended()


async def test_half_closed_tunnel_is_bounded_in_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_to_end()
        await asyncio.get_running_loop().create_future()

    async with (
        Origin(script) as origin,
        loopback_gate(tables="[timeouts]\nhalf_closed_s = 0.05") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, origin.port)
        client.half_close()
        assert await client.read_to_end() == b""
        assert (await close_line(gate))["reason"] == "idle"


async def test_head_deadline_is_no_tunnel_timeout() -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate(tables="[timeouts]\nhead_s = 0.05\nkeepalive_s = 0.05") as gate,
        gate.client() as client,
    ):
        await open_tunnel(client, origin.port)
        async with gate.client() as silent:
            await silent.read_to_end()
        await client.send(b"still here")
        assert await client.read_exactly(10) == b"still here"


@pytest.mark.parametrize("size", [1, 65536, 5_000_000], ids=["one-byte", "one-window", "bulk"])
async def test_everything_arrives_in_both_directions_at_once(size: int) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        received, _ = await asyncio.gather(client.read_exactly(size), client.send(content))
        assert received == content
        client.half_close()
        assert await client.read_to_end() == b""
        line = await close_line(gate)
        assert (line["bytes_up"], line["bytes_down"]) == (size, size)


async def test_origin_that_does_not_read_holds_the_client_back() -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await release.wait()
        await peer.read_to_end()

    total = 64 << 20
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        sending = asyncio.ensure_future(client.send(bytes(total)))
        for _ in range(2000):
            await asyncio.sleep(0)
        assert not sending.done()
        release.set()
        await sending
        client.half_close()
        assert len(await (await origin.peer()).until_ended()) == total


async def test_many_short_tunnels_at_once() -> None:
    async def exchange(gate: RunningGate, port: int, number: int) -> None:
        async with gate.client() as client:
            await open_tunnel(client, port)
            await client.send(b"%d" % number)
            client.half_close()
            assert await client.read_to_end() == b"%d" % number

    no_cap = "[limits]\ndns_names_per_s_per_job = 0"
    async with Origin(echo) as origin, loopback_gate(tables=no_cap) as gate:
        await asyncio.gather(*(exchange(gate, origin.port, number) for number in range(100)))
        await gate.until_closed(100)
        assert {line["reason"] for line in gate.closes} == {"done"}


async def test_server_that_speaks_first_is_heard() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"220 ready\r\n")
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        assert await client.read_exactly(11) == b"220 ready\r\n"
