"""Response heads: rows B23–B25 and G10 of the case list that are decided by the head alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.framing import CHUNKED, NO_CONTENT, UNTIL_CLOSE, Content
from jobgate.proxy.head import HeadLimits, ResponseHead, check_partial_response, parse_response_head

LIMITS = HeadLimits(max_head_bytes=4096, max_target_bytes=1024, max_fields=16)


def response(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> ResponseHead:
    return parse_response_head(b"\r\n".join((line, *fields, b"", b"")), LIMITS, method)


@pytest.mark.parametrize(
    ("line", "method", "content"),
    [
        (b"HTTP/1.1 200 OK", b"HEAD", NO_CONTENT),
        (b"HTTP/1.1 204 No Content", b"GET", NO_CONTENT),
        (b"HTTP/1.1 304 Not Modified", b"GET", NO_CONTENT),
        (b"HTTP/1.1 100 Continue", b"POST", NO_CONTENT),
        (b"HTTP/1.1 103 Early Hints", b"GET", NO_CONTENT),
        (b"HTTP/1.1 205 Reset Content", b"POST", Content("length", 5)),
        (b"HTTP/1.1 200", b"GET", Content("length", 5)),
    ],
    ids=["B23 HEAD", "B23 204", "B23 304", "B24 100", "B24 103", "B23 205 with length", "200"],
)
def test_content_of_a_response_with_a_length(line: bytes, method: bytes, content: Content) -> None:
    head = response(b"Content-Length: 5", line=line, method=method)
    assert (head.content, head.keep_alive) == (content, True)


@pytest.mark.parametrize(
    ("line", "content", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK", UNTIL_CLOSE, False),
        (b"HTTP/1.0 200 OK", UNTIL_CLOSE, False),
        (b"HTTP/1.1 205 Reset Content", NO_CONTENT, False),
        (b"HTTP/1.1 304 Not Modified", NO_CONTENT, True),
    ],
    ids=["B25 200", "B25 HTTP/1.0", "B23 205", "B23 304"],
)
def test_content_of_a_response_without_a_length(line: bytes, content: Content, keep_alive: bool) -> None:
    head = response(line=line)
    assert (head.content, head.keep_alive) == (content, keep_alive)


@pytest.mark.parametrize(
    ("line", "fields", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK", b"Connection: close", False),
        (b"HTTP/1.0 200 OK", b"Connection: keep-alive", False),
        (b"HTTP/1.2 200 OK", b"Connection: keep-alive", True),
    ],
)
def test_persistence_of_an_upstream(line: bytes, fields: bytes, keep_alive: bool) -> None:
    assert response(fields, b"Content-Length: 0", line=line).keep_alive is keep_alive


def test_parse_response_head_gives_everything_the_gate_needs() -> None:
    raw = b"HTTP/1.1 404 Nicht da\r\nTransfer-Encoding: Chunked \r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
    assert parse_response_head(raw, LIMITS, b"GET") == ResponseHead(
        status=404,
        phrase=b"Nicht da",
        minor=1,
        headers=[(b"Transfer-Encoding", b"Chunked"), (b"Connection", b"X-Hop"), (b"X-Hop", b"1")],
        connection=frozenset((b"x-hop",)),
        content=CHUNKED,
        keep_alive=True,
        size_bytes=len(raw),
    )


OK = b"HTTP/1.1 200 OK\r\n"
BAD_RESPONSES = {
    "garbage": b"hello\r\n\r\n",
    "HTTP/0.9": b"<html>\n</html>\n\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "empty line before": b"\r\n" + OK + b"\r\n",
    "status 99": b"HTTP/1.1 099 x\r\n\r\n",
    "status 600": b"HTTP/1.1 600 x\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "control in the phrase": b"HTTP/1.1 200 O\x08K\r\n\r\n",
    "bare CR": b"HTTP/1.1 200 OK\rX: y\r\n\r\n",
    "bare LF": OK + b"A: b\nSet-Cookie: c\r\n\r\n",
    "fold": OK + b"A: b\r\n c\r\n\r\n",
    "space before the colon": OK + b"A : b\r\n\r\n",
    "both lengths": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "length of a 204": b"HTTP/1.1 204 x\r\nContent-Length: +5\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "not chunked last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "101 to nothing": b"HTTP/1.1 101 x\r\n\r\n",
    "101 to h2c": b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "101 unlisted": b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
    "fields": OK + b"A: b\r\n" * 17 + b"\r\n",
    "size": OK + b"A: %b\r\n\r\n" % (b"b" * 4096),
}


@pytest.mark.parametrize("raw", BAD_RESPONSES.values(), ids=[f"G10 {key}" for key in BAD_RESPONSES])
def test_an_invalid_response_is_refused(raw: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        parse_response_head(raw, LIMITS, b"GET")
    assert caught.value.reason is Reason.UPSTREAM_INVALID


def test_101_switches_to_websocket() -> None:
    head = response(b"Connection: Upgrade", b"Upgrade: websocket", line=b"HTTP/1.1 101 Switching Protocols")
    assert (head.status, head.content) == (101, NO_CONTENT)


@pytest.mark.parametrize("start", [b"", b"HT", b"HTTP/1.1 200 OK\r\nA: b", b"HTTP/1.1 200 OK\r"])
def test_an_unfinished_response_head_is_waited_for(start: bytes) -> None:
    check_partial_response(start, LIMITS)
    check_partial_response(start, LIMITS, len(start))


@pytest.mark.parametrize("start", [b"hello", b"\r\nHTTP/1.1", b"HTTP/2", OK + b"A\n", OK + b"A" * 4096])
def test_an_unfinished_response_head_is_refused_early(start: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        check_partial_response(start, LIMITS, 0)
    assert caught.value.reason is Reason.UPSTREAM_INVALID


PARTS = st.lists(
    st.sampled_from(
        (
            b"\r\n",
            b"\n",
            b"\r",
            b"\x00",
            b": ",
            b"A: b\r\n",
            b"Connection: upgrade\r\n",
            b"Upgrade: websocket\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 204\r\n",
            b"HTTP/1.1 101 S\r\n",
        )
    ),
    max_size=10,
).map(b"".join)


def head_or_error(raw: bytes) -> ResponseHead | ProxyError:
    try:
        return parse_response_head(raw, LIMITS, b"GET")
    except ProxyError as error:
        return error


@given(st.binary(max_size=80) | PARTS)
def test_any_bytes_are_a_response_head_or_an_error(data: bytes) -> None:
    raw = data + b"\r\n\r\n"
    found = head_or_error(raw)
    if isinstance(found, ProxyError):
        assert found.reason is Reason.UPSTREAM_INVALID
        assert found.detail.isprintable()
    else:
        assert raw.count(b"\r\n") == len(found.headers) + 2
        assert 100 <= found.status <= 599
