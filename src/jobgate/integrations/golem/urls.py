"""The URLs of a manifest or a certificate: what of them is compared, and the entry that opens one. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from jobgate.config.host import Host, HostError, host_text, parse_authority, parse_port, parse_rule_host
from jobgate.config.rule import Rule, quoted

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_OUTSIDE = re.compile(r"[\x00-\x20\x7f\\]")


class UrlError(ValueError):
    """Not a URL that a job can be given; the message quotes it."""


class OutboundUrl(NamedTuple):
    """One URL.

    Attributes:
        rule: The host on the one port that the URL means.
        text: The URL in the form in which two are compared: host in lower case and ASCII, the
            default port left out, ``/`` for an empty path.
    """

    rule: Rule
    text: str


def parse_url(text: str) -> OutboundUrl:
    """Read a URL.

    Raises:
        UrlError: Another scheme than http, https, ws and wss; no host; credentials; a bad port.
    """
    match = _SCHEME.fullmatch(text)
    if match is None or _OUTSIDE.search(text):
        raise UrlError(f"{quoted(text)}: no URL: write https://host/")
    scheme = match["scheme"].lower()
    if scheme not in _PORTS:
        raise UrlError(f"{quoted(text)}: only http, https, ws and wss can be reached")
    authority = re.split(r"[/?#]", match["rest"], maxsplit=1)[0]
    if "@" in authority:
        raise UrlError(f"{quoted(text)}: credentials do not belong into the URL")
    host, port_number = _host_and_port(authority, _PORTS[scheme], text)
    rule = Rule(host, port=port_number)
    port = "" if rule.port == _PORTS[scheme] else f":{rule.port}"
    path = match["rest"][len(authority) :].partition("#")[0]
    slash = "" if path.startswith("/") else "/"
    return OutboundUrl(rule, f"{scheme}://{host_text(host)}{port}{slash}{path}")


def _host_and_port(authority: str, default_port: int, text: str) -> tuple[Host, int]:
    try:
        if authority.isascii():
            host, port = parse_authority(authority.encode("ascii"), default_port)
        else:
            name, colon, digits = authority.partition(":")
            host, port = parse_rule_host(name), parse_port(digits.encode()) if colon else default_port
    except HostError as error:
        raise UrlError(f"{quoted(text)}: {error}") from None
    return host, port
