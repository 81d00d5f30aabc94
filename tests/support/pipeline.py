"""The pure pipeline, driven as the edges drive it: bytes in pieces on one side, bytes on the other.

No socket, no loop, no policy: what is refused here is refused by a parser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jobgate.config.host import Authority
from jobgate.proxy.chunked import ChunkedError
from jobgate.proxy.content import Chunked, KnownLength
from jobgate.proxy.errors import ProxyError
from jobgate.proxy.framing import Content
from jobgate.proxy.head import (
    HeadLimits,
    RequestHead,
    ResponseHead,
    check_partial_request,
    check_partial_response,
    find_head_end,
    parse_request_head,
    parse_response_head,
)
from jobgate.proxy.headers import request_head_bytes, response_head_bytes
from jobgate.proxy.target import parse_absolute, parse_connect

LIMITS = HeadLimits(max_head_bytes=65536, max_target_bytes=16384, max_fields=128)
VIA = b"jobgate"
JOB_HEADER = (b"X-Job", b"train-42")


@dataclass
class Request:
    """One request that the parsers took.

    Attributes:
        raw: The head as it came.
        written: What the origin gets; empty for CONNECT.
        whole: Its content has come to its end.
    """

    raw: bytes
    head: RequestHead
    authority: Authority
    path: bytes = b""
    written: bytes = b""
    whole: bool = False


@dataclass
class Upload:
    """What became of the bytes of one client connection."""

    requests: list[Request] = field(default_factory=list)
    error: ProxyError | ChunkedError | None = None


@dataclass
class Download:
    """What became of the bytes of one upstream connection, up to the end of one response.

    Attributes:
        heads: Interim heads and the final one.
        raws: The same as they came.
        written: What the client gets.
        whole: The response has come to its end.
        reusable: The upstream connection may serve another request.
    """

    raws: list[bytes] = field(default_factory=list)
    heads: list[ResponseHead] = field(default_factory=list)
    written: bytes = b""
    whole: bool = False
    reusable: bool = False
    error: ProxyError | ChunkedError | None = None


class _Source:
    """Bytes that come in pieces, with a buffer for what has not been used."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self.buffer = bytearray()

    def more(self) -> bool:
        """Wait for the next piece; ``False`` at the end."""
        for piece in self._pieces:
            self.buffer += piece
            return True
        return False

    def take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def content(self, framing: Chunked | KnownLength) -> Iterator[bytes]:
        """Pass content on until it is whole or the bytes end."""
        while not framing.done:
            if not self.buffer and not self.more():
                return
            data = bytes(self.buffer)
            out = b"".join(framing.feed(memoryview(data)))
            del self.buffer[: framing.consumed]
            yield out


def upload(pieces: Iterable[bytes], limits: HeadLimits = LIMITS) -> Upload:
    """Send what a client sends, up to an error, a CONNECT, or the last request of the connection."""
    source, result = _Source(pieces), Upload()
    try:
        while (raw := _request_head(source, limits)) is not None:
            request = _read_request(raw, limits)
            result.requests.append(request)
            if request.head.method == b"CONNECT":
                break
            framing = _framing(request.head.content)
            for out in source.content(framing):
                request.written += out
            request.whole = framing.done
            if not (request.whole and request.head.keep_alive):
                break
    except (ProxyError, ChunkedError) as error:
        result.error = error
    return result


def _request_head(source: _Source, limits: HeadLimits) -> bytes | None:
    scanned = 0
    while (end := find_head_end(source.buffer, scanned)) < 0:
        check_partial_request(source.buffer, limits, scanned)
        scanned = len(source.buffer)
        if not source.more():
            return None
    return source.take(end)


def _read_request(raw: bytes, limits: HeadLimits) -> Request:
    head = parse_request_head(raw, limits)
    if head.method == b"CONNECT":
        return Request(raw, head, parse_connect(head.target), whole=True)
    authority, path = parse_absolute(head.target)
    written = request_head_bytes(head, path, authority, via=VIA, job_header=JOB_HEADER)
    return Request(raw, head, authority, path, written)


def download(
    pieces: Iterable[bytes], method: bytes = b"GET", *, client_minor: int = 1, limits: HeadLimits = LIMITS
) -> Download:
    """Bring a response down to a client that wants to keep its connection; the upstream ends behind it."""
    source, result = _Source(pieces), Download()
    try:
        head = _final_head(source, result, method, client_minor, limits)
        if head is not None and head.status != 101:
            _bring(source, result, head, client_minor)
    except (ProxyError, ChunkedError) as error:
        result.error = error
    return result


def _final_head(
    source: _Source, result: Download, method: bytes, client_minor: int, limits: HeadLimits
) -> ResponseHead | None:
    """Pass interim responses on until another one comes; ``None`` if none does."""
    while (raw := _response_head(source, limits)) is not None:
        head = parse_response_head(raw, limits, method)
        result.raws.append(raw)
        result.heads.append(head)
        if head.status >= 200:
            return head
        if client_minor or head.status == 101:
            result.written += response_head_bytes(head, client_minor=client_minor, close=False, via=VIA)
        if head.status == 101:
            result.whole = True
            return head
    return None


def _response_head(source: _Source, limits: HeadLimits) -> bytes | None:
    scanned = 0
    while (end := find_head_end(source.buffer, scanned)) < 0:
        check_partial_response(source.buffer, limits, scanned)
        scanned = len(source.buffer)
        if not source.more():
            return None
    return source.take(end)


def _bring(source: _Source, result: Download, head: ResponseHead, client_minor: int) -> None:
    kind = head.content.kind
    plain = kind == "chunked" and not client_minor
    close = plain or kind == "until-close" or not client_minor
    result.written += response_head_bytes(head, client_minor=client_minor, close=close, via=VIA)
    if kind == "until-close":
        while source.more():
            pass
        result.written += source.buffer
        result.whole = True
        return
    framing = _framing(head.content, plain=plain)
    for out in source.content(framing):
        result.written += out
    result.whole = framing.done
    result.reusable = framing.done and head.keep_alive and not source.buffer


def _framing(content: Content, *, plain: bool = False) -> Chunked | KnownLength:
    return Chunked(plain=plain) if content.kind == "chunked" else KnownLength(content.length)
