"""What jobgate itself answers: a reason to a complete response.

Heads are made of fixed texts and tokens; nothing of a client's input gets into one.
The reason stands in the reason phrase, too, which is all that wget, urllib, pip and
Java show.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from .decision import Decision, Target, explain
from .errors import BadRequest, ProxyError, Reason
from .head import RequestHead
from .headers import field_value


class _Answer(NamedTuple):
    """A status, its ``Proxy-Status`` error (RFC 9209 §2.3), and the text where an error brings none."""

    status: int
    error: str
    text: str


_PHRASES = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}

_DENIED = "http_request_denied"
_REQUEST_ERROR = "http_request_error"
_LIMIT = "connection_limit_reached"

_ANSWERS = {
    Reason.BAD_REQUEST: _Answer(400, _REQUEST_ERROR, "The request is not valid HTTP."),
    Reason.NOT_LISTED: _Answer(403, _DENIED, "This destination is not in the job's domains."),
    Reason.DENIED: _Answer(403, _DENIED, "This destination is in a deny list."),
    Reason.PORT: _Answer(403, _DENIED, "This port is not open for the job."),
    Reason.ADDRESS: _Answer(
        403, "destination_ip_prohibited", "This name leads only to addresses that no job may reach."
    ),
    Reason.SELF: _Answer(403, "proxy_loop_detected", "This address is the gate itself."),
    Reason.QUOTA: _Answer(403, _DENIED, "The job has used up its quota."),
    Reason.EXPIRED: _Answer(403, _DENIED, "The job's time is over."),
    Reason.UNKNOWN_JOB: _Answer(403, _DENIED, "There is no such job here, or no more."),
    Reason.AUTH: _Answer(407, _DENIED, "The request does not show whose it is."),
    Reason.METHOD: _Answer(405, _REQUEST_ERROR, "This method is not served through the gate."),
    Reason.METHOD_UNKNOWN: _Answer(501, _REQUEST_ERROR, "This method is not known."),
    Reason.TRANSFER_CODING: _Answer(501, _REQUEST_ERROR, "The only transfer coding understood is chunked."),
    Reason.VERSION: _Answer(505, _REQUEST_ERROR, "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    Reason.HEAD_TIMEOUT: _Answer(408, _REQUEST_ERROR, "The request head did not arrive in time."),
    Reason.HEAD_TOO_LARGE: _Answer(431, _REQUEST_ERROR, "The request head is too large."),
    Reason.TARGET_TOO_LONG: _Answer(414, _REQUEST_ERROR, "The request target is too long."),
    Reason.CONTENT_TOO_LARGE: _Answer(413, _REQUEST_ERROR, "The request's content is too large."),
    Reason.CONNECTIONS: _Answer(429, _LIMIT, "The job has too many connections open. Close some."),
    Reason.RATE: _Answer(429, _DENIED, "The job sends too many requests. Try again later."),
    Reason.OVERLOADED: _Answer(503, _LIMIT, "The gate has too many connections open. Try again later."),
    Reason.DRAINING: _Answer(503, _DENIED, "The gate is shutting down. Try again later."),
    Reason.INTERNAL: _Answer(500, "proxy_internal_error", "The gate failed; the failure was logged."),
    Reason.DNS_NXDOMAIN: _Answer(502, "dns_error", "The name does not exist."),
    Reason.DNS_FAILURE: _Answer(502, "dns_error", "The name could not be resolved."),
    Reason.DNS_TIMEOUT: _Answer(504, "dns_timeout", "The name was not resolved in time."),
    Reason.CONNECT_REFUSED: _Answer(502, "connection_refused", "The origin refused the connection."),
    Reason.CONNECT_UNREACHABLE: _Answer(502, "destination_ip_unroutable", "The origin cannot be reached."),
    Reason.CONNECT_TIMEOUT: _Answer(504, "connection_timeout", "The origin did not accept in time."),
    Reason.UPSTREAM_CLOSED: _Answer(502, "http_response_incomplete", "The origin closed without an answer."),
    Reason.UPSTREAM_INVALID: _Answer(502, "http_protocol_error", "The origin's answer is not valid HTTP."),
    Reason.UPSTREAM_TIMEOUT: _Answer(504, "connection_read_timeout", "The origin did not answer in time."),
}

#: RFC 9110 §10.2.1; TRACE is the one registered method that is refused.
_ALLOW = "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT\r\n"
#: RFC 9110 §11.7.1, RFC 7617 §2: what a client has to be told to send credentials, or other ones.
_CHALLENGE = 'Proxy-Authenticate: Basic realm="jobgate"\r\n'
#: After these nothing else is served on the connection.
_LAST = frozenset((Reason.BAD_REQUEST, Reason.INTERNAL, Reason.DRAINING, Reason.UNKNOWN_JOB))
_WEIGHT_ZERO = re.compile(rb"q=0(?:\.0{0,3})?")


def status_of(reason: Reason) -> int:
    """Return the status that answers a reason.

    Raises:
        KeyError: The reason ends an exchange without an answer.
    """
    return _ANSWERS[reason].status


def refusal(decision: Decision, target: Target) -> ProxyError:
    """Make the error of a decision that refused.

    Raises:
        ValueError: It allowed.
    """
    if decision.reason is None:
        raise ValueError("the decision allows the target")
    return ProxyError(decision.reason, explain(decision, target))


def reply(error: ProxyError, request: RequestHead | None, *, close: bool, note: str) -> bytes:
    """Write the complete response to a request that goes no further.

    The body says what to do: as text, or as JSON where ``Accept`` names it. HEAD gets
    the head alone.

    Args:
        request: ``None`` where no head could be parsed.
        close: Say that the connection ends.
        note: Whom to ask, from the node's configuration; added to the body once.

    Source: RFC 9110 §15.5 and §15.6, RFC 9209 §2.
    """
    answer = _ANSWERS[error.reason]
    token = error.reason.token
    detail = error.detail or answer.text
    as_json = request is not None and _accepts_json(field_value(request.headers, b"accept"))
    fields = (
        f'X-Jobgate-Reason: {token}\r\nProxy-Status: jobgate; error={answer.error}; details="{token}"\r\n'
    )
    if answer.status == 405:
        fields += _ALLOW
    if answer.status == 407:
        fields += _CHALLENGE
    if answer.status in (429, 503):
        fields += f"Retry-After: {max(1, math.ceil(error.retry_after_s))}\r\n"
    if as_json:
        values = {"status": answer.status, "reason": token, "detail": detail, "note": note}
        body = _json({name: value for name, value in values.items() if value != ""})
    else:
        body = "".join(f"{line}\n" for line in (detail, note) if line).encode("utf-8", "backslashreplace")
    phrase = f"{_PHRASES[answer.status]} (jobgate: {token})"
    head = _head(answer.status, phrase, fields, body, as_json=as_json, close=close)
    return head if request is not None and request.method == b"HEAD" else head + body


def may_follow(error: ProxyError, request: RequestHead) -> bool:
    """Say whether another request may follow a refused one, of which nothing is left to read."""
    return (
        request.keep_alive
        and request.method != b"CONNECT"
        and request.content.kind == "none"
        and error.reason not in _LAST
    )


def own_page(
    request: RequestHead, path: bytes, denials: Iterable[Mapping[str, object]]
) -> Callable[..., bytes]:
    """Find the writer of what a job asks the gate itself for: its own recent refusals.

    Raises:
        BadRequest: It asks for anything else.
    """
    if request.method != b"GET" or path != b"/denials":
        raise BadRequest('This name serves only "GET http://jobgate.internal/denials".')
    return partial(denials_reply, denials)


def denials_reply(denials: Iterable[Mapping[str, object]], *, close: bool) -> bytes:
    """Write the response that tells a job its own recent refusals, as a JSON list."""
    body = _json(list(denials))
    return _head(200, _PHRASES[200], "", body, as_json=True, close=close) + body


def options_reply(*, close: bool) -> bytes:
    """Write the response to OPTIONS with ``Max-Forwards: 0``, which the gate answers itself.

    Source: RFC 9110 §7.6.2, §9.3.7.
    """
    return _head(200, _PHRASES[200], _ALLOW, b"", as_json=False, close=close)


def _json(value: object) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"


def _head(status: int, phrase: str, fields: str, body: bytes, *, as_json: bool, close: bool) -> bytes:
    media_type = "application/json" if as_json else "text/plain; charset=utf-8"
    connection = "Connection: close\r\n" if close else ""
    return (
        f"HTTP/1.1 {status} {phrase}\r\n"
        f"{fields}"
        f"Content-Type: {media_type}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{connection}"
        "\r\n"
    ).encode("ascii")


def _accepts_json(accept: bytes) -> bool:
    """Say whether ``Accept`` names JSON itself; wildcards ask for nothing special."""
    for media_range in accept.lower().split(b","):
        media_type, *parameters = (part.strip(b" \t") for part in media_range.split(b";"))
        if media_type == b"application/json":
            return not any(_WEIGHT_ZERO.fullmatch(parameter) for parameter in parameters)
    return False
