"""What the refused are told: why, and which entry would let them pass."""

from __future__ import annotations

import pytest

from jobgate.config.policy import Policy
from jobgate.proxy.decision import Target, decide, explain, suggestion, suggestions
from support.policies import connect, http, policy

EXPLAINED = {
    "name": (
        policy("ok.test"),
        connect("www.example.com:443"),
        'www.example.com:443 is not in this job\'s domains. Add "www.example.com" or ".example.com".',
    ),
    "port": (
        policy("ok.test"),
        connect("www.ok.org:8443"),
        'www.ok.org:8443 is not in this job\'s domains. Add "www.ok.org:8443" or ".ok.org:8443".',
    ),
    "low port": (
        policy("ok.test"),
        connect("origin:22"),
        "origin:22 is not in this job's domains. Add \"origin:22\" to the job's and to the node's lists.",
    ),
    "registry": (
        policy("ok.test"),
        http("foo.co.uk"),
        'foo.co.uk:80 is not in this job\'s domains. Add "foo.co.uk" or ".foo.co.uk".',
    ),
    "two labels": (
        policy("ok.test"),
        http("foo.test"),
        'foo.test:80 is not in this job\'s domains. Add "foo.test" or ".foo.test".',
    ),
    "one label": (
        policy("ok.test"),
        http("origin"),
        'origin:80 is not in this job\'s domains. Add "origin".',
    ),
    "address": (
        policy("ok.test"),
        http("[2001:db8::1]"),
        '[2001:db8::1]:80 is not in this job\'s domains. Add "2001:db8::1".',
    ),
    "listed on another port": (
        policy("ok.test"),
        http("ok.test:443"),
        '"ok.test" is in this job\'s domains, but port 443 is not open for plain HTTP. Add "ok.test:443".',
    ),
    "listed, low port": (
        policy(".ok.test"),
        connect("a.ok.test:22"),
        '".ok.test" is in this job\'s domains, but port 22 is not open for CONNECT. '
        "Add \"a.ok.test:22\" to the job's and to the node's lists.",
    ),
    "deny": (
        policy("ok.test", deny="ok.test"),
        http("ok.test"),
        'ok.test:80 is denied by this job\'s own entry "ok.test".',
    ),
    "node deny": (
        policy("ok.test", node_deny="ok.test"),
        http("ok.test"),
        "ok.test:80 is in this node's deny list, which no job can lift.",
    ),
    "node allow": (
        policy("ok.test", node_allow="a.test"),
        http("ok.test"),
        "ok.test:80 is outside this node's policy, which bounds every job.",
    ),
    "node port": (
        policy("ok.test:22"),
        connect("ok.test:22"),
        "ok.test:22 is outside this node's policy, which bounds every job: "
        "port 22 needs an entry of the node's own.",
    ),
}


@pytest.mark.parametrize(("rules", "target", "text"), EXPLAINED.values(), ids=EXPLAINED)
def test_explain_says_what_to_do(rules: Policy, target: Target, text: str) -> None:
    assert explain(decide(rules, target), target) == text


@pytest.mark.parametrize(
    ("target", "entry"),
    [
        (connect("a.ok.test:443"), "a.ok.test"),
        (connect("a.ok.test:80"), "a.ok.test"),
        (connect("a.ok.test:8080"), "a.ok.test:8080"),
        (http("a.ok.test:8080"), "a.ok.test"),
        (http("a.ok.test:443"), "a.ok.test:443"),
        (connect("[2001:db8::1]:22"), "[2001:db8::1]:22"),
    ],
)
def test_suggestion_is_an_entry_for_the_default_ports(target: Target, entry: str) -> None:
    assert suggestion(target) == entry


@pytest.mark.parametrize(
    ("target", "needs_port", "entries"),
    [
        (connect("a.ok.test:443"), False, ["a.ok.test", ".ok.test"]),
        (connect("a.ok.test:443"), True, ["a.ok.test:443", ".ok.test:443"]),
        (connect("ok.co.uk:443"), False, ["ok.co.uk", ".ok.co.uk"]),
        (connect("localhost:443"), False, ["localhost"]),
        (connect("192.0.2.7:443"), False, ["192.0.2.7"]),
    ],
)
def test_suggestions_begin_with_the_narrowest(target: Target, needs_port: bool, entries: list[str]) -> None:
    assert suggestions(target, needs_port=needs_port) == entries
