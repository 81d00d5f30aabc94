"""Which IP addresses may be dialled: an own table of both families, and the node's exceptions.

Only globally reachable unicast is ``PUBLIC``; everything else has a class whose
name goes to the log. ``ipaddress.is_global`` is not used: it is wrong for many of
these ranges and differs between Python versions. Addresses that the gate itself
listens on are not known here (``self`` is the gate's own check).

Source: IANA IPv4 and IPv6 Special-Purpose Address Registries, RFC 6890, RFC 6052.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_network

from jobgate.config.host import Address
from jobgate.config.policy import AddressRule, NodePolicy


class AddressClass(StrEnum):
    """What an address is for; ``PUBLIC`` alone is dialled without an exception."""

    PUBLIC = "public"
    UNSPECIFIED = "unspecified"
    THIS_NETWORK = "this-network"
    PRIVATE = "private"
    SHARED = "shared"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    SITE_LOCAL = "site-local"
    METADATA = "metadata"
    PROTOCOL = "protocol-assignment"
    DOCUMENTATION = "documentation"
    BENCHMARKING = "benchmarking"
    RELAY = "6to4-relay"
    MULTICAST = "multicast"
    RESERVED = "reserved"
    BROADCAST = "broadcast"
    MAPPED = "ipv4-mapped"
    COMPATIBLE = "ipv4-compatible"
    TRANSLATED = "ipv4-translated"
    NAT64 = "nat64"
    LOCAL_NAT64 = "local-nat64"
    DISCARD = "discard"
    TEREDO = "teredo"
    SIX_TO_FOUR = "6to4"
    SEGMENT_ROUTING = "segment-routing"
    UNALLOCATED = "unallocated"
    DENIED = "denied"  # in the node's deny_addresses


# The most specific range that holds an address decides.
IPV4_RANGES: tuple[tuple[str, AddressClass], ...] = (
    ("0.0.0.0/0", AddressClass.PUBLIC),
    ("0.0.0.0/8", AddressClass.THIS_NETWORK),  # 0.0.0.0 reaches the host itself
    ("10.0.0.0/8", AddressClass.PRIVATE),
    ("100.64.0.0/10", AddressClass.SHARED),
    ("100.100.100.200/32", AddressClass.METADATA),  # Alibaba Cloud
    ("127.0.0.0/8", AddressClass.LOOPBACK),
    ("168.63.129.16/32", AddressClass.METADATA),  # Azure WireServer; public by the registry
    ("169.254.0.0/16", AddressClass.LINK_LOCAL),
    ("169.254.0.23/32", AddressClass.METADATA),  # Tencent Cloud
    ("169.254.42.42/32", AddressClass.METADATA),  # Scaleway
    ("169.254.169.254/32", AddressClass.METADATA),  # AWS, GCP, Azure, OCI, DigitalOcean, OpenStack
    ("169.254.170.2/32", AddressClass.METADATA),  # AWS ECS
    ("169.254.170.23/32", AddressClass.METADATA),  # AWS EKS
    ("172.16.0.0/12", AddressClass.PRIVATE),
    ("192.0.0.0/24", AddressClass.PROTOCOL),  # whole: its two reachable anycast addresses serve no web
    ("192.0.0.192/32", AddressClass.METADATA),  # Oracle Cloud Classic
    ("192.0.2.0/24", AddressClass.DOCUMENTATION),
    ("192.88.99.0/24", AddressClass.RELAY),
    ("192.168.0.0/16", AddressClass.PRIVATE),
    ("198.18.0.0/15", AddressClass.BENCHMARKING),
    ("198.51.100.0/24", AddressClass.DOCUMENTATION),
    ("203.0.113.0/24", AddressClass.DOCUMENTATION),
    ("224.0.0.0/4", AddressClass.MULTICAST),
    ("240.0.0.0/4", AddressClass.RESERVED),
    ("255.255.255.255/32", AddressClass.BROADCAST),
)
IPV6_RANGES: tuple[tuple[str, AddressClass], ...] = (
    ("::/0", AddressClass.UNALLOCATED),
    ("::/96", AddressClass.COMPATIBLE),
    ("::/128", AddressClass.UNSPECIFIED),
    ("::1/128", AddressClass.LOOPBACK),
    ("::ffff:0:0/96", AddressClass.MAPPED),
    ("::ffff:0:0:0/96", AddressClass.TRANSLATED),
    ("64:ff9b::/96", AddressClass.NAT64),
    ("64:ff9b:1::/48", AddressClass.LOCAL_NAT64),
    ("100::/64", AddressClass.DISCARD),
    ("100:0:0:1::/64", AddressClass.DISCARD),  # dummy prefix, RFC 9780
    ("2000::/3", AddressClass.PUBLIC),
    ("2001::/23", AddressClass.PROTOCOL),  # whole: its few reachable ranges serve no web
    ("2001::/32", AddressClass.TEREDO),
    ("2001:2::/48", AddressClass.BENCHMARKING),
    ("2001:db8::/32", AddressClass.DOCUMENTATION),
    ("2002::/16", AddressClass.SIX_TO_FOUR),
    ("3fff::/20", AddressClass.DOCUMENTATION),
    ("5f00::/16", AddressClass.SEGMENT_ROUTING),
    ("fc00::/7", AddressClass.PRIVATE),
    ("fd00:42::42/128", AddressClass.METADATA),  # Scaleway
    ("fd00:ec2::23/128", AddressClass.METADATA),  # AWS EKS
    ("fd00:ec2::254/128", AddressClass.METADATA),  # AWS
    ("fd20:ce::254/128", AddressClass.METADATA),  # GCP
    ("fe80::/10", AddressClass.LINK_LOCAL),
    ("fec0::/10", AddressClass.SITE_LOCAL),
    ("ff00::/8", AddressClass.MULTICAST),
)

# Refused whatever allow_addresses says (RFC 9293 §3.9.2.3 for the last two).
NEVER_DIALLED = frozenset(
    {
        AddressClass.UNSPECIFIED,
        AddressClass.THIS_NETWORK,
        AddressClass.MULTICAST,
        AddressClass.BROADCAST,
    }
)

# What an address can be that is pinned to a name: somebody's own network, never the machine itself.
PINNABLE = frozenset({AddressClass.PRIVATE, AddressClass.SHARED})

_LOW_32 = 0xFFFF_FFFF


class _RangeTable:
    """Nested ranges flattened to consecutive ones, so that one bisection finds the class."""

    def __init__(self, ranges: tuple[tuple[str, AddressClass], ...]) -> None:
        parsed = [(ip_network(text), kind) for text, kind in ranges]
        widest_first = sorted(parsed, key=lambda entry: entry[0].prefixlen)
        spans = [(int(net.network_address), int(net.broadcast_address), kind) for net, kind in widest_first]
        last = spans[0][1]
        edges = {first for first, _, _ in spans} | {end + 1 for _, end, _ in spans if end < last}
        self._starts = sorted(edges)
        self._classes = [
            [kind for first, end, kind in spans if first <= start <= end][-1] for start in self._starts
        ]

    def find(self, value: int) -> AddressClass:
        return self._classes[bisect_right(self._starts, value) - 1]


_IPV4 = _RangeTable(IPV4_RANGES)
_IPV6 = _RangeTable(IPV6_RANGES)


def _embedded(kind: AddressClass, value: int) -> int | None:
    """The IPv4 address that an IPv6 address of this class stands for, where the class fixes its place."""
    match kind:
        case AddressClass.MAPPED | AddressClass.COMPATIBLE | AddressClass.TRANSLATED | AddressClass.NAT64:
            return value & _LOW_32
        case AddressClass.SIX_TO_FOUR:
            return value >> 80 & _LOW_32
        case AddressClass.TEREDO:
            return ~value & _LOW_32  # the client's address, all bits inverted (RFC 4380 §4)
        case _:
            return None


def _local_nat64(address: IPv6Address) -> list[IPv4Address]:
    """Each IPv4 address that a local-use NAT64 address may stand for: prefixes of 48, 56, 64, 96 bits.

    Source: RFC 8215 §4, RFC 6052 §2.2 (bits 64 to 71 are left out).
    """
    value = int(address)
    inside = (
        (value >> 64 & 0xFFFF) << 16 | value >> 40 & 0xFFFF,
        (value >> 64 & 0xFF) << 24 | value >> 32 & 0xFF_FFFF,
        value >> 24 & _LOW_32,
        value & _LOW_32,
    )
    return [IPv4Address(candidate) for candidate in inside]


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 form leads to; ``None`` for any other address."""
    if isinstance(address, IPv4Address):
        return None
    value = int(address)
    inside = _embedded(_IPV6.find(value), value)
    return None if inside is None else IPv4Address(inside)


