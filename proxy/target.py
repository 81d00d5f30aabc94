"""Request targets to an authority and a path (RFC 9112 §3.2).

The forms a forward proxy accepts: authority-form with CONNECT, absolute-form with
``http://``. Inside a tunnel that is read as plain HTTP, origin-form. Everything is
judged on bytes; paths and queries stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from jobgate.config.host import Authority, HostError, parse_authority

from .decision import Kind, Target
from .errors import BadRequest, ProxyError, Reason

if TYPE_CHECKING:
    from .exchange import Exchange
    from .head import RequestHead

#: Scheme, authority, path with query; what is left would be a fragment.
_ABSOLUTE = re.compile(rb"(?i:http)://([^/?#]*+)([^#]*+)")
_HTTP_PORT = 80


class Absolute(NamedTuple):
    """An absolute-form target: where to, and what is left as origin-form.

    ``path`` is byte for byte as sent, the query included; empty if there is neither.
    """

    authority: Authority
    path: bytes


def parse_connect(target: bytes) -> Authority:
    """Read the target of CONNECT: ``host:port``, the port is required.

    Raises:
        BadRequest: Anything else (400).

    Source: RFC 9112 §3.2.3, RFC 9110 §9.3.6.
    """
    if b"/" in target:
        raise BadRequest('The target of CONNECT is "host:port", without scheme and path.')
    try:
        return parse_authority(target, None)
    except HostError as error:
        raise BadRequest(f"The target of CONNECT is invalid: {error}.") from None


def parse_absolute(target: bytes) -> Absolute:
    """Read an absolute-form target with scheme ``http``.

    The authority ends at the first ``/`` or ``?``; a missing or empty port is 80.

    Raises:
        BadRequest: Another form or scheme, userinfo, a fragment, or an invalid host (400).

    Source: RFC 9112 §3.2.2, RFC 9110 §4.2.1 and §4.2.4, RFC 3986 §3.2.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        if target[:7].lower() == b"http://":
            raise BadRequest("A request target has no fragment: leave out everything from the # on.")
        raise BadRequest(_form_hint(target))
    authority, path = match.groups()
    try:
        return Absolute(parse_authority(authority, _HTTP_PORT), path)
    except HostError as error:
        raise BadRequest(f"The host of the URL is invalid: {error}.") from None


def parse_origin(target: bytes) -> bytes:
    """Read an origin-form target: what a client sends inside a tunnel.

    Raises:
        BadRequest: Not an absolute path (400).

    Source: RFC 9112 §3.2.1.
    """
    if target[:1] != b"/" or b"#" in target:
        raise BadRequest('Inside this tunnel a request target is a path, as in "GET /index.html".')
    return target


def asked(request: RequestHead, exchange: Exchange, inside: Authority | None) -> tuple[Target, bytes]:
    """Read whom a request asks for, and the path to ask for: empty for CONNECT.

    Args:
        exchange: Notes it, even where the path is refused.
        inside: Whom a CONNECT has asked for that the request came in, as plain HTTP.

    Raises:
        ProxyError: ``not-http``: inside it is another CONNECT, or asks for another host.
        BadRequest: The target is not of the form that it has to be (400).
    """
    if request.asked is not None and inside is None:
        exchange.method, exchange.target = "CONNECT", request.asked
        return request.asked, b""
    if inside is not None:
        target = exchange.asks(Kind.HTTP, request.method, inside)
        if request.method == b"CONNECT" or request.host != inside:
            raise ProxyError(Reason.NOT_HTTP)
        return target, parse_origin(request.target)
    if request.method == b"CONNECT":
        return exchange.asks(Kind.CONNECT, request.method, parse_connect(request.target)), b""
    authority, path = parse_absolute(request.target)
    return exchange.asks(Kind.HTTP, request.method, authority), path


def refuse_target(method: bytes, target: bytes) -> BadRequest | None:
    """Say what is wrong with the target of a proxy request; ``None`` if nothing is."""
    try:
        if method == b"CONNECT":
            parse_connect(target)
        else:
            parse_absolute(target)
    except BadRequest as error:
        return error
    return None


def _form_hint(target: bytes) -> str:
    """Say what to write instead of a target that does not begin with ``http://``."""
    if target[:8].lower() == b"https://":
        return "An https:// URL is reached with CONNECT, not with GET: set https_proxy to this proxy."
    if target[:1] == b"/":
        return 'This is a forward proxy and no web server: the target is a URL, as in "GET http://host/path".'
    if target == b"*":
        return 'The target "*" asks the proxy itself, which serves nothing.'
    if b"://" in target:
        return "Only http:// URLs are served, and CONNECT for everything in TLS."
    return 'The request target is not a URL, as in "http://host/path".'
