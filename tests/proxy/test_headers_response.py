"""Response heads as they come back: row G3 of the case list, as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given

from jobgate.proxy.errors import ProxyError
from jobgate.proxy.head import HeadLimits, ResponseHead, parse_response_head
from jobgate.proxy.headers import response_head_bytes
from support.odd_http import WORKING_FIELDS

LIMITS = HeadLimits(65536, 16384, 128)


def response(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> ResponseHead:
    return parse_response_head(b"\r\n".join((line, *fields, b"", b"")), LIMITS, method)


def returned(
    head: ResponseHead, *, client_minor: int = 1, close: bool = False, via: bytes = b""
) -> list[bytes]:
    raw = response_head_bytes(head, client_minor=client_minor, close=close, via=via)
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].split(b"\r\n")


def test_a_response_keeps_status_phrase_and_end_to_end_fields() -> None:
    head = response(
        b"Set-Cookie: a",
        b"set-cookie: b",
        b"Content-Encoding: gzip",
        b"Content-Length: 05",
        line=b"HTTP/1.0 201 Da",
    )
    assert returned(head, via=b"jobgate") == [
        b"HTTP/1.1 201 Da",
        b"Set-Cookie: a",
        b"set-cookie: b",
        b"Content-Encoding: gzip",
        b"Via: 1.0 jobgate",
        b"Content-Length: 5",
    ]


def test_a_response_loses_hop_by_hop_fields_and_those_that_only_we_send_G3() -> None:
    head = response(
        b"X-Jobgate-Reason: not-listed",
        b"x-jobgate-other: 1",
        b"Proxy-Status: origin; error=dns_error",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Authentication-Info: a",
        b"Keep-Alive: timeout=5",
        b"Connection: keep-alive, X-Hop",
        b"X-Hop: 1",
        b"Trailer: X-Sum",
        b"Alt-Svc: clear",
        b"Content-Length: 0",
    )
    assert returned(head)[1:] == [
        b"Proxy-Status: origin; error=dns_error",
        b"Alt-Svc: clear",
        b"Content-Length: 0",
    ]


@pytest.mark.parametrize(
    ("line", "method", "fields", "expected"),
    [
        (b"HTTP/1.1 200 OK", b"GET", b"Content-Length: 5", [b"Content-Length: 5"]),
        (b"HTTP/1.1 200 OK", b"GET", b"Transfer-Encoding: chunked", [b"Transfer-Encoding: chunked"]),
        (b"HTTP/1.1 200 OK", b"GET", b"X: y", [b"X: y"]),
        (b"HTTP/1.1 200 OK", b"HEAD", b"Content-Length: 5", [b"Content-Length: 5"]),
        (b"HTTP/1.1 200 OK", b"HEAD", b"Transfer-Encoding: chunked", []),
        (b"HTTP/1.1 304 x", b"GET", b"Content-Length: 5", [b"Content-Length: 5"]),
        (b"HTTP/1.1 204 x", b"GET", b"Content-Length: 5", []),
        (b"HTTP/1.1 103 x", b"GET", b"Transfer-Encoding: chunked", []),
        (b"HTTP/1.1 205 x", b"GET", b"X: y", [b"X: y", b"Content-Length: 0"]),
    ],
    ids=["length", "chunked", "until close", "HEAD", "HEAD chunked", "304", "204", "103", "205"],
)
def test_a_response_is_framed_by_its_meaning(
    line: bytes, method: bytes, fields: bytes, expected: list[bytes]
) -> None:
    assert returned(response(fields, line=line, method=method))[1:] == expected


def test_an_http_1_0_client_gets_no_chunks() -> None:
    head = response(b"Transfer-Encoding: chunked")
    assert returned(head, client_minor=0, close=True) == [b"HTTP/1.1 200 OK", b"Connection: close"]


def test_close_is_said_with_final_responses_only() -> None:
    assert returned(response(b"Content-Length: 0"), close=True)[-1] == b"Connection: close"
    assert returned(response(line=b"HTTP/1.1 100 Continue"), close=True) == [b"HTTP/1.1 100 Continue"]


def test_101_switches_in_our_own_words() -> None:
    head = response(
        b"Upgrade: WebSocket", b"Connection: upgrade", b"Sec-WebSocket-Accept: a", line=b"HTTP/1.1 101 S"
    )
    assert returned(head) == [
        b"HTTP/1.1 101 S",
        b"Sec-WebSocket-Accept: a",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]


@given(WORKING_FIELDS)
def test_what_comes_back_parses_again_with_the_same_meaning(fields: list[bytes]) -> None:
    try:
        head = response(*fields)
    except ProxyError:
        return
    again = response(*returned(head)[1:])
    assert (again.status, again.content) == (head.status, head.content)
