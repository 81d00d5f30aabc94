"""Bytes of a message head to values, or an error that says what was wrong.

Two parsers read every head and both must accept it: ``grammar.py`` over the raw
block, and ``llhttp.py``, which knows the methods and splits the fields. The framing
is judged in ``framing.py``. Sizes come before anything else: the target (414), then
the head (431), then the grammar (400).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from jobgate.config.host import Authority

from . import grammar
from .decision import Target
from .errors import BadRequest, ProxyError, Reason
from .framing import (
    NO_CONTENT,
    UNTIL_CLOSE,
    Content,
    Headers,
    asks_for_websocket,
    connection_options,
    declared_content,
    expects_continue,
    host_field,
    names_websocket,
    note_fields,
)
from .llhttp import read_request_fields, read_response_fields
from .target import refuse_target

#: Behind the target: ``" HTTP/1.1\r"``, up to the LF.
_VERSION_BYTES = 10


class HeadLimits(NamedTuple):
    """Largest head and target in bytes, and most fields."""

    max_head_bytes: int
    max_target_bytes: int
    max_fields: int


@dataclass(slots=True)
class RequestHead:
    """A request head that passed every check; never changed, since requests that are alike share it.

    Args:
        target: The request target, byte for byte; printable ASCII.
        minor: 0 or 1; a higher minor version counts as 1.
        headers: Names as sent, values without the blanks around them.
        host: The ``Host`` field, port 80 if it names none; ``None`` only in HTTP/1.0.
        connection: What ``Connection`` lists, lower-case.
        expect_continue: The client waits for 100 before it sends its content.
        upgrade: ``b"websocket"`` if the client asks for it and can have it.
        size_bytes: Bytes read, the blank line included.
        asked: What CONNECT asks for, where a memory has read that before.
    """

    method: bytes
    target: bytes
    minor: int
    headers: Headers
    host: Authority | None
    connection: frozenset[bytes]
    content: Content
    keep_alive: bool
    expect_continue: bool
    upgrade: bytes | None
    size_bytes: int
    asked: Target | None = field(default=None, compare=False)


@dataclass(slots=True)
class ResponseHead:
    """A response head that passed every check, never changed; ``content`` regards method and status."""

    status: int
    phrase: bytes
    minor: int
    headers: Headers
    connection: frozenset[bytes]
    content: Content
    keep_alive: bool
    size_bytes: int


def find_head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Return the index behind the blank line, or -1.

    Args:
        start: Length of the buffer when it was searched last; nothing before is read again.
    """
    end = buffer.find(b"\r\n\r\n", start - 3 if start > 3 else 0)
    return end + 4 if end >= 0 else -1


