"""What is remembered of a head changes nothing but the work: it is compared with reading and writing anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Authority, Name
from jobgate.proxy.errors import ProxyError
from jobgate.proxy.head import HeadLimits, RequestHead, ResponseHead, parse_request_head, parse_response_head
from jobgate.proxy.headers import request_head_bytes, response_head_bytes
from jobgate.proxy.repeats import MOST_BYTES, RequestHeads, Rewriter
from support import cases

LIMITS = HeadLimits(4096, 1024, 8)
OTHERS = HeadLimits(60, 16, 2)
LINES = [
    b"GET http://ok.test/a HTTP/1.1",
    b"GET http://ok.test/b?c HTTP/1.1",
    b"GET http://ok.test/a HTTP/1.0",
    b"GET http://ok.test/a HTTP/1.7",
    b"GET http://ok.test/a HTTP/2.0",
    b"POST http://ok.test/a HTTP/1.1",
    b"HEAD http://other.test/ HTTP/1.1",
    b"OPTIONS http://ok.test HTTP/1.1",
    b"TRACE http://ok.test/ HTTP/1.1",
    b"BREW http://ok.test/ HTTP/1.1",
    b"CONNECT ok.test:443 HTTP/1.1",
    b"GET /origin-form HTTP/1.1",
    b"GET http://ok.test/%b HTTP/1.1" % (b"x" * 1024),
    b"GET  http://ok.test/ HTTP/1.1",
    b"GET http://ok.test/ HTTP/1.1 ",
    b"get http://ok.test/ HTTP/1.1",
    b"",
    b"\r\nGET http://ok.test/a HTTP/1.1",
    b"GET http://ok.test/ HTTP/1.1\r\nGET http://ok.test/a HTTP/1.1",
]
FIELDS = [
    b"",
    b"Host: ok.test",
    b"host: ok.test:8080\r\nAccept: */*\r\nX-Job: theirs",
    b"Host: ok.test\r\nHost: ok.test",
    b"Host: ok.test\r\nConnection: close, X-Hop\r\nX-Hop: 1",
    b"Host: ok.test\r\nConnection: keep-alive\r\nProxy-Authorization: Basic eDp5",
    b"Host: ok.test\r\nContent-Length: 3",
    b"Host: ok.test\r\nContent-Length: 3\r\nContent-Length: 3",
    b"Host: ok.test\r\nTransfer-Encoding: chunked \r\nExpect: 100-continue",
    b"Host: ok.test\r\nUpgrade: websocket\r\nConnection: Upgrade",
    b"Host: ok.test\r\nMax-Forwards: 3",
    b"Host: ok.test\r\nX: a\0b",
    b"Host: ok.test\nX: 1",
    b"Host: ok.test\r\n folded",
    b"Host: ok.test\r\n" + b"\r\n".join(b"X-%d: 1" % number for number in range(8)),
    b"Host: ok.test\r\nX: %b" % (b"y" * MOST_BYTES),
]
AUTHORITIES = [Authority(Name("ok.test"), 80), Authority(Name("other.test"), 8080)]


def joined(line: bytes, fields: bytes) -> bytes:
    return b"%b\r\n%b%b\r\n" % (line, fields, b"\r\n" if fields else b"")


def told(work: Callable[[], object]) -> object:
    """What comes of it: a value, or the whole of the error."""
    try:
        return work()
    except ProxyError as error:
        return error.reason, error.detail, error.retry_after_s


HEADS = st.builds(joined, st.sampled_from(LINES), st.sampled_from(FIELDS))


@given(st.lists(st.tuples(HEADS, st.sampled_from([LIMITS, LIMITS, OTHERS])), max_size=8))
def test_requests_are_read_as_without_memory(sent: Sequence[tuple[bytes, HeadLimits]]) -> None:
    heads = RequestHeads()
    for raw, limits in sent:
        found = told(lambda: heads.parse(raw, limits))  # noqa: B023 (called at once)
        assert found == told(lambda: parse_request_head(raw, limits))  # noqa: B023


@pytest.mark.parametrize("before", [joined(LINES[0], FIELDS[1]), joined(LINES[0], FIELDS[2])])
def test_requests_of_the_cases_are_read_as_without_memory(before: bytes) -> None:
    for raw in {case.request for case in cases.load()}:
        heads = RequestHeads()
        heads.parse(before, LIMITS)
        for end in {len(raw), raw.find(b"\r\n\r\n") + 4, raw.rfind(b"\r\n\r\n") + 4}:
            for _ in range(2):
                found = told(lambda: heads.parse(raw[:end], LIMITS))  # noqa: B023
                assert found == told(lambda: parse_request_head(raw[:end], LIMITS))  # noqa: B023


@given(
    st.lists(
        st.tuples(
            HEADS,
            st.sampled_from(AUTHORITIES),
            st.sampled_from([b"", b"/a", b"?b"]),
            st.sampled_from([b"", b"jobgate"]),
            st.sampled_from([None, (b"X-Job", b"train-42")]),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_requests_are_written_as_without_memory(
    sent: Sequence[tuple[bytes, Authority, bytes, bytes, tuple[bytes, bytes] | None, bool]],
) -> None:
    heads, rewriter = RequestHeads(), Rewriter()
    for raw, authority, path, via, job_header, is_last in sent:
        head = told(lambda: heads.parse(raw, LIMITS))  # noqa: B023
        if isinstance(head, RequestHead):
            if is_last:
                head = replace(head, keep_alive=False)
            written = rewriter.request(head, path, authority, via=via, job_header=job_header)
            assert written == request_head_bytes(head, path, authority, via=via, job_header=job_header)


def test_large_head_is_not_kept_once_it_is_written() -> None:
    limits = HeadLimits(1 << 16, 1 << 14, 8)
    head = parse_request_head(joined(LINES[0], FIELDS[-1]), limits)
    rewriter, before = Rewriter(), sys.getrefcount(head.headers)
    for _ in range(2):
        written = rewriter.request(head, b"/a", AUTHORITIES[0], via=b"", job_header=None)
        assert written == request_head_bytes(head, b"/a", AUTHORITIES[0], via=b"")
    after = sys.getrefcount(head.headers)
    assert after == before


STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 ",
    b"HTTP/1.1 304",
    b"HTTP/1.7 200 OK",
    b"HTTP/1.1 100 Continue",
    b"HTTP/3 200",
]
DATES = [
    b"Date: Mon",
    b"Date:Tue ",
    b"Date: ",
    b"date: Mon",
    b"Date : Mon",
    b"Date: M\0n",
    b"Date: M\rn",
    b"Dat",
]
FRAMINGS = [
    b"Content-Length: 3",
    b"Content-Length:  44 ",
    b"content-length: 44",
    b"Content-Length: -1",
    b"Content-Length: %b" % (b"4" * 19),
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked ",
    b"Transfer-Encoding: gzip",
    b"Trailer: 3",
    b"Connection: X-Hop",
    b"Connection: close",
]
OTHER_FIELDS = [
    b'ETag: "a"',
    b'ETag: "b"\xff',
    b"X-Hop: 1",
    b"X-Hop: 2",
    b"X-Jobgate-Reason: forged",
    b"X-Jobgate-Reason: forged again",
    b"Content-Length: 3",
    b" folded",
    b"",
    b"X: %b" % (b"y" * MOST_BYTES),
]
#: Heads of which many differ in values alone.
ALIKE = st.builds(
    lambda line, *fields: joined(line, b"\r\n".join(fields)),
    st.sampled_from(STATUS_LINES[:2]),
    st.sampled_from(FRAMINGS),
    st.sampled_from(DATES),
    st.sampled_from(OTHER_FIELDS),
)
RESPONSES = ALIKE | st.builds(
    joined,
    st.sampled_from(STATUS_LINES),
    st.sampled_from(
        [
            b"",
            b"Content-Length: 3",
            b"Content-Length: 3\r\nConnection: close",
            b"Content-Length: 3\r\nContent-Length: 4",
            b"Transfer-Encoding: chunked\r\nX-Jobgate-Reason: forged",
            b"Content-Length: 3\r\nX: %b" % (b"y" * MOST_BYTES),
        ]
    ),
)


@given(
    st.lists(
        st.tuples(
            RESPONSES,
            st.sampled_from([b"GET", b"HEAD"]),
            st.sampled_from([LIMITS, OTHERS]),
            st.integers(0, 1),
            st.booleans(),
            st.sampled_from([b"", b"jobgate"]),
        ),
        max_size=8,
    )
)
def test_responses_are_read_and_written_as_without_memory(
    sent: Sequence[tuple[bytes, bytes, HeadLimits, int, bool, bytes]],
) -> None:
    rewriter = Rewriter()
    for raw, method, limits, minor, close, via in sent:
        response = told(lambda: rewriter.response(raw, limits, method))  # noqa: B023
        assert response == told(lambda: parse_response_head(raw, limits, method))  # noqa: B023
        if isinstance(response, ResponseHead):
            written = rewriter.answer(response, client_minor=minor, close=close, via=via)
            assert written == response_head_bytes(response, client_minor=minor, close=close, via=via)


@given(st.lists(ALIKE, max_size=8), st.sampled_from([b"GET", b"HEAD"]))
def test_responses_that_are_alike_are_read_and_written_as_without_memory(
    sent: Sequence[bytes], method: bytes
) -> None:
    rewriter = Rewriter()
    for raw in sent:
        response = told(lambda: rewriter.response(raw, LIMITS, method))  # noqa: B023
        assert response == told(lambda: parse_response_head(raw, LIMITS, method))  # noqa: B023
        if isinstance(response, ResponseHead):
            written = rewriter.answer(response, client_minor=1, close=False, via=b"jobgate")
            assert written == response_head_bytes(response, client_minor=1, close=False, via=b"jobgate")


def answered(*fields: bytes) -> bytes:
    return joined(b"HTTP/1.1 200 OK", b"\r\n".join((b"Server: any", *fields)))


def shares_response(first: bytes, second: bytes) -> bool:
    """Say whether the second head was read with what the first one had said."""
    rewriter = Rewriter()
    (before, *_), (after, *_) = (rewriter.response(raw, LIMITS, b"GET").headers for raw in (first, second))
    return before is after


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (answered(FRAMINGS[0], DATES[0]), answered(FRAMINGS[0], DATES[1])),
        (answered(FRAMINGS[0], DATES[0]), answered(FRAMINGS[1], DATES[1])),
        (answered(FRAMINGS[5], DATES[0]), answered(FRAMINGS[5], DATES[1])),
        (answered(FRAMINGS[9], b"X-Hop: 1"), answered(FRAMINGS[9], b"X-Hop: 2")),
    ],
    ids=["date", "length", "chunked", "named by Connection"],
)
def test_values_that_differ_are_all_that_is_read(first: bytes, second: bytes) -> None:
    assert shares_response(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (answered(FRAMINGS[0]), answered(FRAMINGS[0], DATES[0])),
        (answered(FRAMINGS[0], DATES[0]), answered(FRAMINGS[0], DATES[3])),
        (answered(FRAMINGS[9]), answered(FRAMINGS[10])),
        (answered(DATES[0]), answered(OTHER_FIELDS[-1])),
        (answered(b"Date: "), answered(b"Date: %b" % (b"y" * MOST_BYTES))),
    ],
    ids=["number", "name", "connection", "large", "grown"],
)
def test_other_responses_are_read_anew(first: bytes, second: bytes) -> None:
    assert not shares_response(first, second)


def test_response_that_is_not_the_last_one_is_written() -> None:
    rewriter = Rewriter()
    first = rewriter.response(b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", LIMITS, b"GET")
    rewriter.response(b"HTTP/1.1 200 OK\r\nA: 2\r\n\r\n", LIMITS, b"GET")
    assert b"A: 1" in rewriter.answer(first, client_minor=1, close=False, via=b"")


def shares(first: bytes, second: bytes) -> bool:
    """Say whether the second head was read with what the first one's fields had said."""
    heads = RequestHeads()
    return heads.parse(first, LIMITS).headers is heads.parse(second, LIMITS).headers


