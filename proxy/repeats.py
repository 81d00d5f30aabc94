"""Heads that repeat: what a peer sends again byte for byte is not worked out again. Pure.

A client sends the same fields with each request of a connection, and an origin that is asked again
answers alike. Everything here returns, or raises, what parsing and writing anew would, whatever came
before. A memory belongs to one client connection, is of one head, and of none that is large.
"""

from __future__ import annotations

from jobgate.config.host import Authority

from .framing import Headers
from .grammar import REQUEST_LINE
from .head import HeadLimits, RequestHead, ResponseHead, parse_request_head, parse_response_head
from .headers import origin_fields, origin_line, response_head_bytes
from .llhttp import accepts_request

#: Longer ones are rare, and kept connections many.
MOST_BYTES = 2048
_MINOR_DIGITS = (b"0", b"1")


class RequestHeads:
    """Reads the heads of one client connection."""

    __slots__ = ("_fields", "_known", "_limits", "_line")

    def __init__(self) -> None:
        self._limits: HeadLimits | None = None
        self._known: RequestHead | None = None
        self._line = self._fields = b""  # of it: its request line, and everything behind that

    def parse(self, raw: bytes, limits: HeadLimits) -> RequestHead:
        """Read one head, as ``parse_request_head``; one with the last one's fields shares ``headers``."""
        line_end = raw.find(b"\n") + 1
        line, known = raw[:line_end], self._known
        is_like = raw.endswith(self._fields) and len(raw) == line_end + len(self._fields)
        if known is not None and limits is self._limits and is_like:
            if line == self._line:
                return known
            alike = _read_line(raw, line_end, limits, known)
            if alike is not None:
                if len(raw) <= MOST_BYTES:
                    self._known, self._line = alike, line
                return alike
        head = parse_request_head(raw, limits)
        # Not behind an empty line, where the fields do not begin; behind a CONNECT no head of its kind comes.
        is_kept = line_end > 2 and len(raw) <= MOST_BYTES and head.keep_alive and head.method != b"CONNECT"
        self._known, self._limits = (head, limits) if is_kept else (None, None)
        self._line, self._fields = (line, raw[line_end:]) if is_kept else (b"", b"")
        return head


def _read_line(raw: bytes, line_end: int, limits: HeadLimits, known: RequestHead) -> RequestHead | None:
    """Read the head whose fields are known; ``None``: its line is another kind of line, or is refused.

    Fields mean the same behind each line of the same method and version, and are within the same limits. The
    grammar reads the line, which ends where the fields begin; llhttp reads all of it, as ever.
    """
    match = REQUEST_LINE.fullmatch(raw, 0, line_end)
    if match is None:
        return None
    method, target, major, minor = match.groups()
    is_alike = method == known.method and major == b"1" and minor == _MINOR_DIGITS[known.minor]
    is_small = len(raw) <= limits.max_head_bytes and len(target) <= limits.max_target_bytes
    if not is_alike or not is_small or not accepts_request(raw):
        return None
    return RequestHead(
        method,
        target,
        known.minor,
        known.headers,
        known.host,
        known.connection,
        known.content,
        known.keep_alive,
        known.expect_continue,
        known.upgrade,
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
        if head.headers is not self._headers or asked != self._asked:
            self._fields = origin_fields(head, authority, via=via, job_header=job_header)
            self._headers, self._asked = head.headers, asked
        return origin_line(head.method, path) + self._fields

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
