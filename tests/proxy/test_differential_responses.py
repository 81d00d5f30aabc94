"""What an upstream was understood to answer is what the client reads, with h11 as the client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.chunked import ChunkedError
from jobgate.proxy.errors import ProxyError, Reason
from support import odd_http as odd
from support.differential import check_response
from support.pipeline import Download, download

METHODS = st.sampled_from([b"GET", b"HEAD", b"POST"])
STATUSES = st.sampled_from([200, 203, 204, 205, 206, 301, 304, 404, 407, 500, 599])
#: Statuses of a response that may have content.
FULL = st.sampled_from([200, 203, 206, 301, 404, 407, 500, 599])
MINORS = st.sampled_from([1, 0])
CHUNKED = b"Transfer-Encoding: chunked"
INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    b"HTTP/1.0 102\r\n\r\n",
]
#: What is no final response to anything that was asked.
BAD_STARTS = [
    b"HTTP/1.1 099 X", b"HTTP/1.1 600 X", b"HTTP/1.1 20 X", b"HTTP/1.1 2000 X", b"HTTP/2.0 200 X",
    b"http/1.1 200 X", b"HTTP/1.1  200 X", b"HTTP/1.1", b"", b"HTTP/1.1 200 X\n\n", b"HTTP/1.1 200 a\rb",
    b"HTTP/1.1 +20 X", b"hello", b"HTTP/1.1 101 X", b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c",
]  # fmt: skip
BAD_HEADS = [
    *(start + b"\r\n\r\n" for start in BAD_STARTS),
    *(odd.response(200, [field], b"abc") for field in odd.BAD_FIELDS if not field.startswith(b"Host")),
    *(odd.response(200, [field], b"abc") for field in odd.BAD_FRAMINGS),
    *(odd.response(204, [field], b"0\r\n\r\n") for field in odd.BAD_FRAMINGS),
    odd.response(200, [CHUNKED], b"0\r\n\r\n", minor=0),
]


def refused(result: Download) -> bool:
    return isinstance(result.error, ProxyError) and result.error.reason is Reason.UPSTREAM_INVALID


@given(METHODS, FULL, odd.CONTENT, MINORS, st.data())
def test_framed_response_arrives_as_it_was_sent(
    method: bytes, status: int, content: bytes, minor: int, data: st.DataObject
) -> None:
    field, body = data.draw(odd.framed(content))
    lines = data.draw(st.permutations([field, *data.draw(odd.field_lines())]))
    raw = odd.response(status, lines, b"" if method == b"HEAD" else body)
    result = download(data.draw(odd.pieces(raw)), method, client_minor=minor)
    assert result.error is None
    seen = check_response(result, method, minor)
    assert seen is not None
    assert (seen.whole, seen.content) == (True, b"" if method == b"HEAD" else content)


@given(METHODS, FULL, odd.CONTENT, MINORS, MINORS, st.data())
def test_response_without_length_arrives_up_to_the_close(
    method: bytes, status: int, content: bytes, minor: int, upstream_minor: int, data: st.DataObject
) -> None:
    raw = odd.response(status, data.draw(odd.field_lines()), content, minor=upstream_minor)
    result = download(data.draw(odd.pieces(raw)), method, client_minor=minor)
    seen = check_response(result, method, minor)
    assert seen is not None
    assert (seen.whole, seen.content) == (True, b"" if method == b"HEAD" else content)
    assert not result.reusable or method == b"HEAD"


@given(st.sampled_from([204, 205, 304]), odd.field_lines(), st.booleans(), st.data())
def test_response_without_content_ends_with_its_head(
    status: int, fields: list[bytes], declares_length: bool, data: st.DataObject
) -> None:
    """What follows is never read as an answer, and the connection is not used again."""
    lines = [*fields, *([b"Content-Length: 0"] if declares_length else [])]
    raw = odd.response(status, lines, odd.response(200, [], b"evil"))
    result = download(data.draw(odd.pieces(raw)))
    seen = check_response(result, b"GET", 1)
    assert seen is not None
    assert (seen.whole, seen.content) == (True, b"")


@given(st.lists(st.sampled_from(INTERIM), max_size=3), MINORS, st.data())
def test_interim_responses_arrive_in_order(before: list[bytes], minor: int, data: st.DataObject) -> None:
    raw = b"".join(before) + odd.response(200, [b"Content-Length: 2"], b"ok")
    result = download(data.draw(odd.pieces(raw)), client_minor=minor)
    seen = check_response(result, b"GET", minor)
    assert seen is not None
    assert len(seen.interim) == len(before) * minor
    assert (seen.content, result.reusable) == (b"ok", True)


@given(odd.CONTENT, st.data())
def test_connection_with_early_data_is_not_used_again(content: bytes, data: st.DataObject) -> None:
    field, body = data.draw(odd.framed(content))
    result = download([odd.response(200, [field], body + b"HTTP/1.1 200 OK\r\n\r\nevil")])
    seen = check_response(result, b"GET", 1)
    assert seen is not None
    assert (seen.whole, seen.content, result.reusable) == (True, content, False)


@pytest.mark.parametrize("raw", BAD_HEADS, ids=[str(n) for n in range(len(BAD_HEADS))])
def test_bad_head_yields_no_byte(raw: bytes) -> None:
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        result = download(pieces)
        assert refused(result)
        assert result.written == b""


@given(st.sampled_from(odd.BAD_CHUNKS), st.none() | odd.CONTENT, MINORS, st.data())
def test_broken_chunks_look_cut(bad: bytes, before: bytes | None, minor: int, data: st.DataObject) -> None:
    good = b"".join(data.draw(odd.chunks(before))[:-1]) if before else b""
    result = download(data.draw(odd.pieces(odd.response(200, [CHUNKED], good + bad))), client_minor=minor)
    assert isinstance(result.error, ChunkedError)
    seen = check_response(result, b"GET", minor)
    assert seen is not None
    assert not seen.whole


@given(odd.CONTENT, MINORS, st.data())
def test_cut_response_looks_cut(content: bytes, minor: int, data: st.DataObject) -> None:
    field, body = data.draw(odd.framed(content + b"."))
    raw = odd.response(200, [field], body[: data.draw(st.integers(0, len(body) - 1))])
    result = download(data.draw(odd.pieces(raw)), client_minor=minor)
    seen = check_response(result, b"GET", minor)
    assert seen is not None
    assert (seen.whole, result.reusable) == (False, False)


@given(METHODS, STATUSES, st.integers(0), st.binary(max_size=2), st.integers(0, 2), st.data())
def test_altered_response_arrives_as_it_was_understood(
    method: bytes, status: int, place: int, inserted: bytes, removed: int, data: st.DataObject
) -> None:
    field, body = data.draw(odd.framed(b"hello"))
    raw = odd.response(status, [field, *data.draw(odd.field_lines())], body)
    place %= len(raw)
    result = download([raw[:place] + inserted + raw[place + removed :]], method)
    assert result.error is None or refused(result) or isinstance(result.error, ChunkedError)
    check_response(result, method, 1)
