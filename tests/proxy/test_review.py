from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from jobgate.config.address_rule import AddressRule
from jobgate.config.host import Address, Name
from jobgate.config.policy import Policy
from jobgate.proxy.decision import Target
from jobgate.proxy.errors import Reason
from jobgate.proxy.review import refused_now
from support.policies import connect, http, in_report_mode, policy

LISTED, OTHER = connect("a.test:443"), connect("b.test:443")
BOTH = policy("a.test b.test")
ONE = policy("a.test")
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"


def with_addresses(rules: Policy, *, deny: str = "", allow: str = "") -> Policy:
    """The same lists on a node with address rules."""
    denied, allowed = (tuple(map(AddressRule.parse, text.split())) for text in (deny, allow))
    return Policy(rules.job, replace(rules.node, deny_addresses=denied, allow_addresses=allowed))


CASES: dict[str, tuple[Policy, Sequence[Target], str | None, str]] = {
    "nothing": (ONE, [], None, ""),
    "listed": (ONE, [LISTED], None, ""),
    "listed-and-connected": (ONE, [LISTED], PUBLIC, ""),
    "not-listed": (ONE, [OTHER], None, "not-listed"),
    "server-name-listed": (BOTH, [LISTED, OTHER], PUBLIC, ""),
    "server-name-not-listed": (ONE, [LISTED, OTHER], PUBLIC, "not-listed"),
    "port": (ONE, [connect("a.test:8443")], None, "port"),
    "denied": (policy("a.test", deny="a.test"), [LISTED], None, "denied"),
    "denied-by-node": (policy("a.test", node_deny="a.test"), [LISTED], None, "denied"),
    "special-address": (ONE, [LISTED], PRIVATE, "address"),
    "exception": (with_addresses(ONE, allow=PRIVATE), [LISTED], PRIVATE, ""),
    "denied-address": (with_addresses(ONE, deny=PUBLIC), [LISTED], PUBLIC, "address"),
    "denied-address-on-another-port": (with_addresses(ONE, deny=f"{PUBLIC}:80"), [LISTED], PUBLIC, ""),
    "own": (ONE, [http("a.test:3128")], PUBLIC, "self"),
    "reported": (in_report_mode(ONE), [OTHER], PUBLIC, ""),
    "reported-denied": (in_report_mode(policy("b.test", deny="a.test")), [LISTED], None, "denied"),
    "reported-address": (in_report_mode(ONE), [OTHER], PRIVATE, "address"),
}


@pytest.mark.parametrize(("rules", "targets", "address", "reason"), CASES.values(), ids=CASES)
def test_refused_now_asks_what_was_asked_on_the_way_in(
    rules: Policy, targets: Sequence[Target], address: str | None, reason: str
) -> None:
    error = refused_now(rules, targets, address, lambda _, port: port == 3128)
    assert ("" if error is None else error.reason.token) == reason


def test_own_is_asked_with_the_address_of_the_connection() -> None:
    asked: list[tuple[Address, int]] = []

    def is_own(address: Address, port: int) -> bool:
        asked.append((address, port))
        return False

    assert refused_now(ONE, [LISTED], PUBLIC, is_own) is None
    assert asked == [(ip_address(PUBLIC), 443)]


def test_pin_belongs_to_the_name_of_the_request() -> None:
    job = replace(BOTH.job, pinned=frozenset({(Name("a.test"), ip_address(PRIVATE))}))
    pinned = Policy(job, BOTH.node)
    assert refused_now(pinned, [LISTED], PRIVATE, lambda *_: False) is None
    assert refused_now(pinned, [LISTED, OTHER], PRIVATE, lambda *_: False) is None
    refused = refused_now(pinned, [OTHER], PRIVATE, lambda *_: False)
    assert refused is not None
    assert refused.reason is Reason.ADDRESS
