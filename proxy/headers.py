"""Heads as they go on: rebuilt from parsed values, never copied from the wire.

Hop-by-hop fields and those that ``Connection`` names end here, in both directions;
``Host`` and the framing are always our own, whatever ``Connection`` names. Every name
and value comes from a head that the grammar accepted, so that none can hold a line
end. No ``X-Forwarded-For`` is ever added.
"""

from __future__ import annotations

from functools import lru_cache

from jobgate.config.host import Authority, host_text

from .framing import Content, FieldNames, Headers
from .head import RequestHead, ResponseHead

# RFC 9110 §7.6.1, RFC 9112 appendix C.2.2. Content-Length is made anew from the parsed head,
# Trailer has lost its meaning because trailers are dropped, HTTP2-Settings goes with h2c.
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"content-length",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_REQUEST_DROPS = _HOP_BY_HOP | {b"host"}
#: Credentials for this proxy and challenges of another one (RFC 9110 §11.7).
_PROXY_AUTH = b"proxy-auth"
#: Only jobgate speaks in these fields.
_OWN_PREFIX = b"x-jobgate-"
#: What never goes on, by its name as sent.
_REQUEST_NAMES = FieldNames(_REQUEST_DROPS, (_PROXY_AUTH,))
_RESPONSE_NAMES = FieldNames(_HOP_BY_HOP, (_PROXY_AUTH, _OWN_PREFIX))
_NOTHING_MORE: frozenset[bytes] = frozenset()
_WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket"
_CLOSE = b"Connection: close"
_CHUNKED = b"Transfer-Encoding: chunked"
_HTTP_PORT = 80
# More digits are no sensible number of proxies, and int() of them is not free.
_MAX_FORWARDS_DIGITS = 9


def request_head_bytes(
    head: RequestHead,
    path: bytes,
    authority: Authority,
    *,
    via: bytes,
    job_header: tuple[bytes, bytes] | None = None,
    close: bool = False,
) -> bytes:
    """Write the head of a request for the upstream, in origin-form: its line, then its fields."""
    fields = origin_fields(head, authority, via=via, job_header=job_header, close=close)
    return origin_line(head.method, path) + fields


def origin_line(method: bytes, path: bytes) -> bytes:
    """Write the request line.

    An empty path becomes ``/``, or ``*`` for OPTIONS without a query.

    Args:
        path: Path and query, byte for byte as the client sent them.

    Source: RFC 9112 §3.2.1, §3.2.4.
    """
    if path[:1] != b"/":
        path = b"*" if not path and method == b"OPTIONS" else b"/" + path
    return b"".join((method, b" ", path, b" HTTP/1.1\r\n"))


def origin_fields(
    head: RequestHead,
    authority: Authority,
    *,
    via: bytes,
    job_header: tuple[bytes, bytes] | None = None,
    close: bool = False,
) -> bytes:
    """Write all fields of a request for the upstream, and the blank line; its target is not looked at.

    Args:
        authority: Of the request target; ``Host`` says this and nothing else.
        via: Pseudonym; empty leaves ``Via`` out.
        job_header: Name and value to set; the client's copies are removed.
        close: Ask the upstream to close after its response.

    Source: RFC 9112 §3.2.2; RFC 9110 §7.6.
    """
    # Those of hop-by-hop fields, which most options are, end here anyway.
    drops = head.connection - _REQUEST_DROPS if head.connection else _NOTHING_MORE
    if not head.minor:  # RFC 9110 §10.1.1: an expectation of an HTTP/1.0 client is ignored.
        drops |= {b"expect"}
    if job_header is not None:
        drops |= {job_header[0].lower()}
    fields = head.headers
    if head.method == b"OPTIONS":
        fields = [
            (name, _one_less(value) if name.lower() == b"max-forwards" else value) for name, value in fields
        ]
    lines = [_host_line(authority), *_passed_on(fields, _REQUEST_NAMES, drops)]
    if via:
        lines.append(_via_line(head.minor, via))
    if job_header is not None:
        lines.append(b"%b: %b" % job_header)
    if head.content.kind != "none":
        lines.append(_framing(head.content))
    if head.upgrade is not None:
        lines.append(_WEBSOCKET)
    elif close:
        lines.append(_CLOSE)
    return _block(lines)


