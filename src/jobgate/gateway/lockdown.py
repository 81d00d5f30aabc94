"""Whether a lockdown is in force in this network namespace: asked of the kernel, by sending.

No right is needed. A datagram that the packet filter refuses fails at once with EPERM,
before it is on any wire; the network itself never answers so. A process of another user
than the gate just sends. The gate, which may go out, sends twice: once as itself, once from
a socket that gives up its exemption (``PROBE_PRIORITY``). Only the lockdown's own rules, for
this very user, tell the two apart; another firewall, or a filter of the control group, does not.

What cannot be seen so: packet sockets (they need CAP_NET_RAW), and rules that somebody with
CAP_NET_ADMIN has made to look like these.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from .lockdown_rules import PROBE_PRIORITY
from .routes import own_families

_DISCARD = 9
# Should a datagram get out, it goes to nobody, and no further than the first router.
_HOPS = 1
_NOBODY4 = "192.0.2.1"
"""TEST-NET-1 (RFC 5737)."""
_NOBODY6 = "ff12::db8"
"""A transient group of the link that nobody has joined (RFC 4291 §2.7)."""
_SOURCE6 = "2001:db8::1"
"""No address of ours (RFC 3849). An interface that has just come up has none yet that may be used."""
_IPV6_FREEBIND = 78
"""linux/in6.h; any user may bind so."""


class Way(NamedTuple):
    """A way out: an interface, and ``AF_INET`` or ``AF_INET6``."""

    interface: str
    family: int

    def __str__(self) -> str:
        return f"{self.interface} ({'IPv4' if self.family == socket.AF_INET else 'IPv6'})"


Send = Callable[[Way, bool], int]


def own_ways() -> list[Way]:
    """Every interface of this namespace with a route, once for each family that has one."""
    families = own_families()
    return [
        Way(interface, family)
        for family, interfaces in zip((socket.AF_INET, socket.AF_INET6), families, strict=True)
        for interface in interfaces
    ]


def send(way: Way, exempt: bool) -> int:
    """Send an empty datagram to nobody; return 0, or the ``errno`` that the kernel answered.

    Args:
        way: Where it must go out.
        exempt: Whether the socket keeps the exemption that its user may have.

    Raises:
        OSError: There can be no such socket here.
    """
    with socket.socket(way.family, socket.SOCK_DGRAM) as sock:
        # Bound to a device, even a namespace without a default route has a way to that address.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, way.interface.encode())
        if not exempt:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PROBE_PRIORITY)
        sock.setblocking(False)
        if way.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _HOPS)
            target: tuple[str, int] | tuple[str, int, int, int] = (_NOBODY4, _DISCARD)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            sock.bind((_SOURCE6, 0))
            target = (_NOBODY6, _DISCARD, 0, socket.if_nametoindex(way.interface))
        try:
            sock.sendto(b"", target)
        except OSError as error:
            return error.errno or errno.EIO
    return 0


def missing(uid: int, ways: list[Way] | None = None, ask: Send = send) -> str:
    """Say why no lockdown that lets only ``uid`` out is known to be in force; ``""`` where one is.

    Args:
        uid: The gate's. Where it is this process's own, both answers are asked for.
        ways: Ways out to ask about; ``None``: all of this namespace.
        ask: Sends.
    """
    ways = own_ways() if ways is None else ways
    if not ways:
        return "there is no route to ask about"
    gate = uid == os.geteuid()
    try:
        return next(filter(None, (_open(way, gate, ask) for way in ways)), "")
    except OSError as error:
        return f"the kernel cannot be asked: {error.strerror or error}"


def _open(way: Way, gate: bool, ask: Send) -> str:
    answer = ask(way, not gate)
    if answer == 0:
        return f"{way} is open to every user"
    if answer != errno.EPERM:
        return f"{way} cannot be asked: {os.strerror(answer)}"
    if gate and ask(way, True) == errno.EPERM:
        return f"{way} is closed to the gate, too: the rules are for another uid than {os.geteuid()}"
    return ""