def parse_request_head(raw: bytes, limits: HeadLimits) -> RequestHead:
    """Read one request head up to and including its blank line.

    One empty line before it is skipped. CONNECT has no content whatever its fields
    say, but they must be valid.

    Raises:
        ProxyError: 414 before 431 before anything else; then 400, 405, 501, 505.

    Source: RFC 9112 §2.2, §3, §5, §6.
    """
    size_bytes = len(raw)
    if raw.startswith(b"\r\n"):
        raw = raw[2:]
    _check_target_size(raw, 0, raw.find(b"\n"), limits)
    if len(raw) > limits.max_head_bytes or raw.count(b"\n") - 2 > limits.max_fields:
        raise _too_large(limits)
    match = grammar.REQUEST.fullmatch(raw)
    if match is None:
        raise BadRequest(grammar.request_problem(raw))
    method, target, major, minor_digit = match.groups()
    if major != b"1":
        raise ProxyError(Reason.VERSION, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if minor_digit > b"1":
        # RFC 9110 §2.5: a higher minor version is read as the highest known one.
        raw = b"%b %b HTTP/1.1%b" % (method, target, raw[match.end(4) :])
    head = _judge_request(raw, method, target, 0 if minor_digit == b"0" else 1)
    head.size_bytes = size_bytes
    return head


def check_partial_request(buffer: bytes | bytearray, limits: HeadLimits, start: int = 0) -> None:
    """Refuse an unfinished request head that can no longer become a good one.

    Without this a TLS hello, a bare LF or an endless target would be answered only
    at the head's deadline.

    Args:
        start: Length of the buffer at the previous call. Apart from looking for the end
            of the request line, within the largest target, nothing before is read again.

    Raises:
        ProxyError: 414, 431 or 400, as ``parse_request_head`` would.
    """
    begin = 2 if buffer.startswith(b"\r\n") else 0
    longest_line = grammar.MAX_METHOD_BYTES + limits.max_target_bytes + _VERSION_BYTES + 2
    line_end = buffer.find(b"\n", begin, begin + longest_line)
    _check_target_size(buffer, begin, line_end if line_end >= 0 else len(buffer), limits)
    if len(buffer) > limits.max_head_bytes:
        raise _too_large(limits)
    if not grammar.METHOD_START.match(buffer):
        raise BadRequest(grammar.NOT_HTTP)
    if not grammar.LINES.fullmatch(buffer, _unread(buffer, start)):
        raise BadRequest(grammar.STRAY_BYTE)
    if line_end >= start and line_end > begin:
        line = bytes(buffer[begin : line_end + 1])
        if not grammar.REQUEST_LINE.fullmatch(line):
            raise BadRequest(grammar.request_line_problem(line[:-2]))


def parse_response_head(raw: bytes, limits: HeadLimits, request_method: bytes) -> ResponseHead:
    """Read one response head of an upstream, up to and including its blank line.

    Content by method and status: none for HEAD, 1xx, 204 and 304 whatever the fields
    say; none for a 205 that declares no length; else as declared, else until close.
    101 must switch to WebSocket; whether that was asked for, the caller knows. Blanks
    before a colon are refused, which is stricter than RFC 9112 §5.1.

    Raises:
        ProxyError: ``upstream-invalid`` (502).

    Source: RFC 9112 §4, §6.3.
    """
    if len(raw) > limits.max_head_bytes or raw.count(b"\n") - 2 > limits.max_fields:
        raise _invalid("it is too large")
    match = grammar.RESPONSE.fullmatch(raw)
    if match is None:
        raise _invalid("it is malformed")
    minor_digit, status, phrase = match.groups(b"")
    if minor_digit > b"1":
        raw = b"HTTP/1.1%b" % raw[match.end(1) :]
    minor = 0 if minor_digit == b"0" else 1
    return _judge_response(raw, int(status), phrase, request_method, minor)


def check_partial_response(buffer: bytes | bytearray, limits: HeadLimits, start: int = 0) -> None:
    """Refuse an unfinished response head that can no longer become a good one.

    Args:
        start: Length of the buffer at the previous call.

    Raises:
        ProxyError: ``upstream-invalid`` (502).
    """
    if len(buffer) > limits.max_head_bytes:
        raise _invalid("it is too large")
    if not buffer.startswith(b"HTTP/1."[: len(buffer)]):
        raise _invalid("it is malformed")
    if not grammar.LINES.fullmatch(buffer, _unread(buffer, start)):
        raise _invalid("it is malformed")


def _judge_request(raw: bytes, method: bytes, target: bytes, minor: int) -> RequestHead:
    headers, refusal = read_request_fields(raw)
    if refusal is not None:
        _check_method(method, refusal)
    noted = note_fields(headers)
    host = host_field(noted, minor)
    content = declared_content(noted, minor)
    if refusal is not None:
        raise refuse_target(method, target) or BadRequest(f"Not a valid HTTP request: {refusal}.")
    if method == b"TRACE":
        raise ProxyError(Reason.METHOD, "TRACE is not served through this proxy.")
    if method == b"CONNECT":
        content = NO_CONTENT
    options = connection_options(noted)
    return RequestHead(
        method=method,
        target=target,
        minor=minor,
        headers=headers,
        host=host,
        connection=options,
        content=content,
        # RFC 9112 §9.3: a proxy must not keep a connection to an HTTP/1.0 client.
        keep_alive=minor == 1 and b"close" not in options,
        expect_continue=expects_continue(noted, minor, content),
        upgrade=b"websocket" if asks_for_websocket(method, minor, noted, content) else None,
        size_bytes=len(raw),
    )


def _judge_response(
    raw: bytes, status: int, phrase: bytes, request_method: bytes, minor: int
) -> ResponseHead:
    headers, refusal = read_response_fields(raw)
    noted = note_fields(headers)
    try:
        content = declared_content(noted, minor)
    except ProxyError as error:
        raise _invalid(error.detail) from None
    if refusal is not None:
        raise _invalid(refusal)
    options = connection_options(noted)
    if status == 101 and not names_websocket(noted):
        raise _invalid("it switches to a protocol that nobody asked for")
    keep_alive = minor == 1 and b"close" not in options
    if request_method == b"HEAD" or status < 200 or status in (204, 304):
        content = NO_CONTENT
    elif content.kind == "none":
        # Without a length the end is the close. A 205 has no content, so it is not waited for.
        keep_alive = False
        content = NO_CONTENT if status == 205 else UNTIL_CLOSE
    return ResponseHead(
        status=status,
        phrase=phrase,
        minor=minor,
        headers=headers,
        connection=options,
        content=content,
        keep_alive=keep_alive,
        size_bytes=len(raw),
    )


def _check_method(method: bytes, refusal: str) -> None:
    """Tell a method that llhttp does not know, or knows from other protocols, from other errors."""
    if not refusal.startswith(("Invalid method", "Expected space after method")):
        return
    if method.upper() == b"CONNECT":
        raise BadRequest("Methods are case-sensitive: write CONNECT.")
    raise ProxyError(Reason.METHOD_UNKNOWN, "The request method is not known here.")


def _unread(buffer: bytes | bytearray, start: int) -> int:
    """Where to go on reading lines: a CR that ended the earlier bytes still needs its LF."""
    return start - buffer.endswith(b"\r", 0, start)


def _check_target_size(buffer: bytes | bytearray, begin: int, line_end: int, limits: HeadLimits) -> None:
    space = buffer.find(b" ", begin, begin + grammar.MAX_METHOD_BYTES + 1)
    if space >= 0 and line_end - space - 1 - _VERSION_BYTES > limits.max_target_bytes:
        raise ProxyError(
            Reason.TARGET_TOO_LONG, f"The request target is longer than {limits.max_target_bytes} bytes."
        )


def _too_large(limits: HeadLimits) -> ProxyError:
    return ProxyError(
        Reason.HEAD_TOO_LARGE,
        f"The head is larger than {limits.max_head_bytes} bytes or has more than {limits.max_fields} fields.",
    )


def _invalid(what: str) -> ProxyError:
    return ProxyError(Reason.UPSTREAM_INVALID, f"The head of the origin's response is invalid: {what}")
