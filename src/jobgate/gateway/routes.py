"""Whether this network namespace has a way out besides its own loopback.

Reads the kernel's route tables. A job in such a namespace could go around its gate.
"""

from __future__ import annotations

from pathlib import Path

LOOPBACK = "lo"
REJECT_FLAG = 0x0200
"""``RTF_REJECT`` of linux/ipv6_route.h: an entry that says there is no way."""


def route_interfaces(ipv4: str, ipv6: str) -> list[str]:
    """The interfaces other than loopback that some route leads to.

    Args:
        ipv4: The text of ``/proc/net/route``: a head line, then interface, destination, gateway, flags, …
        ipv6: The text of ``/proc/net/ipv6_route``: … flags, interface in the last two columns.
    """
    rows = [(fields[0], fields[3]) for fields in map(str.split, ipv4.splitlines()[1:]) if len(fields) > 3]
    rows += [(fields[-1], fields[-2]) for fields in map(str.split, ipv6.splitlines()) if len(fields) > 9]
    names = {name for name, flags in rows if name != LOOPBACK and not int(flags, 16) & REJECT_FLAG}
    return sorted(names)


def own_families(proc: Path = Path("/proc/self/net")) -> tuple[list[str], list[str]]:
    """The same for the namespace of this process, by IPv4 and by IPv6, which a kernel may lack."""
    ipv4, ipv6 = (path.read_text() if path.exists() else "" for path in (proc / "route", proc / "ipv6_route"))
    return route_interfaces(ipv4, ""), route_interfaces("", ipv6)


def own_route_interfaces(proc: Path = Path("/proc/self/net")) -> list[str]:
    """The same for both families together."""
    return sorted(set().union(*own_families(proc)))


def is_machine(core: Path = Path("/proc/sys/net/core")) -> bool:
    """Whether this is the network namespace that the machine started with, and no container's.

    The kernel shows the settings of its own backlog there alone.
    """
    return (core / "netdev_max_backlog").exists()
