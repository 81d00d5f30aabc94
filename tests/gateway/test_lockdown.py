from __future__ import annotations

import errno
import os
import socket
import sys

import pytest

from jobgate.gateway.lockdown import Send, Way, missing, own_ways, send
from support.netns import connect, namespace, needs_namespaces

V4, V6 = Way("eth0", socket.AF_INET), Way("eth0", socket.AF_INET6)
US, ANOTHER = os.geteuid(), os.geteuid() + 1
CLOSED = f"eth0 (IPv4) is closed to the gate, too: the rules are for another uid than {US}"
SENT, REFUSED, UNREACHABLE = 0, errno.EPERM, errno.ENETUNREACH


def kernel(plain: int, probe: int) -> Send:
    """One that answers a socket with its exemption, and one without."""
    return lambda way, exempt: plain if exempt else probe


@pytest.mark.parametrize(
    ("plain", "probe", "why"),
    [
        (SENT, REFUSED, ""),
        (UNREACHABLE, REFUSED, ""),
        (SENT, SENT, "eth0 (IPv4) is open to every user"),
        (REFUSED, SENT, "eth0 (IPv4) is open to every user"),
        (
            REFUSED,
            REFUSED,
            f"eth0 (IPv4) is closed to the gate, too: the rules are for another uid than {US}",
        ),
        (SENT, UNREACHABLE, "eth0 (IPv4) cannot be asked: Network is unreachable"),
    ],
    ids=["in force", "in force, no route", "open", "the wrong way round", "another's", "unreachable"],
)
def test_gate_asks_with_both_sockets(plain: int, probe: int, why: str) -> None:
    assert missing(US, [V4], kernel(plain, probe)) == why


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (REFUSED, ""),
        (SENT, "eth0 (IPv4) is open to every user"),
        (errno.ENETDOWN, "eth0 (IPv4) cannot be asked: Network is down"),
    ],
    ids=["in force", "open", "down"],
)
def test_others_ask_as_they_are(plain: int, why: str) -> None:
    assert missing(ANOTHER, [V4], kernel(plain, errno.EIO)) == why


def test_one_way_that_is_open_is_enough() -> None:
    assert missing(ANOTHER, [V4, V6], lambda way, exempt: SENT if way == V6 else REFUSED) == (
        "eth0 (IPv6) is open to every user"
    )


def test_what_cannot_be_asked_is_no_lockdown() -> None:
    def fails(way: Way, exempt: bool) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    assert missing(US, [V4], fails) == "the kernel cannot be asked: Operation not permitted"
    assert missing(US, [], fails) == "there is no route to ask about"


def test_interface_that_is_gone_is_an_error_and_no_refusal() -> None:
    with pytest.raises(OSError, match="No such device"):
        send(Way("no-such-device0", socket.AF_INET), True)


@needs_namespaces
def test_ways_are_families_with_a_route_and_each_can_be_asked() -> None:
    """At once: the IPv6 address of the interface is still being looked for on the link."""
    program = (
        "from jobgate.gateway.lockdown import own_ways, send\n"
        "print([(str(way), send(way, True), send(way, False)) for way in own_ways()])"
    )
    with namespace() as one, namespace() as other:
        connect(one, "192.0.2.5/24", other, "192.0.2.6/24", "some0")
        printed = one.run(sys.executable, "-c", program)
    assert printed == "[('some0 (IPv4)', 0, 0), ('some0 (IPv6)', 0, 0)]\n"


def test_own_ways_leave_loopback_out() -> None:
    assert "lo" not in {way.interface for way in own_ways()}
