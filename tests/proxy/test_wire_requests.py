"""B1 to B22 over the wire: what requests in absolute-form become at the origin."""

from __future__ import annotations

import pytest

from support.gate import FakeResolver, loopback_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, head, post


async def test_b1_request_arrives_in_origin_form_and_the_answer_comes_back() -> None:
    async with HttpOrigin(b"pong") as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/alpha?x=1"))
        assert (response.status, response.phrase, response.body) == (200, "OK", b"pong")
        assert response.value("x-origin") == "1"
        request = origin.requests[0]
        assert (request.method, request.target) == (b"GET", b"/alpha?x=1")
        assert request.values(b"host") == [f"ok.test:{origin.port}".encode()]


TARGETS = {
    "B2-no-path": ("", b"/"),
    "B3-query-only": ("?key=val", b"/?key=val"),
    "B19-raw-path": ("/a%2Fb/../c//d?x=%7e&y=a+b;z", b"/a%2Fb/../c//d?x=%7e&y=a+b;z"),
    "B19-dots-only": ("/./..//", b"/./..//"),
    "B19-url-in-path": ("/http://evil.test/", b"/http://evil.test/"),
}


@pytest.mark.parametrize(("rest", "arrives"), TARGETS.values(), ids=TARGETS)
async def test_path_and_query_arrive_byte_for_byte(rest: str, arrives: bytes) -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}"
        line = f"GET {url}{rest} HTTP/1.1"
        assert (await client.request(head(line, "Host: ok.test"))).status == 200
        assert origin.requests[0].target == arrives


async def test_b5_scheme_and_host_in_upper_case_arrive_canonical() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        line = f"GET HTTP://API.OK.Test:{origin.port}/ HTTP/1.1"
        assert (await client.request(head(line, "Host: API.OK.Test"))).status == 200
        assert origin.requests[0].values(b"host") == [f"api.ok.test:{origin.port}".encode()]


@pytest.mark.parametrize(
    "host",
    ["evil.test", "ok.test:80", "ok.test:81", "ok.test"],
    ids=["B8-other-host", "B9-default-port", "B10-other-port", "B9-no-port"],
)
async def test_host_is_replaced_by_the_authority_of_the_target(host: str) -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        line = f"GET http://ok.test:{origin.port}/ HTTP/1.1"
        assert (await client.request(head(line, f"Host: {host}"))).status == 200
        assert origin.requests[0].values(b"host") == [f"ok.test:{origin.port}".encode()]
        assert b"evil" not in origin.raw


async def test_b14_host_is_canonical_and_keeps_its_port() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://Api.OK.test.:{origin.port}/x"
        assert (await client.request(absolute(url))).status == 200
        assert origin.requests[0].values(b"host") == [f"api.ok.test:{origin.port}".encode()]
        assert gate.decisions[0]["host"] == "api.ok.test"


async def test_b15_ipv6_literal_arrives_in_canonical_brackets() -> None:
    async with HttpOrigin(address="::1") as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://[0:0::0001]:{origin.port}/"
        assert (await client.request(absolute(url))).status == 200
        assert origin.requests[0].values(b"host") == [f"[::1]:{origin.port}".encode()]


MALFORMED = {
    "B4-fragment": b"GET http://ok.test/#secret HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B6-ftp": b"GET ftp://ok.test/r HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B6-gopher": b"GET gopher://evil.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B6-ws": b"GET ws://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B6-file": b"GET file:///etc/passwd HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B7-https": b"GET https://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B11-two-hosts": b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nhOsT: ok.test\r\n\r\n",
    "B11-two-different-hosts": b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nHost: evil.test\r\n\r\n",
    "B13-userinfo": b"GET http://user:pw@ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B16-origin-form": b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B17-url-in-origin-form": b"GET /fetch/http://evil.test HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B18-asterisk": b"OPTIONS * HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B20-space": b"GET http://ok.test/a b HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B20-high-byte": b"GET http://ok.test/\xff HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B20-control": b"GET http://ok.test/\x01 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B20-delete": b"GET http://ok.test/?\x7f HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B21-no-authority": b"GET http:///path HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B21-port-only": b"GET http://:80/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B21-one-slash": b"GET http:/ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B21-backslashes": b"GET http:\\\\ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B22-two-words": b"BIG FART http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_request_is_refused_and_closed(request_bytes: bytes) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(request_bytes)
        assert (response.status, response.value("x-jobgate-reason")) == (400, "bad-request")
        await client.read_to_end()
        assert resolver.queries == []
        await gate.until_closed(1)
        assert "pw" not in gate.journal_text


async def test_b7_https_in_absolute_form_hints_at_connect() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(MALFORMED["B7-https"])
        assert b"CONNECT" in response.body


async def test_b12_decided_by_the_target_not_by_host() -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(head("GET http://evil.test/ HTTP/1.1", "Host: ok.test"))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "not-listed")
        assert resolver.queries == []


async def test_b22_unknown_method_is_not_implemented() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute("http://ok.test/", method="FOO"))
        assert (response.status, response.value("x-jobgate-reason")) == (501, "method")


async def test_trace_is_not_allowed() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute("http://ok.test/", method="TRACE"))
        assert (response.status, response.value("x-jobgate-reason")) == (405, "method")


async def test_end_to_end_fields_keep_their_order_and_hop_by_hop_fields_stay_here() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        fields = [
            "X-A: 1",
            "Connection: X-Hop, keep-alive",
            "X-Hop: secret",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic eDp5",
            "TE: trailers",
            "Cookie: a=b",
            "X-A: 2",
        ]
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/", *fields))).status == 200
        request = origin.requests[0]
        kept = [(name, value) for name, value in request.headers if name in (b"x-a", b"cookie")]
        assert kept == [(b"x-a", b"1"), (b"cookie", b"a=b"), (b"x-a", b"2")]
        names = {name for name, _ in request.headers}
        assert not names & {b"x-hop", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te"}
        assert not any(name.startswith(b"x-forwarded") for name in names)
        assert request.values(b"via") == [b"1.1 jobgate"]


async def test_job_header_replaces_the_copies_of_the_client() -> None:
    async with (
        HttpOrigin() as origin,
        loopback_gate(job='job_header = "X-Job-ID"') as gate,
        gate.client() as client,
    ):
        request = absolute(f"http://ok.test:{origin.port}/", "X-Job-ID: forged", "x-job-id: again")
        assert (await client.request(request)).status == 200
        assert origin.requests[0].values(b"x-job-id") == [b"job"]


async def test_via_can_be_switched_off() -> None:
    async with HttpOrigin() as origin, loopback_gate(node='via = ""') as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.values("via"), origin.requests[0].values(b"via")) == ([], [])


async def test_content_arrives_whole_and_in_order() -> None:
    content = bytes(range(256)) * 2000
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(post(f"http://ok.test:{origin.port}/", content), "POST")
        assert response.status == 200
        assert origin.requests[0].body == content


@pytest.mark.parametrize("step", [1, 3, 1000], ids=["byte-by-byte", "by-threes", "at-once"])
async def test_chunked_content_is_framed_anew(step: int) -> None:
    request = absolute(
        "http://ok.test:{port}/", "Transfer-Encoding: chunked", "Trailer: X-Sum", method="POST"
    )
    body = b"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: forged\r\n\r\n"
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        data = request.replace(b"{port}", b"%d" % origin.port) + body
        for at in range(0, len(data), step):
            await client.send(data[at : at + step])
        assert (await client.response("POST")).status == 200
        assert origin.requests[0].body == b"hello!"
        assert origin.requests[0].values(b"x-sum") == []
        assert b"ext=1" not in origin.raw
