from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.address_rule import AddressRule
from jobgate.config.host import Address, Name, parse_authority
from jobgate.config.policy import Policy
from jobgate.proxy import vetting as module
from jobgate.proxy.addresses import AddressClass, vet
from jobgate.proxy.decision import Kind, Target
from jobgate.proxy.vetting import Vetter
from support.policies import connect, policy

ADDRESSES = tuple(
    map(ip_address, ("93.184.215.14", "10.0.0.1", "127.0.0.1", "2606:2800::1", "::ffff:10.0.0.1"))
)
PLAIN = policy("ok.test")
LIFTED = Policy(PLAIN.job, replace(PLAIN.node, allow_addresses=(AddressRule.parse("127.0.0.1:7"),)))
DENIED = Policy(PLAIN.job, replace(PLAIN.node, deny_addresses=(AddressRule.parse("93.184.215.14"),)))
PINNED = Policy(replace(PLAIN.job, pinned=frozenset({(Name("ok.test"), ADDRESSES[1])})), PLAIN.node)
POLICIES = [PLAIN, LIFTED, DENIED, PINNED]
TARGETS = st.builds(
    Target,
    st.sampled_from(Kind),
    st.sampled_from([parse_authority(name, 1).host for name in (b"ok.test", b"other.test")]),
    st.sampled_from([7, 443]),
)
ANSWERS = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3).map(tuple)


def vetted(rules: Policy, target: Target, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Keep what may be dialled, remembering nothing."""
    pins = rules.pins
    return tuple(
        address
        for address in addresses
        if vet(address, target.port, rules.node, pinned=pins(target.host, address)) is None
    )


@pytest.mark.parametrize(
    ("rules", "port", "good"),
    [(PLAIN, 7, "03"), (LIFTED, 7, "023"), (LIFTED, 8, "03"), (DENIED, 7, "3"), (PINNED, 7, "013")],
    ids=["plain", "lifted", "lifted-elsewhere", "denied", "pinned"],
)
def test_good_keeps_what_may_be_dialled_in_its_order(rules: Policy, port: int, good: str) -> None:
    expected = tuple(ADDRESSES[int(index)] for index in good)
    assert Vetter().good(rules, connect(f"ok.test:{port}"), ADDRESSES) == expected


@given(st.lists(st.tuples(st.sampled_from(POLICIES), TARGETS, ANSWERS), max_size=3 * Vetter.MOST))
def test_vetter_vets_as_if_it_remembered_nothing(
    asked: list[tuple[Policy, Target, tuple[Address, ...]]],
) -> None:
    vetter = Vetter()
    for rules, target, addresses in asked:
        assert vetter.good(rules, target, addresses) == vetted(rules, target, addresses)


def test_vetter_remembers_so_many_answers_of_one_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(address: Address, port: int, *rest: object, **more: object) -> AddressClass | None:
        asked.append(port)
        return None

    monkeypatch.setattr(module, "vet", counted)
    vetter, ports = Vetter(), list(range(1, Vetter.MOST + 1))
    one, again = ADDRESSES[:1], ADDRESSES[:1]
    for _ in range(2):
        for port in ports:
            vetter.good(PLAIN, connect(f"ok.test:{port}"), one)
    assert asked == ports
    vetter.good(PLAIN, connect("ok.test:1"), again)  # another answer for the name
    vetter.good(LIFTED, connect("ok.test:1"), again)
    vetter.good(PLAIN, connect("ok.test:1"), again)
    assert asked[len(ports) :] == [1, 1, 1]
    for port in range(1, 3 * Vetter.MOST):
        vetter.good(PLAIN, connect(f"ok.test:{port}"), one)
    assert len(vetter._known) <= Vetter.MOST
