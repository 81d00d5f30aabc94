"""Own endpoints as a set; what listeners make of it is in test_gate.py."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from jobgate.proxy.own import OwnEndpoints

LOOPBACK, ELSEWHERE = ip_address("127.0.0.1"), ip_address("192.0.2.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"], ids=["exact", "wildcard"])
def test_endpoint_is_own_until_it_is_discarded_as_often_as_it_was_added(host: str) -> None:
    own = OwnEndpoints()
    assert not own.leads_to(LOOPBACK, 3128)
    own.add(host, 3128)
    own.add(host, 3128)
    own.discard(host, 3128)
    assert own.leads_to(LOOPBACK, 3128)
    assert not own.leads_to(LOOPBACK, 3129)
    assert not own.leads_to(ELSEWHERE, 3128)
    own.discard(host, 3128)
    assert not own.leads_to(LOOPBACK, 3128)


def test_discarding_what_was_never_added_changes_nothing() -> None:
    own = OwnEndpoints()
    own.discard("127.0.0.1", 3128)
    own.add("127.0.0.1", 3128)
    own.discard("192.0.2.1", 3128)
    assert own.leads_to(LOOPBACK, 3128)


@pytest.mark.parametrize(
    "form", ["::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"], ids=["mapped", "NAT64", "6to4"]
)
def test_every_form_of_the_address_is_own(form: str) -> None:
    own = OwnEndpoints()
    own.add("127.0.0.1", 3128)
    assert own.leads_to(ip_address(form), 3128)


def test_those_among_many_that_lead_here_are_kept() -> None:
    own = OwnEndpoints()
    own.add("127.0.0.1", 3128)
    assert list(own.among([ELSEWHERE, LOOPBACK], 3128)) == [LOOPBACK]
    assert list(own.among([ELSEWHERE], 3128)) == []
    assert list(own.among([ELSEWHERE, LOOPBACK], 3129)) == []
