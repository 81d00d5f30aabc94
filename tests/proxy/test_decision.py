"""Decisions by name and port: who beats whom, and what the refused are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import parse_authority
from jobgate.config.policy import JobPolicy, Mode, Network, NodePolicy, Policy
from jobgate.config.rules import RuleSet
from jobgate.proxy import decision as module
from jobgate.proxy.decision import (
    Decider,
    Decision,
    Kind,
    Target,
    decide,
    explain,
    is_plain_connect,
    suggestion,
)
from jobgate.proxy.errors import Reason
from support.policies import connect, http, policy

ALLOWED = {
    "A1 CONNECT": ("ok.test", connect("ok.test:443"), "ok.test"),
    "A10 literal": ("2001:db8::1", connect("[2001:db8:0:0::1]:443"), "2001:db8::1"),
    "A21 underscore": (".ok.test", connect("foo_bar.ok.test:443"), ".ok.test"),
    "B1 plain HTTP": ("ok.test", http("ok.test:8080"), "ok.test"),
    "port 80": ("ok.test", http("ok.test"), "ok.test"),
    "port 1024": ("ok.test", http("ok.test:1024"), "ok.test"),
    "port 65535": ("ok.test", http("ok.test:65535"), "ok.test"),
    "CONNECT to 80": ("ok.test", connect("ok.test:80"), "ok.test"),
    "port of its own, CONNECT": ("ok.test:8443", connect("ok.test:8443"), "ok.test:8443"),
    "port of its own, HTTP": ("ok.test:443", http("ok.test:443"), "ok.test:443"),
    "address and port": ("[2001:db8::1]:8443", connect("[2001:db8::1]:8443"), "[2001:db8::1]:8443"),
    "suffix and port beside a name": ("a.ok.test .ok.test:8443", connect("a.ok.test:8443"), ".ok.test:8443"),
}


@pytest.mark.parametrize(("domains", "target", "rule"), ALLOWED.values(), ids=ALLOWED)
def test_listed_targets_are_allowed_by_the_entry_that_lists_them(
    domains: str, target: Target, rule: str
) -> None:
    assert decide(policy(domains), target) == Decision(True, None, rule)


NOT_LISTED = {
    "A9 literal": (".ok.test", connect("[2001:DB8::1337]:443")),
    "B12 other host": ("ok.test", http("evil.test")),
    "sibling": ("foo.ok.test", connect("bar.ok.test:443")),
    "child of an exact name": ("ok.test", connect("sub.ok.test:443")),
    "address under a suffix": (".168.test", connect("192.168.1.1:443")),
    "not on a label": (".ok.test", connect("notok.test:443")),
}


@pytest.mark.parametrize(("domains", "target"), NOT_LISTED.values(), ids=NOT_LISTED)
def test_what_no_entry_lists_is_not_listed(domains: str, target: Target) -> None:
    decision = decide(policy(domains), target)
    assert (decision.allowed, decision.reason, decision.rule) == (False, Reason.NOT_LISTED, None)


PORT = {
    "C16 CONNECT to 22": ("ok.test", connect("ok.test:22"), "ok.test"),
    "C16 CONNECT to 8080": ("ok.test", connect("ok.test:8080"), "ok.test"),
    "C15 other port": ("ok.test:8443", connect("ok.test:443"), "ok.test:8443"),
    "HTTP to 443": ("ok.test", http("ok.test:443"), "ok.test"),
    "HTTP to 1023": ("ok.test", http("ok.test:1023"), "ok.test"),
    "suffix": (".ok.test", connect("a.ok.test:25"), ".ok.test"),
}


@pytest.mark.parametrize(("domains", "target", "rule"), PORT.values(), ids=PORT)
def test_a_listed_host_on_another_port_is_refused_with_port(domains: str, target: Target, rule: str) -> None:
    decision = decide(policy(domains), target)
    assert (decision.allowed, decision.reason, decision.rule, decision.by_node) == (
        False,
        Reason.PORT,
        rule,
        False,
    )


DENIED = {
    "C12 job": (policy(".ok.test", deny="bad.ok.test"), connect("BAD.ok.test.:443"), "bad.ok.test", False),
    "C13 both lists": (policy("ok.test", deny="ok.test"), connect("ok.test:443"), "ok.test", False),
    "C14 node": (policy("ok.test", node_deny=".ok.test"), connect("ok.test:443"), ".ok.test", True),
    "C17 port": (policy(".ok.test", deny="a.ok.test:8080"), http("a.ok.test.:8080"), "a.ok.test:8080", False),
    "every port": (policy("ok.test:8443", deny="ok.test"), connect("ok.test:8443"), "ok.test", False),
    "node before job": (
        policy(".ok.test", deny="a.ok.test", node_deny="a.ok.test"),
        http("a.ok.test"),
        "a.ok.test",
        True,
    ),
    "deny before not listed": (policy("ok.test", deny="evil.test"), http("evil.test"), "evil.test", False),
    "deny before port": (policy("ok.test", deny="ok.test"), connect("ok.test:22"), "ok.test", False),
    "deny beats node allow": (
        policy("ok.test", deny="ok.test", node_allow="ok.test"),
        http("ok.test"),
        "ok.test",
        False,
    ),
}


@pytest.mark.parametrize(("rules", "target", "rule", "by_node"), DENIED.values(), ids=DENIED)
def test_deny_beats_allow(rules: Policy, target: Target, rule: str, by_node: bool) -> None:
    decision = decide(rules, target)
    assert (decision.reason, decision.rule, decision.by_node) == (Reason.DENIED, rule, by_node)


def test_a_deny_entry_with_a_port_denies_that_port_alone() -> None:
    assert decide(policy(".ok.test", deny="a.ok.test:8080"), http("a.ok.test:8081")).allowed
    assert decide(policy(".ok.test", deny="bad.ok.test"), connect("sub.bad.ok.test:443")).allowed


EXPRESSION = r"regex:^a[0-9]\.ok\.test$"
NODE = {
    "within": ("a.ok.test", ".ok.test", connect("a.ok.test:443"), None, None),
    "outside": ("evil.test", ".ok.test", connect("evil.test:443"), Reason.NOT_LISTED, None),
    "high port of the job's": ("a.ok.test:8443", ".ok.test", connect("a.ok.test:8443"), None, None),
    "low port of the job's": ("a.ok.test:22", ".ok.test", connect("a.ok.test:22"), Reason.PORT, ".ok.test"),
    "low port of both": ("a.ok.test:22", ".ok.test:22", connect("a.ok.test:22"), None, None),
    "node lists another port": (
        "ok.test",
        "ok.test:8443",
        connect("ok.test:443"),
        Reason.PORT,
        "ok.test:8443",
    ),
    "no list, low port": ("ok.test:22", None, connect("ok.test:22"), Reason.PORT, None),
    "no list, 443 for HTTP": ("ok.test:443", None, http("ok.test:443"), None, None),
    "no list, 1023": ("ok.test:1023", None, http("ok.test:1023"), Reason.PORT, None),
    "no list, 1024": ("ok.test:1024", None, connect("ok.test:1024"), None, None),
    "within an expression": (".ok.test", EXPRESSION, connect("a7.ok.test:443"), None, None),
    "outside an expression": (".ok.test", EXPRESSION, connect("ba7.ok.test:443"), Reason.NOT_LISTED, None),
    "apex of an expression": (".ok.test", EXPRESSION, connect("ok.test:443"), Reason.NOT_LISTED, None),
    "expression, high port": ("a7.ok.test:8443", EXPRESSION, connect("a7.ok.test:8443"), None, None),
    "expression, low port": ("a7.ok.test:22", EXPRESSION, connect("a7.ok.test:22"), Reason.PORT, EXPRESSION),
    "empty list": ("ok.test", "", connect("ok.test:443"), Reason.NOT_LISTED, None),
}


@pytest.mark.parametrize(("domains", "node_allow", "target", "reason", "rule"), NODE.values(), ids=NODE)
def test_the_node_bounds_every_job(
    domains: str, node_allow: str | None, target: Target, reason: Reason | None, rule: str | None
) -> None:
    decision = decide(policy(domains, node_allow=node_allow), target)
    assert decision.reason is reason
    assert decision.by_node is (reason is not None)
    if reason is not None:
        assert decision.rule == rule


@pytest.mark.parametrize("node_allow", [None, ".ok.test"], ids=["no list", "list"])
def test_a_low_port_in_the_nodes_sets_is_the_nodes_own_word(node_allow: str | None) -> None:
    assert decide(
        policy("ok.test", node_allow=node_allow, connect_ports=[22, 443]), connect("ok.test:22")
    ).allowed


def test_connect_to_80_is_closed_where_plain_http_is() -> None:
    rules = policy("ok.test", http_ports=[8080])
    assert decide(rules, connect("ok.test:80")).reason is Reason.PORT
    assert decide(rules, http("ok.test:80")).reason is Reason.PORT


@pytest.mark.parametrize(
    ("target", "connect_ports", "plain"),
    [
        (connect("ok.test:80"), [443], True),
        (connect("ok.test:80"), [80, 443], False),
        (connect("ok.test:443"), [443], False),
        (http("ok.test:80"), [443], False),
    ],
    ids=["80", "80 is a tunnel port", "443", "plain HTTP"],
)
def test_is_plain_connect(target: Target, connect_ports: list[str | int], plain: bool) -> None:
    assert is_plain_connect(policy("ok.test", connect_ports=connect_ports), target) is plain


HOSTS = st.sampled_from(
    ["ok.test", "a.ok.test", "b.a.ok.test", "evil.test", "192.0.2.7", "[2001:db8::1]", "origin"]
)
PORTS = st.sampled_from([22, 80, 443, 1023, 1024, 8443, 65535])
TARGETS = st.builds(
    lambda kind, host, port: Target(kind, *parse_authority(f"{host}:{port}".encode(), None)),
    st.sampled_from(Kind),
    HOSTS,
    PORTS,
)
LISTS = st.lists(
    st.sampled_from(["ok.test", ".ok.test", "a.ok.test:8443", ".a.ok.test:22", "192.0.2.7", "origin:80"]),
    max_size=4,
).map(" ".join)


@given(LISTS, LISTS, st.none() | LISTS, LISTS, TARGETS)
def test_an_allowed_target_passes_every_list(
    domains: str, deny: str, node_allow: str | None, node_deny: str, target: Target
) -> None:
    rules = policy(domains, deny=deny, node_allow=node_allow, node_deny=node_deny)
    decision = decide(rules, target)
    assert decision.allowed is (decision.reason is None)
    if decision.allowed:
        assert rules.node.deny.match(target.host, target.port) is None
        assert rules.job.deny.match(target.host, target.port) is None
        assert rules.job.domains.match(target.host, target.port) is not None
        assert rules.node.allow is None or rules.node.allow.match(target.host, target.port) is not None
    else:
        assert explain(decision, target).isprintable()


@given(LISTS, TARGETS)
def test_what_is_suggested_works(domains: str, target: Target) -> None:
    decision = decide(policy(domains), target)
    if decision.allowed or decision.by_node:
        return
    entry = suggestion(target, needs_port=decision.needs_port)
    mended = decide(policy(f"{domains} {entry}"), target)
    assert mended.allowed or mended.by_node


REPORTED = {
    "unlisted": (connect("other.test:443"), (Reason.NOT_LISTED, False)),
    "port of a listed name": (connect("ok.test:8443"), (Reason.PORT, False)),
    "outside the node's list": (connect("evil.example:443"), (Reason.NOT_LISTED, True)),
    "port that only the node opens": (connect("ok.test:22"), (Reason.PORT, True)),
    "denied": (connect("bad.test:443"), (Reason.DENIED, False)),
}


@pytest.mark.parametrize(("target", "expected"), REPORTED.values(), ids=REPORTED)
def test_what_a_job_only_reports_is_bounded_by_the_node_all_the_same(
    target: Target, expected: tuple[Reason, bool]
) -> None:
    job = JobPolicy(Network.HTTP, RuleSet.parse(["ok.test"]), RuleSet.parse(["bad.test"]), mode=Mode.REPORT)
    node = NodePolicy(allow=RuleSet.parse(["ok.test", "other.test", "bad.test"]))
    decision = decide(Policy(job, node), target)
    assert (decision.reason, decision.by_node) == expected


POLICIES = [
    policy("ok.test"),
    policy("ok.test"),
    policy(".ok.test", deny="bad.ok.test"),
    policy("x.test:8443"),
]
TARGETS = st.builds(
    Target,
    st.sampled_from(Kind),
    st.sampled_from([parse_authority(name, 1).host for name in (b"ok.test", b"bad.ok.test", b"192.0.2.7")]),
    st.integers(1, 3 * Decider.MOST),
)


@given(st.lists(st.tuples(st.sampled_from(POLICIES), TARGETS), max_size=3 * Decider.MOST))
def test_decider_decides_as_if_it_remembered_nothing(asked: list[tuple[Policy, Target]]) -> None:
    decider = Decider()
    for rules, target in asked:
        assert decider.decide(rules, target) == decide(rules, target)


def test_decider_remembers_so_many_decisions_of_one_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Target] = []

    def counted(rules: Policy, target: Target) -> Decision:
        asked.append(target)
        return decide(rules, target)

    monkeypatch.setattr(module, "decide", counted)
    decider, targets = Decider(), [connect(f"ok.test:{port}") for port in range(1, Decider.MOST + 1)]
    for _ in range(2):
        for target in targets:
            decider.decide(POLICIES[0], target)
    assert asked == targets
    decider.decide(POLICIES[1], targets[0])
    decider.decide(POLICIES[0], targets[0])
    assert asked[len(targets) :] == [targets[0]] * 2
    for _ in range(2):
        for target in (*targets, connect("other.test:1")):
            decider.decide(POLICIES[0], target)
    assert len(decider._decisions) <= Decider.MOST
