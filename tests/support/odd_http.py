"""Messages made of parts: good ones, and bad ones that two parsers could read differently.

Lists of parts, and strategies that put them together with odd blanks, letter case, chunk
sizes and pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND"]
BAD_METHODS = [b"get", b"TRACE", b"CONNECT", b"BREW", b"GE\tT", b"GET ", b" GET", b"", b"PRI"]
AUTHORITIES = [b"ok.test", b"OK.Test.", b"ok.test:8080", b"ok.test:", b"192.0.2.7", b"[2001:DB8::1]:80"]
PATHS = [
    b"", b"/", b"/a/../b;c=d//", b"?q=http://evil.test/", b"/%2F%00?%0d%0a", b"/a?b?c",
    b"/\\@evil.test:80/",
]  # fmt: skip
BAD_TARGETS = [
    b"/", b"*", b"ok.test", b"ok.test:443", b"https://ok.test/", b"http:/ok.test/", b"http:///x",
    b"http://", b"http://ok.test/#x", b"http://ok.test#@evil.test/", b"http://u@ok.test/",
    b"http://ok.test/\xc3\xa9", b"http://ok.test:0/", b"http://ok.test:65536/", b"http://127.1/",
    b"http://ok.test\\@evil.test/", b"http://ok.test/a b", b"http://[ok.test]/",
    b"http://ok.test%00.evil.test/", b"http://ok.test/\x00",
]  # fmt: skip
NAMES = [
    b"X-A", b"x-a", b"Accept", b"Cookie", b"TE", b"Keep-Alive", b"Via", b"Max-Forwards", b"X-Job",
    b"Expect", b"!",
]  # fmt: skip
NAMES += [b"Proxy-Authorization", b"Proxy-Connection", b"Trailer", b"X-Forwarded-For", b"HTTP2-Settings"]
VALUES = [
    b"", b"a", b"a b", b"a\tb", b"\xff\xe9", b'"q\\"', b"0", b"1, 2", b"close", b"100-continue",
    b"trailers", b"a:b",
]  # fmt: skip
CONNECTION = [
    b"close", b"keep-alive", b"X-A", b"Host", b"Content-Length, Transfer-Encoding", b"Via,,x-job",
    b"Upgrade",
]  # fmt: skip
BAD_FIELDS = [
    b"X-A : b", b" X-A: b", b"X-A: b\r\n c", b": b", b"X-A", b"X-A: \x00", b"X-A: a\rb", b"X-A: a\nb: c",
    b"X\xe9: a", b"Host: ok.test", b"Host: a b", b"X(A: b", b"X-A: \x7f", b"X-A: \x0b",
    b"Content-Length : 1", b"X A: b",
]  # fmt: skip
#: Fields that heads are written with, and read with again.
WORKING_FIELDS = st.lists(
    st.sampled_from([
        b"Connection: close, x-a", b"Connection: upgrade", b"Content-Length: 7", b"Empty:",
        b"Expect: 100-continue", b"Transfer-Encoding: chunked", b"Upgrade: websocket", b"Via: 1.1 a",
        b"X-A: 1", b"X-B: \xff\t",
    ]),
    max_size=6,
)  # fmt: skip
#: Framings that two parsers could read differently.
BAD_FRAMINGS = [
    b"Content-Length: 3\r\nContent-Length: 3", b"Content-Length: 3\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 0", b"Content-Length: 3, 3", b"Content-Length: +3",
    b"Content-Length: 0x3", b"Content-Length: 3 3", b"Content-Length:", b"Content-Length: \xb3",
    b"Content-Length: 18446744073709551619", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked;x=y",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: ,chunked", b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
]  # fmt: skip
BAD_CHUNKS = [
    b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n", b"10000000000000003\r\nabc\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n",
    b"\r\n0\r\n\r\n", b"3;a\rb\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nX : y\r\n\r\n", b"-1\r\n\r\n",
    b"0000000000000003\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n00x\r\n\r\n",
]  # fmt: skip
SMUGGLED = b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"

BLANKS = st.sampled_from([b"", b" ", b"\t", b" \t "])
CONTENT = st.binary(max_size=40) | st.sampled_from([b"0\r\n\r\n", SMUGGLED])


@st.composite
def field_lines(draw: st.DrawFn) -> list[bytes]:
    """Return fields that may stand in any head."""
    names, values = st.sampled_from(NAMES), st.sampled_from(VALUES)
    plain = st.builds(lambda n, a, v, b: n + b":" + a + v + b, names, BLANKS, values, BLANKS)
    option = st.sampled_from(CONNECTION).map(lambda value: b"Connection: " + value)
    return draw(st.lists(plain | option, max_size=5))


def targets() -> st.SearchStrategy[bytes]:
    """Return absolute-form targets."""
    return st.tuples(st.sampled_from(AUTHORITIES), st.sampled_from(PATHS)).map(
        lambda parts: b"http://%b%b" % parts
    )


@st.composite
def framed(draw: st.DrawFn, content: bytes) -> tuple[bytes, bytes]:
    """Return a framing field, and content under it."""
    if draw(st.booleans()):
        field = draw(
            st.sampled_from([b"Content-Length: %d", b"content-length:%d", b"CONTENT-LENGTH:\t00%d "])
        )
        return field % len(content), content
    field = draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:\tChunked \t"]))
    trailers = draw(st.sampled_from([b"", b"X-T: a\r\n", b"Content-Length: 3\r\nHost: evil.test\r\n"]))
    return field, b"".join(draw(chunks(content))) + trailers + b"\r\n"


@st.composite
def chunks(draw: st.DrawFn, content: bytes) -> list[bytes]:
    """Return content in chunks, the last one included."""
    lines = st.sampled_from([b"%x", b"%X", b"000%x", b"%x;a", b'%x;a="b;c"'])
    parts = [part for part in draw(pieces(content)) if part]
    return [draw(lines) % len(part) + b"\r\n" + part + b"\r\n" for part in parts] + [
        draw(lines) % 0 + b"\r\n"
    ]


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Return bytes cut at any places."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def request(
    method: bytes, target: bytes, fields: Sequence[bytes], content: bytes = b"", minor: int = 1
) -> bytes:
    """Return a request with a Host of its own, which must not matter."""
    line = b"%b %b HTTP/1.%d" % (method, target, minor)
    return b"\r\n".join([line, b"Host: ok.test", *fields, b"", b""]) + content


def response(status: int, fields: Sequence[bytes], content: bytes = b"", minor: int = 1) -> bytes:
    """Return a response."""
    line = b"HTTP/1.%d %d It is" % (minor, status)
    return b"\r\n".join([line, *fields, b"", b""]) + content
