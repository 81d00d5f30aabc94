"""A limited job over the wire: every byte arrives, later; small exchanges are not held up."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from support.client import Client
from support.gate import RunningGate, loopback_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, head, ok, post
from support.origin import Origin, Peer, Script, answer, answer_and_close, echo

#: Bytes/s. The burst is 64 KiB, so that what is above it waits for about 0.1 s.
RATE = 2_000_000
CONTENT = (bytes(range(251)) * 1100)[:262144]


def limited_gate(rate: int = RATE) -> AbstractAsyncContextManager[RunningGate]:
    return loopback_gate(rate=str(rate))


def chunked(content: bytes, size: int) -> bytes:
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


DOWNLOADS: dict[str, Script] = {
    "length": answer(ok(CONTENT)),
    "chunked": answer(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(CONTENT, 9999)),
    "one-chunk": answer(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(CONTENT, 1 << 20)),
    "until-close": answer_and_close(head("HTTP/1.1 200 OK") + CONTENT),
}


@pytest.mark.parametrize("script", DOWNLOADS.values(), ids=DOWNLOADS)
async def test_limited_answer_arrives_whole(script: Script) -> None:
    async with Origin(script) as origin, limited_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", "Connection: close"))
        assert response.body == CONTENT
        await gate.until_closed(1)
        waited = gate.closes[0]["wait_down_s"]
        assert isinstance(waited, float)
        assert waited > 0


UPLOADS = {
    "length": post("http://ok.test:{port}/", CONTENT),
    "chunked": absolute("http://ok.test:{port}/", "Transfer-Encoding: chunked", method="POST")
    + chunked(CONTENT, 10_007),
}


@pytest.mark.parametrize("request_bytes", UPLOADS.values(), ids=UPLOADS)
async def test_limited_upload_arrives_whole(request_bytes: bytes) -> None:
    async with HttpOrigin() as origin, limited_gate() as gate, gate.client() as client:
        request = request_bytes.replace(b"{port}", b"%d" % origin.port)
        next_request = absolute(f"http://ok.test:{origin.port}/next", "Connection: close")
        await client.send(request + next_request)
        assert (await client.response("POST")).status == 200
        assert (await client.response()).status == 200
        assert origin.requests[0].body == CONTENT
        assert origin.requests[1].target == b"/next"


async def test_limited_tunnel_carries_both_directions_whole() -> None:
    async with Origin(echo) as origin, limited_gate() as gate, gate.client() as client:
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        received, _ = await asyncio.gather(client.read_exactly(len(CONTENT)), client.send(CONTENT))
        assert received == CONTENT
        client.half_close()
        assert await client.read_to_end() == b""
        await gate.until_closed(1)
        assert (gate.closes[0]["bytes_up"], gate.closes[0]["bytes_down"]) == (len(CONTENT), len(CONTENT))


async def saturate(client: Client, port: int) -> None:
    assert (await client.request(connect(f"ok.test:{port}"), "CONNECT")).status == 200


async def test_refusal_is_not_delayed_by_a_saturated_job() -> None:
    async def endless(peer: Peer) -> None:
        while True:
            await peer.send(CONTENT)

    async with Origin(endless) as origin, limited_gate(rate=10_000) as gate, gate.client() as busy:
        await saturate(busy, origin.port)
        async with gate.client() as client, asyncio.timeout(1.0):
            assert (await client.request(absolute("http://evil.test/"))).status == 403


async def test_client_that_leaves_while_it_waits_frees_its_place() -> None:
    async def endless(peer: Peer) -> None:
        while True:
            await peer.send(CONTENT)

    async with Origin(endless) as origin, limited_gate(rate=10_000) as gate:
        async with gate.client() as busy:
            await saturate(busy, origin.port)
            assert len(await busy.read_some()) > 0
            busy.reset()
        await gate.until_closed(1)
        await (await origin.peer()).until_ended()
