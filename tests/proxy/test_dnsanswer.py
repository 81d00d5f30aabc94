"""Two replies, one answer."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from jobgate.proxy.dnsanswer import INCOMPLETE_TTL_S, MAX_ADDRESSES, Outcome, Reply, combine, incomplete
from jobgate.proxy.errors import Reason

NONE = "The name n.test does not exist."
EMPTY = "The name n.test exists but has no address."
BROKEN = "The name servers could not resolve n.test."
SILENT = "No name server answered in time for n.test."
V4 = Reply(Outcome.ADDRESSES, (ip_address("192.0.2.7"), ip_address("192.0.2.8")), 60)
V6 = Reply(Outcome.ADDRESSES, (ip_address("2001:db8::7"),), 40)
NODATA = Reply(Outcome.NODATA, ttl_s=30)
NXDOMAIN = Reply(Outcome.NXDOMAIN, ttl_s=20)
FAILED = Reply(Outcome.FAILED)
TIMED_OUT = Reply(Outcome.TIMED_OUT)

FOUND = [
    ("both", V4, V6, "2001:db8::7 192.0.2.7 192.0.2.8", 40, None),
    ("v4 alone", V4, NODATA, "192.0.2.7 192.0.2.8", 60, None),
    ("v6 alone", NODATA, V6, "2001:db8::7", 40, None),
    ("v6 does not exist", V4, NXDOMAIN, "192.0.2.7 192.0.2.8", 60, None),
    ("v6 failed", V4, FAILED, "192.0.2.7 192.0.2.8", INCOMPLETE_TTL_S, Reason.DNS_FAILURE),
    ("v6 late", V4, TIMED_OUT, "192.0.2.7 192.0.2.8", INCOMPLETE_TTL_S, Reason.DNS_TIMEOUT),
    ("v4 failed", FAILED, V6, "2001:db8::7", INCOMPLETE_TTL_S, Reason.DNS_FAILURE),
    ("v6 failed, ttl 0", V4._replace(ttl_s=0), FAILED, "192.0.2.7 192.0.2.8", 0, Reason.DNS_FAILURE),
]


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "addresses", "ttl_s", "missing"),
    [case[1:] for case in FOUND],
    ids=[case[0] for case in FOUND],
)
def test_addresses_of_either_family_are_enough(
    ipv4: Reply, ipv6: Reply, addresses: str, ttl_s: float, missing: Reason | None
) -> None:
    answer = combine("n.test", ipv4, ipv6)
    assert " ".join(map(str, answer.addresses)) == addresses
    assert (answer.ttl_s, answer.reason, answer.is_incomplete) == (ttl_s, missing, missing is not None)


NOT_FOUND = [
    ("F8-nxdomain", NXDOMAIN, NXDOMAIN, Reason.DNS_NXDOMAIN, NONE, 20),
    ("F8-nodata", NODATA, NODATA, Reason.DNS_NXDOMAIN, EMPTY, 30),
    ("F8-failed", FAILED, FAILED, Reason.DNS_FAILURE, BROKEN, 0),
    ("F8-silent", TIMED_OUT, TIMED_OUT, Reason.DNS_TIMEOUT, SILENT, 0),
    ("nxdomain and nodata", NODATA, NXDOMAIN, Reason.DNS_NXDOMAIN, NONE, 20),
    ("nxdomain and failed", NXDOMAIN, FAILED, Reason.DNS_NXDOMAIN, NONE, 20),
    ("nodata and failed", NODATA, FAILED, Reason.DNS_FAILURE, BROKEN, 0),
    ("nodata and silent", NODATA, TIMED_OUT, Reason.DNS_TIMEOUT, SILENT, 0),
    ("failed and silent", FAILED, TIMED_OUT, Reason.DNS_TIMEOUT, SILENT, 0),
]


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "reason", "detail", "ttl_s"),
    [case[1:] for case in NOT_FOUND],
    ids=[case[0] for case in NOT_FOUND],
)
def test_no_address_has_one_reason(
    ipv4: Reply, ipv6: Reply, reason: Reason, detail: str, ttl_s: float
) -> None:
    assert combine("n.test", ipv4, ipv6) == combine("n.test", ipv6, ipv4) == ((), ttl_s, reason, detail)
    assert not combine("n.test", ipv4, ipv6).is_incomplete


def test_addresses_are_bounded_and_neither_family_crowds_out_the_other() -> None:
    many = Reply(Outcome.ADDRESSES, tuple(IPv4Address(0x0800_0000 + n) for n in range(200)), 60)
    more = Reply(Outcome.ADDRESSES, tuple(IPv6Address((0x2600 << 112) + n) for n in range(200)), 60)
    assert len(combine("n.test", many, NODATA).addresses) == MAX_ADDRESSES
    versions = [address.version for address in combine("n.test", many, more).addresses]
    assert versions == [6, 4] * (MAX_ADDRESSES // 2)


def test_failure_of_an_incomplete_answer_quotes_the_name_alone() -> None:
    failure = incomplete("n.test", Reason.DNS_TIMEOUT)
    assert failure.reason is Reason.DNS_TIMEOUT
    assert failure.detail == "The name servers gave only some of the addresses of n.test."