def response_head_bytes(head: ResponseHead, *, client_minor: int, close: bool, via: bytes) -> bytes:
    """Write the head of a response for the client.

    A chunked response goes to an HTTP/1.0 client without framing, which with
    ``close`` is delimited by the end of the connection. Responses to HEAD and 304
    keep the length they speak of; 1xx and 204 have none.

    Args:
        client_minor: Minor version of the request.
        close: Say that the connection ends after this response; required where the
            end delimits the content.
        via: Pseudonym; empty leaves ``Via`` out.

    Source: RFC 9112 §4, §6, §9.6; RFC 9110 §7.6, §8.6.
    """
    return response_block(head, response_lines(head), client_minor=client_minor, close=close, via=via)


def response_lines(head: ResponseHead) -> list[bytes | None]:
    """Write the status line and each field of a response for the client; ``None``: it does not go on."""
    drops = head.connection - _HOP_BY_HOP if head.connection else _NOTHING_MORE
    fields = [
        None
        if _RESPONSE_NAMES[name] is not None or (drops and name.lower() in drops)
        else name + b": " + value
        for name, value in head.headers
    ]
    return [b"HTTP/1.1 %d %b" % (head.status, head.phrase), *fields]


def response_block(
    head: ResponseHead, lines: list[bytes | None], *, client_minor: int, close: bool, via: bytes
) -> bytes:
    """Write the head of a response, as ``response_head_bytes``, from ``response_lines``."""
    block = [*filter(None, lines)]
    if via:
        block.append(_via_line(head.minor, via))
    if head.content.kind != "chunked" or client_minor:
        framing = _response_framing(head)
        if framing:
            block.append(framing)
    if head.status == 101:
        block.append(_WEBSOCKET)
    elif close and head.status >= 200:
        block.append(_CLOSE)
    return _block(block)


def field_value(headers: Headers, name: bytes) -> bytes:
    """Join the values of a field; ``name`` is lower-case.

    Source: RFC 9110 §5.3.
    """
    return b", ".join(value for key, value in headers if key.lower() == name)


def max_forwards(head: RequestHead) -> int | None:
    """Read how far an OPTIONS request may go; 0 is answered here. ``None``: no bound.

    Source: RFC 9110 §7.6.2.
    """
    if head.method != b"OPTIONS":
        return None
    values = [value for key, value in head.headers if key.lower() == b"max-forwards" and _is_count(value)]
    return min(map(int, values), default=None)


def _block(lines: list[bytes]) -> bytes:
    """End each line, and the head by an empty one."""
    lines += (b"", b"")
    return b"\r\n".join(lines)


def _passed_on(fields: Headers, names: FieldNames, drops: frozenset[bytes]) -> list[bytes]:
    """Write the fields that go on, each as a line."""
    if drops:
        fields = [field for field in fields if field[0].lower() not in drops]
    return [b": ".join(field) for field in fields if names[field[0]] is None]


# Jobs talk to few hosts again and again.
@lru_cache(maxsize=1024)
def _host_line(authority: Authority) -> bytes:
    host = host_text(authority.host) if authority.port == _HTTP_PORT else str(authority)
    return b"Host: %b" % host.encode("ascii")


@lru_cache(maxsize=16)
def _via_line(minor: int, via: bytes) -> bytes:
    return b"Via: 1.%d %b" % (minor, via)


def _framing(content: Content) -> bytes:
    if content.kind == "length":
        return b"Content-Length: %d" % content.length
    return _CHUNKED if content.kind == "chunked" else b""


def _response_framing(head: ResponseHead) -> bytes:
    if head.content.kind != "none" or head.status < 200 or head.status == 204:
        return _framing(head.content)
    if head.status == 205:
        return b"Content-Length: 0"
    length = field_value(head.headers, b"content-length")
    return b"Content-Length: %b" % length if length else b""


def _is_count(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _MAX_FORWARDS_DIGITS


def _one_less(value: bytes) -> bytes:
    return b"%d" % max(0, int(value) - 1) if _is_count(value) else value
