"""G rows over the wire: how refusals and failures look to a client."""

from __future__ import annotations

import asyncio
import json

import pytest

from support.client import Client
from support.gate import FakeResolver, loopback_gate
from support.messages import absolute, connect, head, ok, post
from support.net import closed_port, silent_port
from support.origin import Origin, Peer, Script, answer, answer_and_close, swallow

BOTH_KINDS = {"connect": connect("evil.test:443"), "http": absolute("http://evil.test/")}
#: Longest reason phrase; clients that show only the phrase cut longer ones.
MAX_PHRASE_CHARS = 80


@pytest.mark.parametrize("request_bytes", BOTH_KINDS.values(), ids=BOTH_KINDS)
async def test_g1_refusal_tells_machine_and_human_why(request_bytes: bytes) -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(request_bytes)
        assert (response.status, response.phrase) == (403, "Forbidden (jobgate: not-listed)")
        assert len(response.phrase) <= MAX_PHRASE_CHARS
        assert response.value("x-jobgate-reason") == "not-listed"
        status = response.value("proxy-status")
        assert status.startswith("jobgate; error=http_request_denied")
        assert '"not-listed"' in status
        assert response.value("content-type").startswith("text/plain")
        assert int(response.value("content-length")) == len(response.body)
        text = response.body.decode()
        assert "evil.test" in text
        assert '"evil.test" or ".evil.test"' in text


@pytest.mark.parametrize("request_bytes", BOTH_KINDS.values(), ids=BOTH_KINDS)
async def test_g1_refusal_is_json_where_asked_for(request_bytes: bytes) -> None:
    asking = request_bytes.replace(b"\r\n\r\n", b"\r\nAccept: application/json\r\n\r\n")
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(asking)
        assert response.value("content-type").startswith("application/json")
        assert json.loads(response.body)["reason"] == "not-listed"


async def test_g1_refused_connect_closes_and_refused_get_does_not() -> None:
    async with loopback_gate() as gate:
        async with gate.client() as client:
            response = await client.request(BOTH_KINDS["connect"])
            assert response.value("connection").lower() == "close"
            assert await client.read_to_end() == b""
        async with gate.client() as client:
            assert (await client.request(BOTH_KINDS["http"])).status == 403
            assert (await client.request(BOTH_KINDS["http"])).status == 403


async def test_refused_head_request_has_no_content() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute("http://evil.test/", method="HEAD"), "HEAD")
        assert (response.status, response.body) == (403, b"")
        assert (await client.request(BOTH_KINDS["http"])).status == 403


async def test_refused_upload_is_told_although_its_content_was_not_read() -> None:
    content = bytes(900_000)
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(post("http://evil.test/", content), "POST")
        assert response.value("x-jobgate-reason") == "not-listed"
        assert response.value("connection").lower() == "close"
        client.half_close()
        await client.read_to_end()
        # The gate read on for a while: a reset could have overtaken its answer.
        assert not client.was_reset


