"""Heads and content, from the bytes of one side to the bytes of the other, read by h11.

The input is what a client sends and, once more, what an upstream answers. Whatever the
pieces it comes in, the outcome is the same; what was refused has written nothing that
looks whole.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from fuzz.engine import split
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.head import HeadLimits
from support.differential import check_request, check_response
from support.pipeline import LIMITS, download, upload

WORDS = (
    b"GET http://ok.test/ HTTP/1.1\r\n", b"CONNECT ok.test:443 HTTP/1.1\r\n", b"POST ", b"OPTIONS ",
    b"HEAD ", b"Host: ok.test\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n", b"Max-Forwards: 1\r\n", b"Proxy-Connection: keep-alive\r\n",
    b"Proxy-Authorization: Basic eA==\r\n", b"Trailer: x\r\n", b"TE: x\r\n", b"HTTP/1.0",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.1 304 \r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"identity",
    b"gzip, chunked", b"\r\n ", b"\r\n\t", b"\x0b", b"\x00", b"\xa0", b" :", b",", b"+5", b"0x5",
    b"99999999999999999999", b"\r", b"\n",
)  # fmt: skip

#: Limits that inputs of fuzzing reach.
SMALL = HeadLimits(max_head_bytes=160, max_target_bytes=40, max_fields=5)
#: What a parser of requests may say.
REFUSALS = {
    Reason.BAD_REQUEST, Reason.METHOD, Reason.METHOD_UNKNOWN, Reason.TRANSFER_CODING, Reason.VERSION,
    Reason.HEAD_TOO_LARGE, Reason.TARGET_TOO_LONG,
}  # fmt: skip
#: The heads in order, each with its content if that came whole, and whether all was in order.
Outcome: TypeAlias = tuple[list[tuple[bytes, bytes | None]], bool]
#: Methods and minor versions of the requests that are answered.
RESPONSES = ((b"GET", 1), (b"HEAD", 1), (b"GET", 0))


def TestOneInput(data: bytes) -> None:
    """Send the bytes up, and bring them down."""
    pieces = split(data)
    for limits in (LIMITS, SMALL):
        assert sent(pieces, limits) == sent([data], limits), "pieces make other requests"
    for method, client_minor in RESPONSES:
        whole = brought([data], method, client_minor)
        assert brought(pieces, method, client_minor) == whole, "pieces make another response"


def sent(pieces: list[bytes], limits: HeadLimits) -> Outcome:
    """Send a client's bytes up; say what arrived."""
    result = upload(pieces, limits)
    if isinstance(result.error, ProxyError):
        assert result.error.reason in REFUSALS, "a reason that is none of the parsers'"
        detail = result.error.detail
        assert not re.search(r"[^ -~]", detail), "the detail quotes the client"
    contents: list[tuple[bytes, bytes | None]] = []
    for request in result.requests:
        if request.head.method == b"CONNECT":
            assert request.written == b"", "a tunnel was written to"
            contents.append((request.raw, None))
        else:
            seen = check_request(request)
            contents.append((request.raw, seen.content if seen.whole else None))
    return contents, result.error is None


def brought(pieces: list[bytes], method: bytes, client_minor: int) -> Outcome:
    """Bring an upstream's bytes down; say what arrived."""
    result = download(pieces, method, client_minor=client_minor)
    if isinstance(result.error, ProxyError):
        assert result.error.reason is Reason.UPSTREAM_INVALID, "a reason that is none of the parsers'"
    seen = check_response(result, method, client_minor)
    assert seen is not None or not result.whole, "a response out of nothing"
    content = seen.content if seen is not None and seen.whole else None
    return [(raw, content) for raw in result.raws], result.error is None
