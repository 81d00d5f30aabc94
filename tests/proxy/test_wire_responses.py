"""B23 to B27 over the wire: how answers of origins are passed on."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from support.gate import loopback_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, head, ok
from support.origin import Origin, Peer, answer, answer_and_close

BODILESS = {
    "B23-head": ("HEAD", "HTTP/1.1 200 OK", ["Content-Length: 5"]),
    "B23-head-chunked": ("HEAD", "HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"]),
    "B23-204": ("GET", "HTTP/1.1 204 No Content", []),
    "B23-304": ("GET", "HTTP/1.1 304 Not Modified", ["Content-Length: 5"]),
    "B23-205": ("GET", "HTTP/1.1 205 Reset Content", ["Content-Length: 0"]),
}


@pytest.mark.parametrize(("method", "line", "fields"), BODILESS.values(), ids=BODILESS)
async def test_answer_without_content_is_complete_at_its_blank_line(
    method: str, line: str, fields: list[str]
) -> None:
    async with (
        Origin(answer(head(line, *fields), ok(b"next"))) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        url = f"http://ok.test:{origin.port}/"
        response = await client.request(absolute(url, method=method), method)
        assert (response.status, response.body) == (int(line.split()[1]), b"")
        assert (await client.request(absolute(url))).body == b"next"
        assert len(origin.peers) == 1


@pytest.mark.parametrize("interim", [[100], [103], [100, 103, 103]], ids=["100", "103", "several"])
async def test_b24_interim_answers_are_never_the_final_one(interim: list[int]) -> None:
    heads = b"".join(head(f"HTTP/1.1 {status} Wait", "Link: </a>") for status in interim)
    async with Origin(answer(heads + ok(b"end"))) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.body, response.interim) == (200, b"end", interim)


async def test_b24_interim_answers_are_not_sent_to_http_1_0() -> None:
    script = answer(head("HTTP/1.1 103 Early Hints") + ok(b"end"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", minor=0))
        assert (response.body, response.interim) == (b"end", [])


async def test_b25_answer_without_length_ends_with_the_connection() -> None:
    content = bytes(range(256)) * 1000
    script = answer_and_close(head("HTTP/1.1 200 OK") + content)
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert response.body == content


async def test_b25_answer_without_length_closes_http_1_0() -> None:
    script = answer_and_close(head("HTTP/1.0 200 OK") + b"all of it")
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", minor=0))
        assert response.body == b"all of it"
        assert response.values("transfer-encoding") == []
        assert await client.read_to_end() == b""
        assert not client.was_reset


async def test_b26_coded_content_is_not_touched() -> None:
    content = gzip.compress(b"content " * 100)
    script = answer(ok(content, "Content-Encoding: gzip"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", "Accept-Encoding: gzip"))
        assert (response.body, response.value("content-encoding")) == (content, "gzip")


async def test_b27_redirect_is_passed_on_not_followed() -> None:
    script = answer(head("HTTP/1.1 302 Found", "Location: http://evil.test/", "Content-Length: 0"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.value("location")) == (302, "http://evil.test/")
        assert len(gate.decisions) == 1


@pytest.mark.parametrize("step", [1, 7, 4096], ids=["byte-by-byte", "by-sevens", "at-once"])
async def test_chunked_answer_arrives_whole(step: int) -> None:
    data = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum")
    data += b"5\r\nhello\r\nA;x=1\r\n, chunked!\r\n0\r\nX-Sum: 1\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.read_head()
        for at in range(0, len(data), step):
            await peer.send(data[at : at + step])
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert response.body == b"hello, chunked!"


async def test_chunked_answer_is_unchunked_for_http_1_0() -> None:
    script = answer(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", minor=0))
        assert (response.body, response.values("transfer-encoding")) == (b"hello", [])
        assert await client.read_to_end() == b""


async def test_answer_of_http_1_0_origin_is_passed_on_as_1_1() -> None:
    script = answer_and_close(head("HTTP/1.0 200 OK", "Content-Length: 5") + b"hello")
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.minor, response.body) == (1, b"hello")


async def test_hop_by_hop_fields_of_an_answer_stay_here() -> None:
    fields = [
        "Connection: X-Hop",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "X-Jobgate-Reason: forged",
        "Proxy-Status: upstream; error=dns_error",
        "Via: 1.1 fred",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
    ]
    async with Origin(answer(ok(b"x", *fields))) as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        names = {name for name, _ in response.headers}
        assert not names & {"x-hop", "keep-alive", "proxy-authenticate", "x-jobgate-reason"}
        assert response.values("proxy-status") == ["upstream; error=dns_error"]
        assert response.values("set-cookie") == ["a=1", "b=2"]
        assert ", ".join(response.values("via")) == "1.1 fred, 1.1 jobgate"


async def test_expect_continue_is_answered_by_the_origin_before_the_content() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        request = absolute(
            f"http://ok.test:{origin.port}/", "Expect: 100-continue", "Content-Length: 5", method="POST"
        )
        await client.send(request)
        assert (await client.read_some()).startswith(b"HTTP/1.1 100 ")
        await client.send(b"hello")
        assert (await client.response("POST")).status == 200
        assert origin.requests[0].body == b"hello"


async def test_expect_continue_answered_finally_leaves_the_content_unsent() -> None:
    script = answer(head("HTTP/1.1 417 Expectation Failed", "Content-Length: 0"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        fields = ["Expect: 100-continue", "Content-Length: 5"]
        request = absolute(f"http://ok.test:{origin.port}/", *fields, method="POST")
        assert (await client.request(request, "POST")).status == 417
        peer = await origin.peer()
        # The content was not asked for, so that this connection cannot carry another request.
        assert b"hello" not in await peer.until_ended()


async def test_answer_before_the_content_is_complete_is_passed_on() -> None:
    script = answer(
        head("HTTP/1.1 413 Content Too Large", "Content-Length: 3", "Connection: close") + b"no\n"
    )
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        request = absolute(f"http://ok.test:{origin.port}/", "Content-Length: 1000000", method="POST")
        await client.send(request + b"some of it")
        response = await client.response("POST")
        assert (response.status, response.body) == (413, b"no\n")


async def test_large_answer_waits_for_a_client_that_does_not_read() -> None:
    content = bytes(1 << 16)
    sent = 0
    total = 512

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.read_head()
        await peer.send(head("HTTP/1.1 200 OK", f"Content-Length: {total * len(content)}"))
        for _ in range(total):
            await peer.send(content)
            sent += len(content)
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        before = -1
        while before != sent or not sent:
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        # 32 MiB were offered; only what sockets and one relay buffer hold has left the origin.
        assert sent < total * len(content)
        response = await client.response()
        assert len(response.body) == total * len(content)