REFLECTED = {
    "line-break": b"GET http://evil.test%0d%0aX-Evil:1/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "bare-cr": b"GET http://evil.test\rX-Evil:1/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "quote": b'CONNECT evil".test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n',
    "path": b"GET http://evil.test/%0d%0aX-Evil:1 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "method": b"X-EVIL http://evil.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", REFLECTED.values(), ids=REFLECTED)
async def test_g2_nothing_of_the_request_gets_into_head_or_log_unescaped(request_bytes: bytes) -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(request_bytes)
        assert response.status >= 400
        assert not response.values("x-evil")
        assert response.body.isascii()
        assert b"\r" not in response.body
        client.half_close()
        await client.read_to_end()
        await gate.until_closed(1)
        for line in gate.journal_text.splitlines():
            json.loads(line)


async def test_g3_our_own_error_fields_are_removed_from_answers() -> None:
    script = answer(ok(b"", "X-Jobgate-Reason: not-listed", "x-jobgate-other: 1"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert [name for name, _ in response.headers if name.startswith("x-jobgate")] == []


@pytest.mark.parametrize("kind", ["connect", "http"])
async def test_g4_port_without_a_listener_is_a_bad_gateway_before_any_200(kind: str) -> None:
    port = closed_port()
    request = connect(f"ok.test:{port}") if kind == "connect" else absolute(f"http://ok.test:{port}/")
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(request)
        assert (response.status, response.value("x-jobgate-reason")) == (502, "connect-refused")
        assert "error=connection_refused" in response.value("proxy-status")
        await gate.until_closed(1)
        assert (gate.decisions[0]["decision"], gate.closes[0]["reason"]) == ("allow", "connect-refused")


@pytest.mark.parametrize("kind", ["connect", "http"])
async def test_g5_dial_that_is_never_answered_is_a_gateway_timeout(kind: str) -> None:
    with silent_port() as port:
        request = connect(f"ok.test:{port}") if kind == "connect" else absolute(f"http://ok.test:{port}/")
        async with loopback_gate(tables="[timeouts]\ndial_s = 0.1") as gate, gate.client() as client:
            response = await client.request(request)
            assert (response.status, response.value("x-jobgate-reason")) == (504, "connect-timeout")


async def test_g6_origin_that_says_nothing_is_a_gateway_timeout() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(tables="[timeouts]\nupstream_response_s = 0.1") as gate,
        gate.client() as client,
    ):
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.value("x-jobgate-reason")) == (504, "upstream-timeout")
        await gate.until_closed(1)
        assert (gate.closes[0]["status"], gate.closes[0]["reason"]) == (504, "upstream-timeout")
        await (await origin.peer()).until_ended()


CUT = {
    "length": head("HTTP/1.1 200 OK", "Content-Length: 100") + b"part",
    "chunked": head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"4\r\npart\r\n",
    "chunk": head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"64\r\npart",
    "broken-chunk": head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"4\r\npart\r\nzz\r\n",
}


@pytest.mark.parametrize("minor", [1, 0], ids=["to-1.1", "to-1.0"])
@pytest.mark.parametrize("ending", ["fin", "reset"])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
async def test_g8_cut_answer_looks_cut(data: bytes, ending: str, minor: int) -> None:
    passed_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(data)
        await passed_on.wait()
        if ending == "reset":
            peer.reset()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/", minor=minor))
        received = b""
        while b"part" not in received and (more := await client.read_some()):
            received += more
        passed_on.set()
        received += await client.read_to_end()
        assert client.was_reset
        assert not received.endswith(b"0\r\n\r\n")


INVALID: dict[str, Script] = {
    "garbage": answer(b"this is no HTTP at all\r\n\r\n"),
    "head-of-70-KiB": answer(head("HTTP/1.1 200 OK", "X: " + "a" * 70_000, "Content-Length: 0")),
    "http-0.9": answer_and_close(b"<html>hello</html>"),
    "two-lengths": answer(head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2") + b"xx"),
    "length-and-chunked": answer(
        head("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    ),
    "bare-cr": answer(b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
    "http-2": answer(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "status-99": answer(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"),
    "endless-interim": answer(head("HTTP/1.1 103 Early Hints") * 200 + ok()),
}


@pytest.mark.parametrize("script", INVALID.values(), ids=INVALID)
async def test_g10_invalid_answer_is_a_bad_gateway_and_its_connection_is_closed(script: Script) -> None:
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert response.status == 502
        assert response.value("x-jobgate-reason") in ("upstream-invalid", "upstream-closed")
        await (await origin.peer()).until_ended()


async def test_g10_origin_that_closes_without_an_answer() -> None:
    async with Origin(answer_and_close(b"")) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.value("x-jobgate-reason")) == (502, "upstream-closed")


async def test_g11_draining_refuses_new_requests_and_lets_tunnels_live() -> None:
    request = absolute("http://ok.test/")
    async with (
        Origin(swallow) as origin,
        loopback_gate() as gate,
        gate.client() as tunnel,
        gate.client() as client,
    ):
        assert (await tunnel.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        await client.send(absolute("http://evil.test/") + request[:-2])
        assert (await client.response()).status == 403
        closing = asyncio.ensure_future(gate.close(drain_s=8.0))
        await asyncio.sleep(0)
        await client.send(request[-2:])
        response = await client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (503, "draining")
        assert response.value("connection").lower() == "close"
        client.close()
        with pytest.raises(ConnectionError):
            await Client.connect(gate.port)
        await tunnel.send(b"still here")
        assert await (await origin.peer()).until_received(10) == b"still here"
        assert not closing.done()
        tunnel.half_close()
        await closing


async def test_g12_note_of_the_operator_is_there_once() -> None:
    async with loopback_gate(node='refusal_note = "ask ops@example.com"') as gate, gate.client() as client:
        response = await client.request(absolute("http://evil.test/"))
        assert response.body.count(b"ask ops@example.com") == 1


async def test_g13_refusal_needs_no_dns_and_no_timer() -> None:
    resolver = FakeResolver({})
    timeouts = "[timeouts]\nhead_s = 0.001\ndial_s = 0.001"
    async with loopback_gate(resolver=resolver, tables=timeouts) as gate:
        for request in BOTH_KINDS.values():
            async with gate.client() as client:
                assert (await client.request(request)).status == 403
        assert (resolver.queries, gate.dials) == ([], [])
