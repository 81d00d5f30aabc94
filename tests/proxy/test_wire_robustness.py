"""Odd but legal, and hostile, behaviour over the wire; nothing is left open afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.gate import DialHook, RunningGate, loopback_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, head, ok, post
from support.origin import Origin, Peer, answer, answer_when, echo, swallow

NO_CAPS = "[limits]\nrequests_per_s_per_job = 0\ndns_names_per_s_per_job = 0"


async def test_unsolicited_bytes_on_an_idle_upstream_are_no_answer() -> None:
    speak = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(ok(b"asked"))
        await speak.wait()
        await peer.send(ok(b"smuggled"))
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        assert (await client.request(absolute(url))).body == b"asked"
        speak.set()
        await (await origin.peer()).until_ended()
        assert (await client.request(absolute(url))).body == b"asked"
        assert len(origin.peers) == 2


async def test_flood_of_pipelined_requests_is_answered_in_order() -> None:
    count = 2000
    async with HttpOrigin(b"x") as origin, loopback_gate(tables=NO_CAPS) as gate, gate.client() as client:
        requests = [absolute(f"http://ok.test:{origin.port}/{number}") for number in range(count)]
        sending = asyncio.ensure_future(client.send(b"".join(requests)))
        for _ in range(count):
            assert (await client.response()).status == 200
        await sending
        assert [request.target for request in origin.requests] == [b"/%d" % n for n in range(count)]


async def test_content_in_very_many_chunks_arrives() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        request = absolute(url, "Transfer-Encoding: chunked", method="POST")
        await client.send(request + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        assert (await client.response("POST")).status == 200
        assert origin.requests[0].body == b"x" * 20_000


async def test_head_of_60_kib_passes_both_ways() -> None:
    fields = [f"X-{number}: {'a' * 6000}" for number in range(10)]
    async with Origin(answer(ok(b"", *fields))) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", *fields))
        assert [value for name, value in response.headers if name.startswith("x-")] == ["a" * 6000] * 10
        assert bytes(origin.peers[0].received).count(b"a" * 6000) == 10


@pytest.mark.parametrize("last", [0, 1, 4, 1000], ids=["at-once", "last-byte", "blank-line", "halves"])
@pytest.mark.parametrize(("size", "status"), [(2047, 200), (2048, 200), (2049, 431)])
async def test_head_may_be_as_large_as_its_limit(size: int, status: int, last: int) -> None:
    limits = "[limits]\nmax_head_bytes = 2048\nmax_target_bytes = 1024"
    async with HttpOrigin() as origin, loopback_gate(tables=limits) as gate, gate.client() as client:
        request = absolute(f"http://ok.test:{origin.port}/", "X: ")
        request = request.replace(b"X: ", b"X: " + b"a" * (size - len(request)))
        await client.send(request[: size - last])
        for _ in range(20):
            await asyncio.sleep(0)  # so that the gate sees a part first
        await client.send(request[size - last :])
        assert (await client.response()).status == status


async def test_content_streams_both_ways_at_once() -> None:
    content = bytes(range(250)) * 10_000

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(head("HTTP/1.1 200 OK", f"Content-Length: {len(content)}"))
        left = len(content)
        while left:
            data = await peer.read_some()
            left -= len(data)
            await peer.send(data)
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        sending = asyncio.ensure_future(client.send(post(f"http://ok.test:{origin.port}/", content)))
        assert (await client.response("POST")).body == content
        await sending


@contextmanager
def resetting_port() -> Iterator[int]:
    """Accept and reset at once, in a thread: the reset may be there before the gate looks."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("kind", ["connect", "http"])
async def test_origin_that_resets_at_once_is_a_bad_gateway_or_a_reset(kind: str) -> None:
    async def ask(gate: RunningGate, request: bytes) -> bytes:
        async with gate.client() as client:
            await client.send(request)
            return await client.read_some()

    with resetting_port() as port:
        request = connect(f"ok.test:{port}") if kind == "connect" else absolute(f"http://ok.test:{port}/")
        async with loopback_gate(tables=NO_CAPS) as gate:
            answers = await asyncio.gather(*(ask(gate, request) for _ in range(100)))
        allowed = (b"502",) if kind == "http" else (b"502", b"200")
        assert {answer.split()[1] for answer in answers if answer} <= set(allowed)


