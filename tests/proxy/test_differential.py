"""What is decided on is what arrives: the pure pipeline, read by parsers that share nothing with it.

Good messages must arrive as they were meant, in whatever pieces they came; of the bad
ones nothing may arrive that looks whole.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobgate.proxy.chunked import ChunkedError
from jobgate.proxy.errors import ProxyError
from support import odd_http as odd
from support.differential import check_request
from support.pipeline import Request, Upload, upload
from support.readers import Seen, read_request_with_aiohttp, read_request_with_llhttp

METHODS = st.sampled_from(odd.METHODS)
CONTENT = st.none() | odd.CONTENT
GOOD = b"http://ok.test/"
FRAMED = (b"Transfer-Encoding: chunked",)


def arrived(request: Request) -> Seen:
    """Return what origins read: h11, and the others exactly the same, unless they refuse it."""
    seen = check_request(request)
    for other in (read_request_with_llhttp(request.written), read_request_with_aiohttp(request.written)):
        if other is not None:
            assert (other.start, other.fields) == (seen.start, seen.fields)
            assert (other.content, other.whole, other.rest) == (seen.content, seen.whole, seen.rest)
    return seen


def refused(result: Upload) -> bool:
    return result.requests == [] and isinstance(result.error, ProxyError)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return a good request, and the content that must arrive."""
    content = draw(CONTENT)
    fields = draw(odd.field_lines())
    framing, body = (b"", b"") if content is None else draw(odd.framed(content))
    fields = draw(st.permutations([*fields, *([framing] if framing else [])]))
    return odd.request(draw(METHODS), draw(odd.targets()), fields, body), content or b""


@given(requests(), st.data())
def test_good_request_arrives_as_it_was_meant(message: tuple[bytes, bytes], data: st.DataObject) -> None:
    raw, content = message
    result = upload(data.draw(odd.pieces(raw)))
    assert result.error is None
    (request,) = result.requests
    seen = arrived(request)
    assert (seen.whole, seen.content) == (True, content)


@given(st.lists(requests(), min_size=2, max_size=3), st.data())
def test_pipelined_requests_arrive_one_by_one(
    messages: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """Each is read from where the one before ended, up to the one that closes."""
    result = upload(data.draw(odd.pieces(b"".join(raw for raw, _ in messages))))
    assert result.error is None
    kept = [request.head.keep_alive for request in result.requests]
    assert kept[:-1] == [True] * (len(kept) - 1)
    assert len(kept) == len(messages) or not kept[-1]
    assert [arrived(request).content for request in result.requests] == [c for _, c in messages[: len(kept)]]


@given(METHODS, odd.targets(), odd.field_lines(), odd.CONTENT)
def test_request_of_http_1_0_arrives_and_is_the_last(
    method: bytes, target: bytes, fields: list[bytes], content: bytes
) -> None:
    length = b"Content-Length: %d" % len(content)
    result = upload([odd.request(method, target, [length, *fields], content + odd.SMUGGLED, minor=0)])
    assert [arrived(request).content for request in result.requests] == [content]


BAD_HEADS = [
    *(("method", odd.request(method, GOOD, ())) for method in odd.BAD_METHODS),
    *(("target", odd.request(b"GET", target, ())) for target in odd.BAD_TARGETS),
    *(("field", odd.request(b"GET", GOOD, [field])) for field in odd.BAD_FIELDS),
    *(("framing", odd.request(b"POST", GOOD, [field], b"abc")) for field in odd.BAD_FRAMINGS),
    *(("framing", odd.request(b"POST", GOOD, [field], b"0\r\n\r\n")) for field in odd.BAD_FRAMINGS),
    ("1.0 with chunked", odd.request(b"POST", GOOD, FRAMED, b"0\r\n\r\n", minor=0)),
]


@pytest.mark.parametrize(
    "raw", [raw for _, raw in BAD_HEADS], ids=[f"{what}-{n}" for n, (what, _) in enumerate(BAD_HEADS)]
)
def test_bad_head_yields_no_byte(raw: bytes) -> None:
    raw += odd.SMUGGLED
    assert refused(upload([raw]))
    assert refused(upload([raw[i : i + 1] for i in range(len(raw))]))


@given(st.sampled_from(odd.BAD_FIELDS + odd.BAD_FRAMINGS), odd.field_lines(), st.data())
def test_bad_field_among_good_ones_yields_no_byte(
    bad: bytes, fields: list[bytes], data: st.DataObject
) -> None:
    lines = data.draw(st.permutations([bad, *fields]))
    raw = odd.request(b"POST", GOOD, lines, b"abc" + odd.SMUGGLED)
    assert refused(upload(data.draw(odd.pieces(raw))))


@given(st.sampled_from(odd.BAD_CHUNKS), CONTENT, st.data())
def test_broken_chunks_never_look_whole(bad: bytes, before: bytes | None, data: st.DataObject) -> None:
    good = b"".join(data.draw(odd.chunks(before))[:-1]) if before else b""
    raw = odd.request(b"POST", GOOD, FRAMED, good + bad + odd.SMUGGLED)
    result = upload(data.draw(odd.pieces(raw)))
    assert isinstance(result.error, ChunkedError)
    (request,) = result.requests
    assert not arrived(request).whole


@given(odd.CONTENT, st.data())
def test_cut_content_never_looks_whole(content: bytes, data: st.DataObject) -> None:
    field, body = data.draw(odd.framed(content + b"."))
    raw = odd.request(b"POST", GOOD, [field], body[: data.draw(st.integers(0, len(body) - 1))])
    (request,) = upload(data.draw(odd.pieces(raw))).requests
    seen = arrived(request)
    assert not seen.whole
    assert (content + b".").startswith(seen.content)


@given(requests(), st.integers(0), st.binary(max_size=2), st.integers(0, 2))
def test_altered_request_arrives_as_it_was_decided_on(
    message: tuple[bytes, bytes], place: int, inserted: bytes, removed: int
) -> None:
    """A few bytes somewhere else: refused, or read by all alike."""
    raw, _ = message
    place %= len(raw)
    for request in upload([raw[:place] + inserted + raw[place + removed :]]).requests:
        if request.head.method != b"CONNECT":
            arrived(request)


@example(b"\r\n!:", b"X-A: ")
@given(st.binary(max_size=12), st.sampled_from([b"X-A: ", b"X-A", b"Host: ok", b"Connection: "]))
def test_any_bytes_in_a_field_stay_in_that_field(value: bytes, before: bytes) -> None:
    result = upload([odd.request(b"GET", GOOD, [before + value])])
    most = 4 + value.count(b"\r\n")  # with a CRLF in it there is one more, for all readers alike
    for request in result.requests:
        assert len(arrived(request).fields) <= most
