"""Request heads: rows A25–A30 and B11–B22 of the case list that are decided by the head alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Name
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.framing import CHUNKED, NO_CONTENT, Content
from jobgate.proxy.head import (
    HeadLimits,
    RequestHead,
    check_partial_request,
    find_head_end,
    parse_request_head,
)

LIMITS = HeadLimits(max_head_bytes=4096, max_target_bytes=1024, max_fields=16)
GET = b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n"
CONNECT = b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n"


def request(
    *fields: bytes, line: bytes = b"GET http://ok.test/ HTTP/1.1", host: bytes = b"ok.test"
) -> RequestHead:
    return parse_request_head(b"\r\n".join((line, b"Host: " + host, *fields, b"", b"")), LIMITS)


def refusal_of(raw: bytes, *, step: int | None = None) -> Reason | None:
    """Feed a head as a connection does; return why it is refused."""
    buffer, scanned = bytearray(), 0
    try:
        for start in range(0, len(raw), step or len(raw)):
            buffer += raw[start : start + (step or len(raw))]
            end = find_head_end(buffer, scanned)
            if end >= 0:
                parse_request_head(bytes(buffer[:end]), LIMITS)
                return None
            check_partial_request(buffer, LIMITS, scanned)
            scanned = len(buffer)
    except ProxyError as error:
        return error.reason
    return None


def test_parse_request_head_gives_everything_the_gate_needs() -> None:
    raw = GET + b"X-A: \t1 \t\r\nx-a:2\r\nContent-Length: 5\r\nConnection: X-A\r\nEmpty:\r\n\r\n"
    assert parse_request_head(raw, LIMITS) == RequestHead(
        method=b"GET",
        target=b"http://ok.test/",
        minor=1,
        headers=[
            (b"Host", b"ok.test"),
            (b"X-A", b"1"),
            (b"x-a", b"2"),
            (b"Content-Length", b"5"),
            (b"Connection", b"X-A"),
            (b"Empty", b""),
        ],
        host=(Name("ok.test"), 80),  # type: ignore[arg-type]  # equal to the Authority
        connection=frozenset((b"x-a",)),
        content=Content("length", 5),
        keep_alive=True,
        expect_continue=False,
        upgrade=None,
        size_bytes=len(raw),
    )


def test_one_empty_line_before_a_request_is_skipped_and_counted() -> None:
    head = parse_request_head(b"\r\n" + GET + b"\r\n", LIMITS)
    assert (head.method, head.size_bytes) == (b"GET", len(GET) + 4)


REFUSED = {
    "A25 four words": b"CONNECT ok.test:443 HTTP/1.1 extra\r\nHost: ok.test\r\n\r\n",
    "A27 CONNECT without Host": b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n",
    "A29 lower case": b"connect ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "A30 two spaces": b"CONNECT  ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "A30 tab": b"CONNECT\tok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B11 two Hosts": GET + b"hOsT: ok.test\r\n\r\n",
    "B16 without Host": b"GET http://ok.test/ HTTP/1.1\r\n\r\n",
    "B20 space": b"GET http://ok.test/a b HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B20 byte over 0x7F": b"GET http://ok.test/\xe9 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B20 control": b"GET http://ok.test/\x01 HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B21 one slash": b"GET http:/ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "B22 two words": b"BIG FART http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "bad Host": b"GET http://ok.test/ HTTP/1.1\r\nHost: user@ok.test\r\n\r\n",
    "space before the colon": GET + b"X-A : 1\r\n\r\n",
    "no colon": GET + b"X-A\r\n\r\n",
    "empty name": GET + b": 1\r\n\r\n",
    "NUL in a value": GET + b"X-A: a\x00b\r\n\r\n",
    "bare CR": GET + b"X-A: a\rb\r\n\r\n",
    "bare LF": GET + b"X-A: a\nb: c\r\n\r\n",
    "LF alone ends lines": b"GET http://ok.test/ HTTP/1.1\nHost: ok.test\n\n",
    "fold": GET + b"X-A: a\r\n b\r\n\r\n",
    "fold first": b"GET http://ok.test/ HTTP/1.1\r\n X: 1\r\nHost: ok.test\r\n\r\n",
    "both lengths": GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "equal lengths": GET + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "length of CONNECT": CONNECT + b"Content-Length: x\r\n\r\n",
    "coding in HTTP/1.0": b"POST http://ok.test/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no version": b"GET http://ok.test/\r\n\r\n",
    "lower-case version": b"GET http://ok.test/ http/1.1\r\nHost: ok.test\r\n\r\n",
    "other protocol": b"GET http://ok.test/ ICY/1.1\r\nHost: ok.test\r\n\r\n",
    "digits of another script": "GET http://ok.test/ HTTP/1.١\r\nHost: ok.test\r\n\r\n".encode(),
    "two empty lines before": b"\r\n\r\n" + GET + b"\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01",
    "SOCKS": b"\x05\x01\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "a response": b"HTTP/1.1 200 OK\r\n\r\n",
    "PRI in HTTP/1.1": b"PRI * HTTP/1.1\r\nHost: ok.test\r\n\r\n",
}


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_is_not_strictly_http_is_a_bad_request(raw: bytes, step: int | None) -> None:
    assert refusal_of(raw, step=step) is Reason.BAD_REQUEST


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"FOO http://ok.test/ HTTP/1.1", Reason.METHOD_UNKNOWN),
        (b"get http://ok.test/ HTTP/1.1", Reason.METHOD_UNKNOWN),
        (b"PLAY http://ok.test/ HTTP/1.1", Reason.METHOD_UNKNOWN),
        (b"A" * 70 + b" http://ok.test/ HTTP/1.1", Reason.METHOD_UNKNOWN),
        (b"TRACE http://ok.test/ HTTP/1.1", Reason.METHOD),
        (b"GET http://ok.test/ HTTP/2.0", Reason.VERSION),
        (b"GET http://ok.test/ HTTP/0.9", Reason.VERSION),
        (b"PRI * HTTP/2.0", Reason.VERSION),
    ],
    ids=["B22 unknown", "lower case", "of RTSP", "long", "TRACE", "HTTP/2.0", "HTTP/0.9", "HTTP/2 preface"],
)
def test_methods_and_versions_that_are_not_served(line: bytes, reason: Reason) -> None:
    assert refusal_of(line + b"\r\nHost: ok.test\r\n\r\n") is reason
    assert refusal_of(line + b"\r\nHost: ok.test\r\n\r\n", step=1) is reason


def test_an_unknown_transfer_coding_is_not_implemented() -> None:
    assert refusal_of(GET + b"Transfer-Encoding: foo, chunked\r\n\r\n") is Reason.TRANSFER_CODING


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"GET http://ok.test/%b HTTP/1.1\r\n" % (b"a" * 1010), Reason.TARGET_TOO_LONG),
        (
            b"GET http://ok.test/%b HTTP/1.1\r\nX: %b\r\n\r\n" % (b"a" * 1010, b"b" * 9999),
            Reason.TARGET_TOO_LONG,
        ),
        (b"GET \x01%b HTTP/1.1\r\nX y\r\n\r\n" % (b"a" * 5000), Reason.TARGET_TOO_LONG),
        (GET + b"X y: %b\r\n\r\n" % (b"b" * 4096), Reason.HEAD_TOO_LARGE),
        (GET + b"X: y\r\n" * 16 + b"\r\n", Reason.HEAD_TOO_LARGE),
    ],
    ids=["target", "target before head", "target before grammar", "head before grammar", "fields"],
)
def test_sizes_are_judged_target_first(raw: bytes, reason: Reason, step: int | None) -> None:
    found = refusal_of(raw, step=step)
    early_grammar = step is not None and b"\x01" in raw
    assert found is (Reason.BAD_REQUEST if early_grammar else reason)


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "raw",
    [
        b"GET http://ok.test/%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 1009),
        GET + b"X: y\r\n" * 15 + b"\r\n",
        GET + b"X: %b\r\n\r\n" % (b"b" * (4096 - len(GET) - 7)),
    ],
    ids=["target", "fields", "head"],
)
def test_limits_are_inclusive(raw: bytes, step: int | None) -> None:
    assert refusal_of(raw, step=step) is None


def test_head_end_is_found_across_segments_without_reading_again() -> None:
    raw = GET + b"\r\n"
    for cut in range(len(raw)):
        assert find_head_end(raw[:cut], 0) == -1
        assert find_head_end(raw + b"rest", cut) == len(raw)
    assert find_head_end(raw + b"x" * 8, len(raw) + 5) == -1


@pytest.mark.parametrize(
    ("line", "minor", "keep_alive"),
    [
        (b"GET http://ok.test/ HTTP/1.1", 1, True),
        (b"GET http://ok.test/ HTTP/1.0", 0, False),
        (b"GET http://ok.test/ HTTP/1.9", 1, True),
    ],
)
def test_versions_decide_about_persistence(line: bytes, minor: int, keep_alive: bool) -> None:
    head = request(b"Proxy-Connection: keep-alive", b"Connection: keep-alive", line=line)
    assert (head.minor, head.keep_alive) == (minor, keep_alive)


@pytest.mark.parametrize("field", [b"Connection: x, Close", b"Proxy-Connection: close"])
def test_close_ends_the_connection(field: bytes) -> None:
    assert request(field).keep_alive is False


def test_http_1_0_needs_no_host_A26() -> None:
    head = parse_request_head(b"CONNECT ok.test:443 HTTP/1.0\r\n\r\n", LIMITS)
    assert (head.host, head.target, head.minor) == (None, b"ok.test:443", 0)


def test_host_never_replaces_the_target_A28() -> None:
    head = request(line=b"CONNECT ok.test:443 HTTP/1.1", host=b"evil.test")
    assert (head.target, head.host) == (b"ok.test:443", (Name("evil.test"), 80))


def test_connect_has_no_content_whatever_its_fields_say() -> None:
    head = request(
        b"Content-Length: 5", b"Upgrade: h2c", b"Connection: Upgrade", line=b"CONNECT ok.test:443 HTTP/1.1"
    )
    assert (head.content, head.upgrade) == (NO_CONTENT, None)


def test_blanks_around_a_coding_are_legal() -> None:
    assert request(b"Transfer-Encoding:\t chunked \t").content == CHUNKED


def test_expectation_and_upgrade_are_noticed() -> None:
    assert request(b"Expect: 100-continue", b"Content-Length: 1").expect_continue is True
    assert request(b"Connection: Upgrade", b"Upgrade: WebSocket").upgrade == b"websocket"


PARTS = st.lists(
    st.sampled_from(
        (
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\x00",
            b": ",
            b":",
            b"\xe9",
            b"A: b\r\n",
            b"Host: ok.test\r\n",
            b"Upgrade: a\r\n",
            b"Connection: close\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"GET http://ok.test/ HTTP/1.1\r\n",
            b"CONNECT ok.test:443 HTTP/1.0\r\n",
        )
    ),
    max_size=10,
).map(b"".join)


def head_or_error(raw: bytes) -> RequestHead | ProxyError:
    try:
        return parse_request_head(raw, LIMITS)
    except ProxyError as error:
        return error


@given(st.binary(max_size=80) | PARTS)
def test_any_bytes_are_a_request_head_or_an_error(data: bytes) -> None:
    raw = data + b"\r\n\r\n"
    found = head_or_error(raw)
    if isinstance(found, ProxyError):
        assert found.detail.isprintable()
    else:
        assert all(not {10, 13, 0} & set(name + value) for name, value in found.headers)
        assert raw.count(b"\r\n") - raw.startswith(b"\r\n") == len(found.headers) + 2


@given(PARTS, st.integers(1, 9))
def test_the_segments_never_make_a_bad_head_good(data: bytes, step: int) -> None:
    raw = data + b"\r\n\r\n"
    end = find_head_end(raw, 0)
    whole = refusal_of(raw[:end])
    cut = refusal_of(raw[:end], step=step)
    assert (whole is None) == (cut is None)
