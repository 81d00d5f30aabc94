"""Address classes at every edge, the node's exceptions, and IPv4 inside IPv6."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.address_rule import AddressRule
from jobgate.config.host import Address
from jobgate.config.policy import NodePolicy
from jobgate.proxy.addresses import (
    IPV4_RANGES,
    IPV6_RANGES,
    NEVER_DIALLED,
    AddressClass,
    classify,
    embedded_ipv4,
    vet,
)

C = AddressClass

# Each: a range, its class, the class just below it, the class just above it (None: no address there).
IPV4_EDGES = [
    ("0.0.0.0/8", C.THIS_NETWORK, None, C.PUBLIC),
    ("10.0.0.0/8", C.PRIVATE, C.PUBLIC, C.PUBLIC),
    ("100.64.0.0/10", C.SHARED, C.PUBLIC, C.PUBLIC),
    ("100.100.100.200/32", C.METADATA, C.SHARED, C.SHARED),
    ("127.0.0.0/8", C.LOOPBACK, C.PUBLIC, C.PUBLIC),
    ("168.63.129.16/32", C.METADATA, C.PUBLIC, C.PUBLIC),
    ("169.254.0.0/16", C.LINK_LOCAL, C.PUBLIC, C.PUBLIC),
    ("169.254.0.23/32", C.METADATA, C.LINK_LOCAL, C.LINK_LOCAL),
    ("169.254.42.42/32", C.METADATA, C.LINK_LOCAL, C.LINK_LOCAL),
    ("169.254.169.254/32", C.METADATA, C.LINK_LOCAL, C.LINK_LOCAL),
    ("169.254.170.2/32", C.METADATA, C.LINK_LOCAL, C.LINK_LOCAL),
    ("169.254.170.23/32", C.METADATA, C.LINK_LOCAL, C.LINK_LOCAL),
    ("172.16.0.0/12", C.PRIVATE, C.PUBLIC, C.PUBLIC),
    ("192.0.0.0/24", C.PROTOCOL, C.PUBLIC, C.PUBLIC),
    ("192.0.0.192/32", C.METADATA, C.PROTOCOL, C.PROTOCOL),
    ("192.0.2.0/24", C.DOCUMENTATION, C.PUBLIC, C.PUBLIC),
    ("192.88.99.0/24", C.RELAY, C.PUBLIC, C.PUBLIC),
    ("192.168.0.0/16", C.PRIVATE, C.PUBLIC, C.PUBLIC),
    ("198.18.0.0/15", C.BENCHMARKING, C.PUBLIC, C.PUBLIC),
    ("198.51.100.0/24", C.DOCUMENTATION, C.PUBLIC, C.PUBLIC),
    ("203.0.113.0/24", C.DOCUMENTATION, C.PUBLIC, C.PUBLIC),
    ("224.0.0.0/4", C.MULTICAST, C.PUBLIC, C.RESERVED),
    ("240.0.0.0/4", C.RESERVED, C.MULTICAST, None),
    ("255.255.255.255/32", C.BROADCAST, C.RESERVED, None),
]
# The IPv4 address inside decides first: ::2 stands for 0.0.0.2, 2002:: for 0.0.0.0.
IPV6_EDGES = [
    ("::/128", C.UNSPECIFIED, None, C.LOOPBACK),
    ("::1/128", C.LOOPBACK, C.UNSPECIFIED, C.THIS_NETWORK),
    ("::/96", C.COMPATIBLE, None, C.UNALLOCATED),
    ("::ffff:0:0/96", C.MAPPED, C.UNALLOCATED, C.UNALLOCATED),
    ("::ffff:0:0:0/96", C.TRANSLATED, C.UNALLOCATED, C.UNALLOCATED),
    ("64:ff9b::/96", C.PUBLIC, C.UNALLOCATED, C.UNALLOCATED),
    ("64:ff9b:1::/48", C.LOCAL_NAT64, C.UNALLOCATED, C.UNALLOCATED),
    ("100::/64", C.DISCARD, C.UNALLOCATED, C.DISCARD),
    ("100:0:0:1::/64", C.DISCARD, C.DISCARD, C.UNALLOCATED),
    ("2000::/3", C.PUBLIC, C.UNALLOCATED, C.UNALLOCATED),
    ("2001::/23", C.PROTOCOL, C.PUBLIC, C.PUBLIC),
    ("2001::/32", C.TEREDO, C.PUBLIC, C.PROTOCOL),
    ("2001:2::/48", C.BENCHMARKING, C.PROTOCOL, C.PROTOCOL),
    ("2001:db8::/32", C.DOCUMENTATION, C.PUBLIC, C.PUBLIC),
    ("2002::/16", C.SIX_TO_FOUR, C.PUBLIC, C.PUBLIC),
    ("3fff::/20", C.DOCUMENTATION, C.PUBLIC, C.PUBLIC),
    ("5f00::/16", C.SEGMENT_ROUTING, C.UNALLOCATED, C.UNALLOCATED),
    ("fc00::/7", C.PRIVATE, C.UNALLOCATED, C.UNALLOCATED),
    ("fd00:42::42/128", C.METADATA, C.PRIVATE, C.PRIVATE),
    ("fd00:ec2::23/128", C.METADATA, C.PRIVATE, C.PRIVATE),
    ("fd00:ec2::254/128", C.METADATA, C.PRIVATE, C.PRIVATE),
    ("fd20:ce::254/128", C.METADATA, C.PRIVATE, C.PRIVATE),
    ("fe80::/10", C.LINK_LOCAL, C.UNALLOCATED, C.SITE_LOCAL),
    ("fec0::/10", C.SITE_LOCAL, C.LINK_LOCAL, C.MULTICAST),
    ("ff00::/8", C.MULTICAST, C.SITE_LOCAL, None),
]
# Exceptions: at these edges of a form the IPv4 address inside is 0.0.0.0 or 255.255.255.255 (or its inverse).
SPECIAL_EDGES = {
    "255.255.255.255": C.BROADCAST,  # the last edge of 240.0.0.0/4 is a range of its own
    "::": C.UNSPECIFIED,
    "::ffff:ffff": C.BROADCAST,
    "::ffff:0:0": C.THIS_NETWORK,
    "::ffff:ffff:ffff": C.BROADCAST,
    "::ffff:0:0:0": C.THIS_NETWORK,
    "::ffff:0:ffff:ffff": C.BROADCAST,
    "64:ff9b::": C.THIS_NETWORK,
    "64:ff9b::ffff:ffff": C.BROADCAST,
    "2001::": C.BROADCAST,
    "2001:0:ffff:ffff:ffff:ffff:ffff:ffff": C.THIS_NETWORK,
    "2002::": C.THIS_NETWORK,
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff": C.BROADCAST,
}


def edge_cases() -> dict[Address, AddressClass]:
    """Both edges of every range and the neighbours outside it."""
    cases: dict[Address, AddressClass] = {}
    for text, kind, below, above in IPV4_EDGES + IPV6_EDGES:
        network = ip_network(text)
        first, last = network[0], network[-1]
        cases |= {first: kind, last: kind}
        cases |= {} if below is None else {first - 1: below}
        cases |= {} if above is None else {last + 1: above}
    return cases | {ip_address(text): kind for text, kind in SPECIAL_EDGES.items()}


@pytest.mark.parametrize(("address", "expected"), edge_cases().items(), ids=str)
def test_classify_at_the_edges_of_every_range(address: Address, expected: AddressClass) -> None:
    assert classify(address) is expected


def test_every_range_of_the_table_has_its_edges_tested() -> None:
    tested = [text for text, *_ in IPV4_EDGES + IPV6_EDGES]
    assert sorted(tested) == sorted(text for text, _ in IPV4_RANGES[1:] + IPV6_RANGES[1:])


F_ALLOWED = [
    "8.8.8.8",
    "64:ff9b::808:808",
    "100.63.255.254",
    "100.128.0.1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "172.15.255.255",
    "172.32.0.1",
    "169.253.0.1",
    "11.0.0.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.175.48.1",
    "2620:4f:8000::1",
]
F_REFUSED = {
    "0.0.0.0": C.THIS_NETWORK,
    "0.1.2.3": C.THIS_NETWORK,
    "10.0.0.1": C.PRIVATE,
    "100.64.0.1": C.SHARED,
    "100.127.255.254": C.SHARED,
    "127.0.0.1": C.LOOPBACK,
    "127.255.255.255": C.LOOPBACK,
    "169.254.169.254": C.METADATA,
    "172.16.0.1": C.PRIVATE,
    "172.31.255.255": C.PRIVATE,
    "192.0.0.1": C.PROTOCOL,
    "192.0.0.9": C.PROTOCOL,
    "192.0.0.170": C.PROTOCOL,
    "192.0.2.1": C.DOCUMENTATION,
    "192.88.99.1": C.RELAY,
    "192.168.0.1": C.PRIVATE,
    "198.18.0.1": C.BENCHMARKING,
    "198.51.100.1": C.DOCUMENTATION,
    "203.0.113.1": C.DOCUMENTATION,
    "224.0.0.1": C.MULTICAST,
    "239.1.1.1": C.MULTICAST,
    "240.0.0.1": C.RESERVED,
    "255.255.255.255": C.BROADCAST,
    "::": C.UNSPECIFIED,
    "::1": C.LOOPBACK,
    "::ffff:10.0.0.1": C.PRIVATE,
    "::ffff:8.8.8.8": C.MAPPED,
    "::ffff:100.64.0.1": C.SHARED,
    "::ffff:224.0.0.1": C.MULTICAST,
    "::ffff:0:127.0.0.1": C.LOOPBACK,
    "::127.0.0.1": C.LOOPBACK,
    "64:ff9b::7f00:1": C.LOOPBACK,
    "64:ff9b::a00:1": C.PRIVATE,
    "64:ff9b::ac1c:5": C.PRIVATE,
    "64:ff9b::a9fe:a9fe": C.METADATA,
    "64:ff9b:1::1": C.LOCAL_NAT64,
    "64:ff9c::1": C.UNALLOCATED,
    "100::1": C.DISCARD,
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": C.DOCUMENTATION,
    "2001:1::1": C.PROTOCOL,
    "2001:20::1": C.PROTOCOL,
    "2001:db8::1": C.DOCUMENTATION,
    "2002:7f00:1::1": C.LOOPBACK,
    "2002:a00:1::1": C.PRIVATE,
    "2002:808:808::1": C.SIX_TO_FOUR,
    "3fff::1": C.DOCUMENTATION,
    "4000::1": C.UNALLOCATED,
    "1::1": C.UNALLOCATED,
    "5f00::1": C.SEGMENT_ROUTING,
    "fc00::1": C.PRIVATE,
    "fd00:ec2::254": C.METADATA,
    "fe80::1": C.LINK_LOCAL,
    "fec0::1": C.SITE_LOCAL,
    "ff02::2": C.MULTICAST,
    "ff0e::1": C.MULTICAST,
}


@pytest.mark.parametrize("text", F_ALLOWED, ids=[f"F-{text}" for text in F_ALLOWED])
def test_vet_passes_reachable_unicast(text: str) -> None:
    assert vet(ip_address(text), 443, NodePolicy()) is None


@pytest.mark.parametrize(("text", "kind"), F_REFUSED.items(), ids=[f"F-{text}" for text in F_REFUSED])
def test_vet_refuses_everything_else(text: str, kind: AddressClass) -> None:
    assert vet(ip_address(text), 443, NodePolicy()) is kind


def mapped(value: int) -> int:
    return 0xFFFF << 32 | value


def compatible(value: int) -> int:
    return value


def translated(value: int) -> int:
    return 0xFFFF << 48 | value


def nat64(value: int) -> int:
    return 0x64_FF9B << 96 | value


def six_to_four(value: int) -> int:
    return 0x2002 << 112 | value << 80 | 1


def teredo(value: int) -> int:
    return 0x2001_0000 << 96 | 0x4136_E378 << 64 | 0x8000_63BF << 32 | value ^ 0xFFFF_FFFF


FORMS = [mapped, compatible, translated, nat64, six_to_four, teredo]
INNER = [text for text, *_ in IPV4_EDGES] + ["8.8.8.8/32"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"E5-{form.__name__}")
@pytest.mark.parametrize("inner", INNER, ids=str)
def test_vet_judges_the_embedded_ipv4(form: Callable[[int], int], inner: str) -> None:
    for value in {int(ip_network(inner)[0]), int(ip_network(inner)[-1])} - {0, 1}:
        address = IPv6Address(form(value))
        found = vet(address, 443, NodePolicy())
        expected = classify(IPv4Address(value))
        if expected is not C.PUBLIC:
            assert found is expected
        elif form is nat64:
            assert found is None
        else:
            assert found in {C.MAPPED, C.COMPATIBLE, C.TRANSLATED, C.SIX_TO_FOUR, C.TEREDO}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_embedded_ipv4_is_found_in_every_form(form: Callable[[int], int]) -> None:
    assert embedded_ipv4(IPv6Address(form(0x0102_0304))) == IPv4Address("1.2.3.4")


@pytest.mark.parametrize("text", ["1.2.3.4", "::1", "2001:db8::102:304", "64:ff9b:1::102:304"], ids=str)
def test_embedded_ipv4_is_nowhere_else(text: str) -> None:
    assert embedded_ipv4(ip_address(text)) is None


def node(*, allow: str = "", deny: str = "") -> NodePolicy:
    return NodePolicy(
        allow_addresses=tuple(map(AddressRule.parse, allow.split())),
        deny_addresses=tuple(map(AddressRule.parse, deny.split())),
    )


EXCEPTIONS = [
    ("F1-port", "10.0.0.1:321", "10.0.0.1", 321, None),
    ("F1-other-port", "10.0.0.1:321", "10.0.0.1", 1, C.PRIVATE),
    ("F1-other-address", "10.0.0.1:321", "10.0.0.2", 321, C.PRIVATE),
    ("F2-first", "10.0.1.0/24", "10.0.1.0", 443, None),
    ("F2-last", "10.0.1.0/24", "10.0.1.255", 443, None),
    ("F2-below", "10.0.1.0/24", "10.0.0.255", 443, C.PRIVATE),
    ("F2-above", "10.0.1.0/24", "10.0.2.0", 443, C.PRIVATE),
    ("F3-shared", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", "100.64.0.1", 443, C.SHARED),
    ("F3-loopback", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", "127.0.0.1", 443, C.LOOPBACK),
    ("F3-link-local", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", "169.254.1.1", 443, C.LINK_LOCAL),
    ("F3-metadata", "0.0.0.0/0", "169.254.169.254", 80, C.METADATA),
    ("F3-metadata-in-its-range", "169.254.0.0/16", "169.254.169.254", 80, C.METADATA),
    ("F3-metadata-in-a-pair", "169.254.169.254/31", "169.254.169.254", 80, C.METADATA),
    ("F3-metadata-public", "168.63.129.0/24", "168.63.129.16", 80, C.METADATA),
    ("F3-metadata-v6", "fd00::/8", "fd00:ec2::254", 80, C.METADATA),
    ("metadata-single", "169.254.169.254", "169.254.169.254", 80, None),
    ("metadata-single-range", "169.254.169.254/32", "169.254.169.254", 80, None),
    ("metadata-single-port", "169.254.169.254:80", "169.254.169.254", 80, None),
    ("metadata-single-other-port", "169.254.169.254:80", "169.254.169.254", 81, C.METADATA),
    ("metadata-single-v6", "fd00:ec2::254", "fd00:ec2::254", 80, None),
    ("loopback-v6", "::1", "::1", 8081, None),
    ("never-this-network", "0.0.0.0/0", "0.0.0.0", 80, C.THIS_NETWORK),
    ("never-this-network-single", "0.0.0.1", "0.0.0.1", 80, C.THIS_NETWORK),
    ("never-unspecified", "::", "::", 80, C.UNSPECIFIED),
    ("never-multicast", "224.0.0.1", "224.0.0.1", 80, C.MULTICAST),
    ("never-multicast-v6", "ff00::/8", "ff02::1", 80, C.MULTICAST),
    ("never-broadcast", "255.255.255.255", "255.255.255.255", 80, C.BROADCAST),
    ("reserved-lifted", "240.0.0.0/4", "240.0.0.1", 80, None),
    ("E5-mapped-by-v4", "127.0.0.1", "::ffff:127.0.0.1", 80, C.LOOPBACK),
    ("E5-mapped-by-v6", "::ffff:127.0.0.1", "::ffff:127.0.0.1", 80, C.LOOPBACK),
    ("E5-mapped-by-all-v6", "::/0", "::ffff:127.0.0.1", 80, C.LOOPBACK),
    ("E5-compatible-by-all-v6", "::/0", "::127.0.0.1", 80, C.LOOPBACK),
    ("E5-nat64-by-all-v6", "::/0", "64:ff9b::7f00:1", 80, C.LOOPBACK),
    ("E5-6to4-by-all-v6", "::/0", "2002:7f00:1::1", 80, C.LOOPBACK),
    ("E5-mapped-by-both", "127.0.0.1 ::ffff:127.0.0.1", "::ffff:127.0.0.1", 80, None),
    ("nat64-by-v4", "10.0.0.0/8", "64:ff9b::a00:1", 80, C.PRIVATE),
    ("nat64-by-both", "10.0.0.0/8 64:ff9b::/96", "64:ff9b::a00:1", 80, None),
    ("nat64-metadata-by-ranges", "169.254.0.0/16 64:ff9b::/96", "64:ff9b::a9fe:a9fe", 80, C.METADATA),
    ("nat64-metadata-v4-range", "169.254.0.0/16 64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", 80, C.METADATA),
    ("nat64-metadata-by-both", "169.254.169.254 64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", 80, None),
    ("nat64-multicast", "0.0.0.0/0 ::/0", "64:ff9b::e000:1", 80, C.MULTICAST),
    ("6to4-public-lifted", "2002::/16", "2002:808:808::1", 80, None),
    ("local-nat64-lifted", "64:ff9b:1::/48", "64:ff9b:1::a00:1", 80, None),
]


@pytest.mark.parametrize(
    ("allow", "text", "port", "expected"),
    [case[1:] for case in EXCEPTIONS],
    ids=[case[0] for case in EXCEPTIONS],
)
def test_vet_lifts_only_what_the_node_lists(
    allow: str, text: str, port: int, expected: AddressClass | None
) -> None:
    assert vet(ip_address(text), port, node(allow=allow)) is expected


DENIALS = [
    ("F4-address", "1.1.1.1/32", "1.1.1.1", 443, True),
    ("F4-other-address", "1.1.1.1/32", "1.1.1.2", 443, False),
    ("F4-port", "1.0.0.1:123", "1.0.0.1", 123, True),
    ("F4-other-port", "1.0.0.1:123", "1.0.0.1", 443, False),
    ("range", "8.8.0.0/16", "8.8.4.4", 443, True),
    ("v6", "2001:4860::/32", "2001:4860:4860::8888", 443, True),
    ("mapped", "1.1.1.1", "::ffff:1.1.1.1", 443, True),
    ("compatible", "1.1.1.1", "::1.1.1.1", 443, True),
    ("nat64", "1.1.1.1", "64:ff9b::1.1.1.1", 443, True),
    ("nat64-port", "1.1.1.1:443", "64:ff9b::1.1.1.1", 443, True),
    ("nat64-other-port", "1.1.1.1:443", "64:ff9b::1.1.1.1", 80, False),
    ("nat64-other-address", "1.1.1.1", "64:ff9b::1.1.1.2", 443, False),
    ("6to4", "1.1.1.1", "2002:101:101::1", 443, True),
    ("teredo", "1.1.1.1", "2001:0:4136:e378:8000:63bf:fefe:fefe", 443, True),
    ("local-nat64-48", "1.1.1.1", "64:ff9b:1:0101:1:100::", 443, True),
    ("local-nat64-56", "1.1.1.1", "64:ff9b:1:ff01:1:101::", 443, True),
    ("local-nat64-64", "1.1.1.1", "64:ff9b:1:ffff:1:101:100:0", 443, True),
    ("local-nat64-96", "1.1.1.1", "64:ff9b:1:ffff::1.1.1.1", 443, True),
]


@pytest.mark.parametrize(
    ("deny", "text", "port", "denied"),
    [case[1:] for case in DENIALS],
    ids=[case[0] for case in DENIALS],
)
def test_vet_denies_whatever_else_is_allowed(deny: str, text: str, port: int, denied: bool) -> None:
    everything = node(allow="0.0.0.0/0 ::/0", deny=deny)
    assert vet(ip_address(text), port, everything) is (C.DENIED if denied else None)


addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.tuples(st.sampled_from(FORMS), st.integers(0, 2**32 - 1)).map(
        lambda pair: IPv6Address(pair[0](pair[1]))
    ),
)


@given(addresses)
def test_classify_agrees_with_a_slow_reading_of_the_table(address: Address) -> None:
    table = IPV4_RANGES if address.version == 4 else IPV6_RANGES
    holding = [(ip_network(text), kind) for text, kind in table if address in ip_network(text)]
    form = max(holding, key=lambda entry: entry[0].prefixlen)[1]
    found = classify(address)
    if form in {C.MAPPED, C.COMPATIBLE, C.TRANSLATED, C.NAT64}:
        inner = classify(IPv4Address(int(address) & 0xFFFF_FFFF))
        assert found is (inner if inner is not C.PUBLIC or form is C.NAT64 else form)
    elif form not in {C.SIX_TO_FOUR, C.TEREDO}:
        assert found is form


@given(addresses)
def test_vet_lifts_the_never_dialled_by_no_exception(address: Address) -> None:
    kind = classify(address)
    found = vet(address, 443, node(allow=f"0.0.0.0/0 ::/0 {address}"))
    assert found is kind if kind in NEVER_DIALLED else found in {None, C.METADATA}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("172.17.0.1", None),
        ("100.64.0.1", None),
        ("fd00::1", None),
        ("127.0.0.1", AddressClass.LOOPBACK),
        ("169.254.1.1", AddressClass.LINK_LOCAL),
        ("169.254.169.254", AddressClass.METADATA),
        ("fd00:ec2::254", AddressClass.METADATA),
        ("::ffff:127.0.0.1", AddressClass.LOOPBACK),
        ("224.0.0.1", AddressClass.MULTICAST),
        ("0.0.0.0", AddressClass.THIS_NETWORK),
    ],
)
def test_pinned_address_may_be_private_and_nothing_else(address: str, expected: AddressClass | None) -> None:
    assert vet(ip_address(address), 80, NodePolicy(), pinned=True) is expected


def test_deny_list_beats_a_pin() -> None:
    node = NodePolicy(deny_addresses=(AddressRule.parse("172.17.0.1:1234"),))
    assert vet(ip_address("172.17.0.1"), 1234, node, pinned=True) is AddressClass.DENIED
    assert vet(ip_address("172.17.0.1"), 1235, node, pinned=True) is None
