"""The packet filter of a namespace that a job shares with its gate: one user may go out, nobody else.

Text for ``nft -f``: one transaction, which replaces what an earlier one has left.
Nothing here touches the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jobgate.config.endpoints import Endpoint

TABLE = "jobgate"

PROBE_PRIORITY = 5
"""``SO_PRIORITY`` of a socket that gives up the gate's exemption.

So the gate, which has no right to read the rules and no socket of another user, can still ask
what happens to everybody else. Any user may set 0 to 6 (socket(7)); Linux itself makes
0, 2, 4, 6 and 7 of types of service, and nobody uses 5.
"""

#: ``(uid_t) -1`` is no user. The range holds for every packet that some process's socket sent; what the
#: kernel sends for itself, or for a socket that its process has closed, has no user and no match.
_ANYBODY = "meta skuid 0-4294967294"
_NEIGHBOURS_OUT = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report"
_NEIGHBOURS_IN = "nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert"

_INET = """\
table inet {table}
delete table inet {table}
table inet {table} {{
    chain refuse {{
        meta l4proto tcp counter reject with tcp reset comment "refused, TCP"
        counter reject with icmpx admin-prohibited comment "refused, all else"
    }}
    chain loopback {{
        {listener}
        goto refuse
    }}
    chain output {{
        type filter hook output priority filter; policy drop;
        {strict}
        oifname "lo" accept
        meta skuid {uid} meta priority != 0:{priority} counter accept comment "the gate"
        {anybody} goto refuse
        ct state established,related counter accept comment "the last packets of sockets that the gate closed"
        icmpv6 type {{ {neighbours_out} }} accept
        counter drop comment "of nobody"
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state established,related accept
        icmpv6 type {{ {neighbours_in} }} accept
        counter drop comment "not asked for"
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
    }}
}}
table netdev {table}
delete table netdev {table}
"""

# Packet sockets pass by the hooks of IP. ARP, of the kernel's own, has no user.
_NETDEV = """\
table netdev {table} {{
    chain egress {{
        type filter hook egress devices = {{ {devices} }} priority filter; policy accept;
        meta skuid {uid} meta priority != 0:{priority} accept
        {anybody} counter drop comment "refused, past IP"
    }}
}}
"""


def ruleset(uid: int, interfaces: Sequence[str], listen: Endpoint | None = None) -> str:
    """Write the rules under which only the sockets of one user reach anything but loopback.

    Args:
        uid: The gate's.
        interfaces: Those besides loopback, to close them to packet sockets, too; empty: leave that out.
        listen: The only place on loopback that others than the gate may dial; ``None``: loopback
            is open.

    Raises:
        ValueError: An interface has a name that cannot be written.
    """
    values = {
        "table": TABLE,
        "uid": uid,
        "priority": PROBE_PRIORITY,
        "anybody": _ANYBODY,
        "neighbours_out": _NEIGHBOURS_OUT,
        "neighbours_in": _NEIGHBOURS_IN,
        "listener": "" if listen is None else f"{_to(listen)} accept",
        "strict": "" if listen is None else f'oifname "lo" {_ANYBODY} meta skuid != {uid} goto loopback',
        "devices": ", ".join(map(_quoted, interfaces)),
    }
    return _INET.format(**values) + (_NETDEV.format(**values) if interfaces else "")


def _to(listen: Endpoint) -> str:
    family = "ip" if listen.address.version == 4 else "ip6"
    return f"{family} daddr {listen.address} tcp dport {listen.port}"


def _quoted(interface: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.@-]+", interface):
        raise ValueError(f"cannot write rules for the interface {interface!r}")
    return f'"{interface}"'
