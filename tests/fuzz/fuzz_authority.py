"""Hosts, authorities and request targets: one canonical form, and no second reading."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

from jobgate.config.host import (
    Authority,
    Host,
    HostError,
    Name,
    host_text,
    parse_authority,
    parse_host,
)
from jobgate.proxy.errors import BadRequest
from jobgate.proxy.target import Absolute, parse_absolute, parse_connect

WORDS = (
    b"[::1]", b"[2001:db8::1]", b"[::ffff:127.0.0.1]", b"127.0.0.1", b"0x7f.1", b"0177.0.0.1",
    b"2130706433", b"http://", b"https://", b"ok.test", b"xn--", b":80", b":443", b":65536", b"user@",
    b"%25", b"%00", b"..", b"//", b"\\", b"\xe2\x84\xaa", b"#", b"?",
)  # fmt: skip

_CANONICAL = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_PRINTABLE = re.compile(rb"[!-~]*")


def TestOneInput(data: bytes) -> None:
    """Read the bytes as a host, as an authority and as both forms of target."""
    host = host_or_none(data)
    if host is not None:
        check_host(host, data)
    authority = authority_or_none(data)
    check_connect(data, authority)
    absolute = absolute_or_none(data)
    if absolute is not None:
        check_absolute(data, absolute)
    check_absolute_agrees(data)


def host_or_none(raw: bytes) -> Host | None:
    try:
        return parse_host(raw)
    except HostError:
        return None


def authority_or_none(raw: bytes, default_port: int | None = None) -> Authority | None:
    try:
        return parse_authority(raw, default_port)
    except HostError:
        return None


def absolute_or_none(raw: bytes) -> Absolute | None:
    try:
        return parse_absolute(raw)
    except BadRequest:
        return None


def check_host(host: Host, raw: bytes) -> None:
    """The canonical text reads as the same host, and nobody takes a name for a number."""
    assert parse_host(host_text(host).encode("ascii")) == host, "the round trip ends elsewhere"
    if isinstance(host, Name):
        assert _CANONICAL.fullmatch(host), "not canonical"
        assert len(host) <= 253, "too long for the DNS"
        assert raw.lower() in (host.encode(), host.encode() + b"."), "something was repaired"
        assert not is_number(host), "inet_aton takes this name for an address"


def is_number(text: str) -> bool:
    """Whether the C library reads a text as an IPv4 address."""
    try:
        socket.inet_aton(text)
    except OSError:
        return False
    return True


def check_connect(raw: bytes, authority: Authority | None) -> None:
    """CONNECT takes exactly the authorities with a port, and they are read as urllib does."""
    try:
        target = parse_connect(raw)
    except BadRequest:
        assert authority is None, "CONNECT refuses an authority"
        return
    assert target == authority, "CONNECT reads another authority"
    assert parse_connect(str(target).encode("ascii")) == target, "the round trip ends elsewhere"
    check_like_urllib(b"http://" + raw, target)


def check_absolute(raw: bytes, absolute: Absolute) -> None:
    """The path is cut off byte for byte, and the rest says the same when written canonically."""
    assert absolute.path[:1] in (b"", b"/", b"?"), "the path begins with something else"
    assert raw.endswith(absolute.path), "the path is not what was sent"
    rewritten = b"http://" + str(absolute.authority).encode("ascii") + absolute.path
    assert parse_absolute(rewritten) == absolute, "the round trip ends elsewhere"
    if _PRINTABLE.fullmatch(raw):  # the grammar of request lines lets nothing else through
        check_like_urllib(raw, absolute.authority)


def check_absolute_agrees(raw: bytes) -> None:
    """As the host of a URL an authority means what it means alone, with port 80 if it has none."""
    if re.search(rb"[/?#]", raw):
        return
    absolute = absolute_or_none(b"http://" + raw + b"/x")
    expected = authority_or_none(raw, 80)
    assert (absolute and absolute.authority) == expected, "a URL names another host"


def check_like_urllib(url: bytes, authority: Authority) -> None:
    """Another parser, a lenient one, finds the same host and the same port."""
    split = urlsplit(url.decode("ascii"))
    found = (split.hostname or "").removesuffix(".")
    if isinstance(authority.host, Name):
        assert found == authority.host, "urllib finds another host"
    else:
        assert parse_host(f"[{found}]".encode() if ":" in found else found.encode()) == authority.host
    assert (split.port or 80) == authority.port, "urllib finds another port"