def test_head_that_repeats_is_read_once() -> None:
    heads = RequestHeads()
    for line in (LINES[0], LINES[1], LINES[0]):
        assert heads.parse(joined(line, FIELDS[1]), LIMITS) is heads.parse(joined(line, FIELDS[1]), LIMITS)


def test_long_line_is_not_kept() -> None:
    heads, limits = RequestHeads(), HeadLimits(1 << 16, 1 << 14, 8)
    heads.parse(joined(LINES[0], FIELDS[1]), limits)
    long = joined(b"GET http://ok.test/%b HTTP/1.1" % (b"x" * MOST_BYTES), FIELDS[1])
    assert heads.parse(long, limits) is not heads.parse(long, limits)


def test_fields_that_repeat_are_read_once() -> None:
    assert shares(joined(LINES[0], FIELDS[2]), joined(LINES[1], FIELDS[2]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (joined(LINES[0], FIELDS[1]), joined(LINES[0], FIELDS[2])),
        (joined(LINES[0], FIELDS[1]), joined(LINES[2], FIELDS[1])),
        (joined(LINES[0], FIELDS[1]), joined(LINES[3], FIELDS[1])),
        (joined(LINES[0], FIELDS[1]), joined(LINES[5], FIELDS[1])),
        (joined(LINES[10], FIELDS[1]), joined(LINES[10], FIELDS[1])),
        (joined(LINES[0], FIELDS[4]), joined(LINES[0], FIELDS[4])),
        (joined(LINES[0], FIELDS[-1]), joined(LINES[0], FIELDS[-1])),
    ],
    ids=["fields", "version", "minor version", "method", "CONNECT", "last of a connection", "large"],
)
def test_other_heads_share_nothing(first: bytes, second: bytes) -> None:
    assert not shares(first, second)


def test_lines_behind_an_empty_one_are_not_taken_for_fields() -> None:
    heads = RequestHeads()
    whole = joined(LINES[0], FIELDS[1])
    heads.parse(b"\r\n" + whole, LIMITS)
    with pytest.raises(ProxyError, match="bad-request"):
        heads.parse(LINES[1] + b"\r\n" + whole, LIMITS)


def test_limits_of_now_are_kept() -> None:
    heads = RequestHeads()
    heads.parse(joined(LINES[0], FIELDS[1]), LIMITS)
    with pytest.raises(ProxyError, match="target-too-long"):
        heads.parse(joined(LINES[1], FIELDS[1]), OTHERS)
