from __future__ import annotations

import pytest

from jobgate.config.policy import Policy
from jobgate.gateway.proposals import proposals
from jobgate.proxy.decision import Target, decide
from support.policies import connect, http, policy

OPEN = policy("other.test")


@pytest.mark.parametrize(
    ("authority", "kind", "judged", "entries"),
    [
        ("www.a.test:443", "connect", OPEN, ["www.a.test", ".a.test"]),
        ("www.a.test:8443", "connect", OPEN, ["www.a.test:8443", ".a.test:8443"]),
        ("www.a.test:8443", "http", OPEN, ["www.a.test", ".a.test"]),
        ("[2606:4700::1]:443", "connect", OPEN, ["2606:4700::1"]),
        ("169.254.169.254:80", "http", OPEN, []),
        ("other.test:8443", "connect", OPEN, ["other.test:8443", ".other.test:8443"]),
        ("other.test:443", "connect", OPEN, []),
        ("a.test:443", "connect", policy("b.test", deny="a.test"), []),
        ("a.test:443", "connect", policy("b.test", node_deny="a.test"), []),
        ("b.test:443", "connect", policy("b.test", node_allow="c.test"), []),
    ],
    ids=[
        "name",
        "tunnel-port",
        "http-port",
        "address",
        "metadata",
        "port",
        "allowed-now",
        "denied",
        "by-node",
        "node-list",
    ],
)
def test_proposals(authority: str, kind: str, judged: Policy, entries: list[str]) -> None:
    assert proposals(authority, kind, judged) == entries


@pytest.mark.parametrize(
    "target", [connect("www.a.test:8081"), http("www.a.test:8081")], ids=["connect", "http"]
)
def test_every_proposal_would_allow_it(target: Target) -> None:
    entries = proposals("www.a.test:8081", target.kind, OPEN)
    assert len(entries) == 2
    assert all(decide(policy(entry), target).allowed for entry in entries)
