"""Heads that repeat: what a peer sends again byte for byte is not worked out again. Pure.

A client sends the same fields with each request of a connection, and an origin that is asked again
answers alike. Everything here returns, or raises, what parsing and writing anew would, whatever came
before. A memory belongs to one client connection, is of one head, and of none that is large.
"""

from __future__ import annotations

from typing import NamedTuple

from jobgate.config.host import Authority

from .framing import Headers
from .grammar import REQUEST_LINE
from .head import HeadLimits, RequestHead, ResponseHead, parse_request_head, parse_response_head
from .headers import origin_fields, origin_line, response_head_bytes
from .llhttp import accepts_request

#: Longer ones are rare, and kept connections many.
MOST_BYTES = 2048
_MINOR_DIGITS = (b"0", b"1")


class _Known(NamedTuple):
    """A head that was read within limits: its line, and the fields, which reach to its end."""

    head: RequestHead
    limits: HeadLimits
    line: bytes
    fields: bytes


class RequestHeads:
    """Reads the heads of one client connection."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: _Known | None = None

    def parse(self, raw: bytes, limits: HeadLimits) -> RequestHead:
        """Read one head, as ``parse_request_head``; one with the last one's fields shares ``headers``."""
        known = self._known
        head = None if known is None or known.limits is not limits else self._again(raw, known)
        if head is None:
            head = parse_request_head(raw, limits)
            if head.keep_alive and head.method != b"CONNECT":  # behind which none of its kind comes
                self._keep(raw, head, limits)
        return head

    def _again(self, raw: bytes, known: _Known) -> RequestHead | None:
        """Read a head with the known one's fields; ``None``: it is none, or has to be read anew."""
        line_end = raw.find(b"\n") + 1
        if len(raw) != line_end + len(known.fields) or not raw.endswith(known.fields):
            return None
        line = raw[:line_end]
        if line == known.line:
            return known.head
        head = _read_line(raw, line, known)
        if head is not None:
            self._keep(raw, head, known.limits)
        return head

    def _keep(self, raw: bytes, head: RequestHead, limits: HeadLimits) -> None:
        line_end = raw.find(b"\n") + 1
        # Behind an empty line the fields of a head do not begin.
        is_kept = line_end > 2 and len(raw) <= MOST_BYTES
        self._known = _Known(head, limits, raw[:line_end], raw[line_end:]) if is_kept else None


def _read_line(raw: bytes, line: bytes, known: _Known) -> RequestHead | None:
    """Read a head whose fields are known; ``None``: its line is another kind of line, or is refused.

    Fields mean the same behind each line of the same method and version. The grammar reads the line,
    which ends where they begin; llhttp reads all of it, as ever.
    """
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        return None
    head, limits = known.head, known.limits
    method, target, major, minor = match.groups()
    is_alike = method == head.method and major == b"1" and minor == _MINOR_DIGITS[head.minor]
    is_small = len(raw) <= limits.max_head_bytes and len(target) <= limits.max_target_bytes
    if not is_alike or not is_small or not accepts_request(raw):
        return None
    return RequestHead(
        method,
        target,
        head.minor,
        head.headers,
        head.host,
        head.connection,
        head.content,
        head.keep_alive,
        head.expect_continue,
        head.upgrade,
        len(raw),
    )


class Rewriter:
    """Reads the responses to one client connection, and writes heads for either side."""

    __slots__ = ("_asked", "_fields", "_headers", "_read", "_response", "_told", "_written")

    def __init__(self) -> None:
        self._headers: Headers | None = None  # what ``_fields`` were written of …
        self._asked: tuple[object, ...] = ()  # … and with
        self._fields = b""
        self._read: tuple[object, ...] = ()  # what ``_response`` was read of
        self._response: ResponseHead | None = None
        self._told: tuple[object, ...] = ()  # what ``_written`` was written with, of that response
        self._written = b""

    def request(
        self,
        head: RequestHead,
        path: bytes,
        authority: Authority,
        *,
        via: bytes,
        job_header: tuple[bytes, bytes] | None,
    ) -> bytes:
        """Write the head of a request, as ``request_head_bytes``.

        Heads that share their ``headers`` differ in nothing but the target: ``RequestHeads`` read them.
        """
        asked = authority, via, job_header
        fields = self._fields
        if head.headers is not self._headers or asked != self._asked:
            fields = origin_fields(head, authority, via=via, job_header=job_header)
            is_kept = head.size_bytes <= MOST_BYTES
            self._headers, self._asked, self._fields = (
                (head.headers, asked, fields) if is_kept else (None, (), b"")
            )
        return origin_line(head.method, path) + fields

    def response(self, raw: bytes, limits: HeadLimits, request_method: bytes) -> ResponseHead:
        """Read the head of a response, as ``parse_response_head``."""
        read = raw, limits, request_method
        response = self._response
        if response is None or read != self._read:
            response = parse_response_head(raw, limits, request_method)
            is_kept = len(raw) <= MOST_BYTES
            self._response, self._read = (response, read) if is_kept else (None, ())
            self._told = ()
        return response

    def answer(self, response: ResponseHead, *, client_minor: int, close: bool, via: bytes) -> bytes:
        """Write the head of a response for the client, as ``response_head_bytes``."""
        if response is not self._response:
            return response_head_bytes(response, client_minor=client_minor, close=close, via=via)
        told = client_minor, close, via
        if told != self._told:
            self._written = response_head_bytes(response, client_minor=client_minor, close=close, via=via)
            self._told = told
        return self._written
