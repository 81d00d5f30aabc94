"""Upgrade over the wire: WebSocket on plain HTTP, and what only looks like it."""

from __future__ import annotations

from support.gate import loopback_gate
from support.messages import absolute, head, ok
from support.origin import Origin, Peer, answer

WEBSOCKET = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")


async def switch_and_echo(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(SWITCHING + b"server first")
    while data := await peer.read_some():
        await peer.send(data)


async def test_websocket_upgrade_becomes_a_tunnel() -> None:
    async with Origin(switch_and_echo) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/ws", *WEBSOCKET))
        assert (response.status, response.value("upgrade").lower()) == (101, "websocket")
        assert response.value("connection").lower() == "upgrade"
        assert await client.read_exactly(12) == b"server first"
        await client.send(b"\x81\x02hi")
        assert await client.read_exactly(4) == b"\x81\x02hi"
        arrived = bytes(origin.peers[0].received).lower()
        assert b"\r\nupgrade: websocket\r\n" in arrived
        assert b"\r\nconnection: upgrade\r\n" in arrived
        client.half_close()
        assert await client.read_to_end() == b""
        await gate.until_closed(1)
        assert gate.closes[0]["status"] == 101


async def test_refused_upgrade_is_an_ordinary_answer_and_the_next_request_is_decided() -> None:
    async with (
        Origin(answer(head("HTTP/1.1 400 Bad Request", "Content-Length: 2") + b"no", ok(b"next"))) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        url = f"http://ok.test:{origin.port}/"
        # What a client sends in the belief that it has switched is read as its next request.
        await client.send(absolute(url, *WEBSOCKET) + absolute("http://evil.test/"))
        assert (await client.response()).status == 400
        assert (await client.response()).status == 403
        assert b"evil" not in bytes(origin.peers[0].received)


async def test_200_is_not_taken_for_101() -> None:
    async with Origin(answer(ok(b"plain"))) as origin, loopback_gate() as gate, gate.client() as client:
        request = absolute(f"http://ok.test:{origin.port}/", *WEBSOCKET)
        await client.send(request + absolute("http://evil.test/"))
        assert (await client.response()).body == b"plain"
        assert (await client.response()).status == 403


async def test_upgrade_to_anything_else_is_not_passed_on() -> None:
    async with Origin(answer(ok())) as origin, loopback_gate() as gate, gate.client() as client:
        fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/", *fields))).status == 200
        arrived = bytes(origin.peers[0].received).lower()
        assert b"upgrade" not in arrived
        assert b"http2-settings" not in arrived


async def test_101_that_nobody_asked_for_is_an_invalid_answer() -> None:
    async with Origin(answer(SWITCHING)) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.value("x-jobgate-reason")) == (502, "upstream-invalid")


async def test_upgrade_of_http_1_0_is_ignored() -> None:
    async with Origin(answer(ok(b"plain"))) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", *WEBSOCKET, minor=0))
        assert response.body == b"plain"
        assert b"upgrade" not in bytes(origin.peers[0].received).lower()
