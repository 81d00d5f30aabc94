"""Heads that repeat: what a peer sends again byte for byte is not worked out again. Pure.

A client sends the same fields with each request of a connection, and an origin that is asked again
answers alike. Everything here returns, or raises, what parsing and writing anew would, whatever came
before. A memory belongs to one client connection, is of one head, and of none that is large.
"""

from __future__ import annotations

from itertools import compress, count
from operator import ne
from typing import Generic, NamedTuple, TypeVar

from jobgate.config.host import Authority

from .framing import LENGTH, NOTED_NAMES, Content
from .grammar import FIELD_LINE, REQUEST_LINE
from .head import HeadLimits, RequestHead, ResponseHead, parse_request_head, parse_response_head
from .headers import origin_fields, origin_line, response_block, response_head_bytes, response_lines
from .llhttp import accepts_request, accepts_response

Value = TypeVar("Value")

#: Longer ones are rare, and kept connections many.
MOST_BYTES = 2048
_MINOR_DIGITS = (b"0", b"1")


class _Known(NamedTuple):
    """A head that was read within limits: as it came, and where its fields begin, which reach to its end."""

    raw: bytes
    line_end: int
    limits: HeadLimits
    head: RequestHead


class RequestHeads:
    """Reads the heads of one client connection."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: _Known | None = None

    def parse(self, raw: bytes, limits: HeadLimits) -> RequestHead:
        """Read one head, as ``parse_request_head``; one with the last one's fields shares ``headers``."""
        head = self.again(raw, limits)
        if head is not None:
            return head
        head = parse_request_head(raw, limits)
        if not head.keep_alive or head.method == b"CONNECT":  # none of its kind comes behind it
            return head
        line_end = raw.find(b"\n") + 1
        # Behind an empty line the fields of a head do not begin.
        is_kept = line_end > 2 and len(raw) <= MOST_BYTES
        self._known = _Known(raw, line_end, limits, head) if is_kept else None
        return head

    def again(self, raw: bytes, limits: HeadLimits) -> RequestHead | None:
        """Read what is one head and has the last one's fields; ``None``: it is something else."""
        known = self._known
        if known is None or known.limits is not limits:
            return None
        if raw == known.raw:
            return known.head
        head = _read_line(raw, known)
        if head is not None:
            is_kept = len(raw) <= MOST_BYTES
            self._known = _Known(raw, raw.find(b"\n") + 1, limits, head) if is_kept else None
        return head


def _read_line(raw: bytes, known: _Known) -> RequestHead | None:
    """Read a head whose fields are known; ``None``: they are not, or its line is of another kind, or refused.

    Fields mean the same behind each line of the same method and version. The grammar reads the line,
    which ends where they begin; llhttp reads all of it, as ever.
    """
    line_end = raw.find(b"\n") + 1
    if raw[line_end:] != known.raw[known.line_end :]:
        return None
    match = REQUEST_LINE.fullmatch(raw, 0, line_end)
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


class _Last(Generic[Value]):
    """What was worked out last, and what of; nothing of a head that is large."""

    __slots__ = ("_of", "_value")

    def __init__(self) -> None:
        self._of: object = None
        self._value: Value | None = None

    def get(self, of: object) -> Value | None:
        """Return what was worked out of this; ``None``: that was not the last."""
        return self._value if of == self._of else None

    def keep(self, of: object, value: Value, size_bytes: int) -> Value:
        """Keep and return what was worked out of a head of this size."""
        self._of, self._value = (of, value) if size_bytes <= MOST_BYTES else (None, None)
        return value


class _Response(NamedTuple):
    """A head that was read within limits: as it came, what it says, and its lines that go on."""

    raw: bytes
    method: bytes
    limits: HeadLimits
    head: ResponseHead
    lines: list[bytes | None]


class Rewriter:
    """Reads the responses to one client connection, and writes heads for either side."""

    __slots__ = ("_fields", "_response", "_written")

    def __init__(self) -> None:
        self._response: _Response | None = None
        self._fields: _Last[bytes] = _Last()  # of a request, for the upstream
        self._written: _Last[bytes] = _Last()  # of that response, for the client

    def request(
        self,
        head: RequestHead,
        path: bytes,
        authority: Authority,
        *,
        via: bytes,
        job_header: tuple[bytes, bytes] | None,
    ) -> bytes:
        """Write the head of a request, as ``request_head_bytes``: its fields say the same for each target."""
        return origin_line(head.method, path) + self.fields(head, authority, via=via, job_header=job_header)

    def fields(
        self, head: RequestHead, authority: Authority, *, via: bytes, job_header: tuple[bytes, bytes] | None
    ) -> bytes:
        """Write what comes behind the line of that head."""
        of = head.method, head.minor, head.headers, authority, via, job_header
        fields = self._fields.get(of)
        if fields is None:
            fields = origin_fields(head, authority, via=via, job_header=job_header)
            self._fields.keep(of, fields, head.size_bytes)
        return fields

    def response(self, raw: bytes, limits: HeadLimits, request_method: bytes) -> ResponseHead:
        """Read the head of a response, as ``parse_response_head``."""
        known = self._response
        again: _Response | None = None
        if known is not None and known.limits is limits and known.method == request_method:
            if raw == known.raw:
                return known.head
            again = _read_again(raw, known)
        if again is None:
            head = parse_response_head(raw, limits, request_method)
            if len(raw) <= MOST_BYTES:
                again = _Response(raw, request_method, limits, head, response_lines(head))
            self._response = again
            return head
        self._response = again
        return again.head

    def answer(self, response: ResponseHead, *, client_minor: int, close: bool, via: bytes) -> bytes:
        """Write the head of a response for the client, as ``response_head_bytes``."""
        known = self._response
        if known is None or response is not known.head:
            return response_head_bytes(response, client_minor=client_minor, close=close, via=via)
        of = known, client_minor, close, via
        written = self._written.get(of)
        if written is None:
            written = response_block(response, known.lines, client_minor=client_minor, close=close, via=via)
            self._written.keep(of, written, len(written))
        return written


def _read_again(raw: bytes, known: _Response) -> _Response | None:
    """Read a head that has other values than the known one, and nothing else of it; ``None``: it has.

    What differs is most often a date, a tag, a length. The grammar reads each line that does, llhttp all
    of them; a field that decides about the connection is not among these.
    """
    lines, before = raw.split(b"\r\n"), known.raw.split(b"\r\n")
    if len(lines) != len(before) or len(raw) > min(known.limits.max_head_bytes, MOST_BYTES):
        return None
    head, content = known.head, known.head.content
    headers, passed = head.headers.copy(), known.lines.copy()
    for place in compress(count(), map(ne, lines, before)):
        line, field = lines[place], place - 1  # behind the status line
        name, _, value = line.partition(b":")
        if not 0 <= field < len(headers) or name != headers[field][0] or not FIELD_LINE.fullmatch(line):
            return None
        value = value.strip(b" \t")
        noted = NOTED_NAMES[name]
        if noted is not None:
            if noted != b"content-length" or content.kind != "length" or not LENGTH.fullmatch(value):
                return None
            content = Content("length", int(value))
        headers[field] = name, value
        if passed[place] is not None:
            passed[place] = name + b": " + value
    if not accepts_response(raw):
        return None
    again = ResponseHead(
        head.status, head.phrase, head.minor, headers, head.connection, content, head.keep_alive, len(raw)
    )
    return _Response(raw, known.method, known.limits, again, passed)
