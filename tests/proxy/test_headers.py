"""Request heads as they go on: rows B1–B19 of the case list, as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given

from jobgate.proxy.errors import ProxyError
from jobgate.proxy.head import HeadLimits, RequestHead, parse_request_head
from jobgate.proxy.headers import field_value, max_forwards, request_head_bytes
from jobgate.proxy.target import parse_absolute
from support.odd_http import WORKING_FIELDS

LIMITS = HeadLimits(65536, 16384, 128)


def parse(
    *fields: bytes, line: bytes = b"GET http://ok.test/ HTTP/1.1", host: bytes = b"ok.test"
) -> RequestHead:
    return parse_request_head(b"\r\n".join((line, b"Host: " + host, *fields, b"", b"")), LIMITS)


def forwarded(
    *fields: bytes,
    line: bytes = b"GET http://ok.test/ HTTP/1.1",
    host: bytes = b"ok.test",
    via: bytes = b"",
    job_header: tuple[bytes, bytes] | None = None,
    close: bool = False,
) -> list[bytes]:
    """Send a request through; return the lines that the upstream sees."""
    head = parse(*fields, line=line, host=host)
    authority, path = parse_absolute(head.target)
    raw = request_head_bytes(head, path, authority, via=via, job_header=job_header, close=close)
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("line", "host", "expected"),
    [
        (b"GET http://ok.test:8080/a?x=1 HTTP/1.1", b"a", [b"GET /a?x=1 HTTP/1.1", b"Host: ok.test:8080"]),
        (b"GET http://ok.test:8080 HTTP/1.1", b"a", [b"GET / HTTP/1.1", b"Host: ok.test:8080"]),
        (b"GET http://ok.test?key=val HTTP/1.1", b"a", [b"GET /?key=val HTTP/1.1", b"Host: ok.test"]),
        (b"GET HTTP://OK.TEST/ HTTP/1.1", b"a", [b"GET / HTTP/1.1", b"Host: ok.test"]),
        (b"GET http://ok.test/ HTTP/1.1", b"evil.test", [b"GET / HTTP/1.1", b"Host: ok.test"]),
        (b"GET http://ok.test/ HTTP/1.1", b"ok.test:80", [b"GET / HTTP/1.1", b"Host: ok.test"]),
        (b"GET http://ok.test:80/ HTTP/1.1", b"ok.test", [b"GET / HTTP/1.1", b"Host: ok.test"]),
        (b"GET http://ok.test/ HTTP/1.1", b"ok.test:81", [b"GET / HTTP/1.1", b"Host: ok.test"]),
        (b"GET http://Api.OK.test.:8080/x HTTP/1.1", b"a", [b"GET /x HTTP/1.1", b"Host: api.ok.test:8080"]),
        (b"GET http://[2001:DB8::1]/ HTTP/1.1", b"a", [b"GET / HTTP/1.1", b"Host: [2001:db8::1]"]),
        (b"GET http://[2001:DB8::1]:8080/ HTTP/1.1", b"a", [b"GET / HTTP/1.1", b"Host: [2001:db8::1]:8080"]),
        (b"GET http://ok.test/%2F/../?%7e HTTP/1.1", b"a", [b"GET /%2F/../?%7e HTTP/1.1", b"Host: ok.test"]),
        (b"GET http://ok.test/ HTTP/1.0", b"a", [b"GET / HTTP/1.1", b"Host: ok.test"]),
        (b"OPTIONS http://ok.test:8080 HTTP/1.1", b"a", [b"OPTIONS * HTTP/1.1", b"Host: ok.test:8080"]),
        (b"OPTIONS http://ok.test/ HTTP/1.1", b"a", [b"OPTIONS / HTTP/1.1", b"Host: ok.test"]),
        (b"OPTIONS http://ok.test?x=1 HTTP/1.1", b"a", [b"OPTIONS /?x=1 HTTP/1.1", b"Host: ok.test"]),
    ],
    ids=[
        "B1", "B2", "B3", "B5", "B8", "B9 in Host", "B9 in target", "B10", "B14", "B15", "B15 port", "B19",
        "HTTP/1.0", "OPTIONS", "OPTIONS with path", "OPTIONS with query",
    ],
)  # fmt: skip
def test_request_line_and_host_come_from_the_target(line: bytes, host: bytes, expected: list[bytes]) -> None:
    assert forwarded(line=line, host=host) == expected


def test_end_to_end_fields_keep_order_and_spelling() -> None:
    fields = (
        b"X-A: 1",
        b"Cookie: a=b",
        b"x-a: 2",
        b"Authorization: Basic eDp5",
        b"Accept-Encoding: gzip",
        b"X-E: \xe9",
        b"Empty: ",
    )
    assert forwarded(*fields)[2:] == list(fields)


@pytest.mark.parametrize(
    "field",
    [
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"PROXY-AUTHORIZATION: Basic eDp5",
        b"Proxy-Authenticate: Basic",
        b"TE: trailers",
        b"Trailer: X-Sum",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQ",
        b"Transfer-Encoding: chunked",
    ],
    ids=lambda field: field.partition(b":")[0].decode(),
)
def test_hop_by_hop_fields_end_here(field: bytes) -> None:
    sent = forwarded(field, b"X-Keep: 1")
    assert b"X-Keep: 1" in sent
    framing = [b"Transfer-Encoding: chunked"] if field.startswith(b"Transfer") else []
    assert sent[2:] == [b"X-Keep: 1", *framing]


def test_fields_named_by_connection_end_here() -> None:
    sent = forwarded(
        b"X-Hop: 1",
        b"Connection: keep-alive, X-A ,,x-hop",
        b"Connection: X-B",
        b"X-A: 1",
        b"x-b: 1",
        b"X-HOP: 2",
        b"X-C: 1",
    )
    assert sent[2:] == [b"X-C: 1"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((b"Connection: host",), []),
        ((b"Connection: content-length", b"Content-Length: 0005"), [b"Content-Length: 5"]),
        ((b"Connection: transfer-encoding", b"Transfer-Encoding: Chunked"), [b"Transfer-Encoding: chunked"]),
    ],
    ids=["host", "length", "coding"],
)
def test_host_and_framing_are_our_own_whatever_connection_names(
    fields: tuple[bytes, ...], expected: list[bytes]
) -> None:
    assert forwarded(*fields)[1:] == [b"Host: ok.test", *expected]


def test_via_follows_the_received_members_and_may_be_off() -> None:
    assert forwarded(b"Via: 1.0 fred", via=b"jobgate")[2:] == [b"Via: 1.0 fred", b"Via: 1.1 jobgate"]
    assert forwarded(via=b"jobgate", line=b"GET http://ok.test/ HTTP/1.0")[2:] == [b"Via: 1.0 jobgate"]
    assert forwarded(b"Via: 1.0 fred")[2:] == [b"Via: 1.0 fred"]


def test_the_job_header_replaces_what_the_client_claims() -> None:
    fields = (
        b"x-bacalhau-job-id: evil",
        b"X-A: 1",
        b"X-Bacalhau-Job-ID: evil",
        b"Connection: x-bacalhau-job-id",
    )
    assert forwarded(*fields, job_header=(b"X-Bacalhau-Job-ID", b"j1"))[2:] == [
        b"X-A: 1",
        b"X-Bacalhau-Job-ID: j1",
    ]


def test_x_forwarded_for_is_neither_added_nor_removed() -> None:
    assert forwarded(b"X-Forwarded-For: 192.0.2.1")[2:] == [b"X-Forwarded-For: 192.0.2.1"]


def test_websocket_is_asked_for_in_our_own_words() -> None:
    fields = (b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Version: 13")
    assert forwarded(*fields, close=True)[2:] == [
        b"Sec-WebSocket-Version: 13",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]


def test_close_is_asked_for_where_wanted() -> None:
    assert forwarded(b"Connection: close")[2:] == []
    assert forwarded(close=True)[2:] == [b"Connection: close"]


def test_an_expectation_is_passed_on_but_not_from_http_1_0() -> None:
    fields = (b"Expect: 100-continue", b"Content-Length: 5")
    assert forwarded(*fields)[2:] == [b"Expect: 100-continue", b"Content-Length: 5"]
    assert forwarded(*fields, line=b"POST http://ok.test/ HTTP/1.0")[2:] == [b"Content-Length: 5"]


@pytest.mark.parametrize(
    ("method", "fields", "bound", "sent"),
    [
        (b"OPTIONS", (b"Max-Forwards: 5",), 5, [b"Max-Forwards: 4"]),
        (b"OPTIONS", (b"max-forwards: 0",), 0, [b"max-forwards: 0"]),
        (b"OPTIONS", (b"Max-Forwards: 5", b"Max-Forwards: 0"), 0, [b"Max-Forwards: 4", b"Max-Forwards: 0"]),
        (b"OPTIONS", (b"Max-Forwards: x",), None, [b"Max-Forwards: x"]),
        (b"OPTIONS", (b"Max-Forwards: 5000000000",), None, [b"Max-Forwards: 5000000000"]),
        (b"OPTIONS", (), None, []),
        (b"GET", (b"Max-Forwards: 0",), None, [b"Max-Forwards: 0"]),
    ],
    ids=["counts down", "zero", "repeated", "no number", "too many digits", "absent", "GET"],
)
def test_max_forwards_counts_down_on_options(
    method: bytes, fields: tuple[bytes, ...], bound: int | None, sent: list[bytes]
) -> None:
    line = method + b" http://ok.test/ HTTP/1.1"
    assert max_forwards(parse(*fields, line=line)) == bound
    assert forwarded(*fields, line=line)[2:] == sent


def test_field_value_joins_lines_of_any_case() -> None:
    assert field_value([(b"Accept", b"a"), (b"X", b"y"), (b"ACCEPT", b"b")], b"accept") == b"a, b"
    assert field_value([], b"accept") == b""


@given(WORKING_FIELDS)
def test_what_goes_on_parses_again_with_the_same_meaning(fields: list[bytes]) -> None:
    try:
        head = parse(*fields)
    except ProxyError:
        return
    again = parse_request_head(b"\r\n".join(forwarded(*fields, via=b"jobgate")) + b"\r\n\r\n", LIMITS)
    assert (again.method, again.content, again.host, again.upgrade) == (
        head.method,
        head.content,
        head.host,
        head.upgrade,
    )