async def test_client_that_closes_in_the_middle_of_a_download_ends_it() -> None:
    async def endless(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(head("HTTP/1.1 200 OK", "Content-Length: 1000000000000"))
        while True:
            await peer.send(bytes(65536))

    async with Origin(endless) as origin, loopback_gate() as gate:
        async with gate.client() as client:
            await client.send(absolute(f"http://ok.test:{origin.port}/"))
            assert len(await client.read_some()) > 0
        await gate.until_closed(1)
        await (await origin.peer()).until_ended()
        assert gate.closes[0]["reason"] == "client-reset"


async def test_request_under_way_is_answered_while_draining() -> None:
    release = asyncio.Event()

    script = answer_when(release, ok(b"late"))

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        await (await origin.peer()).until_received(1)
        closing = asyncio.ensure_future(gate.close(drain_s=8.0))
        await asyncio.sleep(0)
        release.set()
        assert (await client.response()).body == b"late"
        assert await client.read_to_end() == b""
        client.close()
        await closing


async def test_idle_connections_are_closed_at_once_when_the_gate_is() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as fresh, gate.client() as used:
        assert (await used.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        await gate.close(drain_s=8.0)
        assert await fresh.read_to_end() == b""
        assert await used.read_to_end() == b""


async def test_job_can_read_its_own_refusals() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        assert (await client.request(absolute("http://evil.test/"))).status == 403
        response = await client.request(absolute("http://jobgate.internal/denials"))
        assert response.status == 200
        assert "evil.test" in json.dumps(json.loads(response.body))
        assert gate.dials == []


@pytest.mark.parametrize(
    "request_bytes", [connect("jobgate.internal:443"), absolute("http://jobgate.internal/")]
)
async def test_reserved_name_serves_nothing_else(request_bytes: bytes) -> None:
    async with loopback_gate(domains=["jobgate.internal"]) as gate, gate.client() as client:
        assert (await client.request(request_bytes)).status in (400, 403)
        assert gate.dials == []


async def test_listener_may_be_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    async with HttpOrigin() as origin, loopback_gate() as gate:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            gate.gate.listen(gate.gate.jobs["job"], listener.dup())
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(absolute(f"http://ok.test:{origin.port}/", "Connection: close"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


async def test_port_80_takes_requests_in_the_segment_of_its_connect() -> None:
    async with HttpOrigin() as origin:
        gate_80 = loopback_gate(node='connect_ports = ["443"]', dialer=DialHook({80: origin.port}))
        async with gate_80 as gate, gate.client() as client:
            inside = head("GET /a HTTP/1.1", "Host: ok.test") + head("GET /b HTTP/1.1", "Host: ok.test")
            await client.send(connect("ok.test:80") + inside)
            assert (await client.response("CONNECT")).status == 200
            assert [(await client.response()).status for _ in range(2)] == [200, 200]
            client.half_close()
            assert await client.read_to_end() == b""


async def exchange(gate: RunningGate, plain: int, tunnelled: int, dice: random.Random) -> None:
    """Do one of the things that clients do; whole, or broken off."""
    async with gate.client() as client:
        content = dice.randbytes(dice.choice([0, 1, 4000, 200_000]))
        kind = dice.choice(
            ["get", "post", "tunnel", "refused", "broken-head", "broken-post", "broken-tunnel"]
        )
        if kind == "get":
            assert (await client.request(absolute(f"http://ok.test:{plain}/"))).status == 200
        elif kind == "post":
            assert (await client.request(post(f"http://ok.test:{plain}/", content), "POST")).status == 200
        elif kind == "tunnel":
            assert (await client.request(connect(f"ok.test:{tunnelled}"), "CONNECT")).status == 200
            received, _ = await asyncio.gather(client.read_exactly(len(content)), client.send(content))
            assert received == content
        elif kind == "refused":
            assert (await client.request(absolute("http://evil.test/"))).status == 403
        elif kind == "broken-head":
            await client.send(b"GET http://ok.test/ HT")
        elif kind == "broken-post":
            await client.send(absolute(f"http://ok.test:{plain}/", "Content-Length: 9", method="POST"))
        else:
            await client.send(connect(f"ok.test:{tunnelled}") + content)
        if dice.random() < 0.5:
            client.reset()


async def storm(dice: random.Random) -> None:
    async with HttpOrigin() as plain, Origin(echo) as tunnelled, loopback_gate(tables=NO_CAPS) as gate:
        for _ in range(4):
            await asyncio.gather(*(exchange(gate, plain.port, tunnelled.port, dice) for _ in range(30)))
        await gate.close()
        assert not gate.gate.jobs["job"].connections
        await plain.until_all_ended()
        await tunnelled.until_all_ended()


async def test_nothing_is_left_open_after_many_exchanges() -> None:
    dice = random.Random(7)  # noqa: S311 -- a test that can be repeated
    await storm(dice)  # also makes the loop open what it opens late
    descriptors = len(os.listdir("/proc/self/fd"))
    await storm(dice)
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_two_listeners_of_a_job_share_its_cap() -> None:
    async with Origin(swallow) as origin, loopback_gate(job="max_connections = 1") as gate:
        second = socket.create_server(("127.0.0.1", 0))
        gate.ports.append(second.getsockname()[1])
        gate.gate.listen(gate.gate.jobs["job"], second)
        async with gate.client(0) as one, gate.client(1) as other:
            assert (await one.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
            assert (await other.request(absolute("http://ok.test/"))).status == 429