def classify(address: Address) -> AddressClass:
    """Return the class of an address.

    An IPv6 form with an IPv4 address inside has the class of that IPv4 address when
    it is not public (``::ffff:127.0.0.1`` is loopback), otherwise the name of the
    form; but ``64:ff9b::/96`` (NAT64) around a public address is public itself,
    which hosts without IPv4 depend on. IPv6 is public only inside ``2000::/3``.
    """
    value = int(address)
    if isinstance(address, IPv4Address):
        return _IPV4.find(value)
    form = _IPV6.find(value)
    embedded = _embedded(form, value)
    if embedded is None:
        return form
    inner = _IPV4.find(embedded)
    return form if inner is AddressClass.PUBLIC and form is not AddressClass.NAT64 else inner


def vet(address: Address, port: int, node: NodePolicy, *, pinned: bool = False) -> AddressClass | None:
    """Return why an address may not be dialled on a port, ``None`` if it may.

    ``deny_addresses`` beats everything and also covers every IPv6 form of a denied
    IPv4 address. ``allow_addresses`` lifts the refusal of what it lists: a metadata
    address only by that single address, an IPv6 form only together with the IPv4
    address inside it, the classes of ``NEVER_DIALLED`` not at all. What is ``pinned`` to the
    name that led there may be private, and nothing else.
    """
    if node.deny_addresses and _denied(address, port, node.deny_addresses):
        return AddressClass.DENIED
    found = classify(address)
    if found is AddressClass.PUBLIC:
        return None
    if pinned and found in PINNABLE:
        return None
    return None if _lifted(address, port, found, node.allow_addresses) else found


def _denied(address: Address, port: int, rules: tuple[AddressRule, ...]) -> bool:
    candidates: list[Address] = [address]
    inside = embedded_ipv4(address)
    if inside is not None:
        candidates.append(inside)
    elif isinstance(address, IPv6Address) and classify(address) is AddressClass.LOCAL_NAT64:
        candidates.extend(_local_nat64(address))
    return any(rule.contains(candidate, port) for rule in rules for candidate in candidates)


def _lifted(address: Address, port: int, found: AddressClass, rules: tuple[AddressRule, ...]) -> bool:
    if found in NEVER_DIALLED:
        return False
    single_only = found is AddressClass.METADATA
    if not any(rule.contains(address, port) and (rule.single or not single_only) for rule in rules):
        return False
    inside = embedded_ipv4(address)
    if inside is None:
        return True
    inner = classify(inside)
    return inner is AddressClass.PUBLIC or _lifted(inside, port, inner, rules)
