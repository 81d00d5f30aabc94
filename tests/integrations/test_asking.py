from __future__ import annotations

import pytest

from jobgate.config.policy import JobPolicy, Network, NodePolicy
from jobgate.config.rules import NO_RULES, RuleSet
from jobgate.integrations.asking import Ask, JobError, node_problems


def ask(*domains: str, place: str = "") -> Ask:
    return Ask(place, JobPolicy(Network.HTTP, RuleSet.parse(domains)))


@pytest.mark.parametrize(
    ("domains", "deny", "problems"),
    [
        ([".example.com", "a.b"], "", []),
        (["evil.com", "a.b"], "", ['domains: "evil.com" is not covered by the node\'s allow list']),
        (["a.b"], "a.b", ['domains: "a.b" is in the node\'s deny list']),
        (["a.b"], "a.b:1234", []),
        (["a.b:1234"], "a.b:1234", ['domains: "a.b:1234" is in the node\'s deny list']),
        ([".example.com"], "api.example.com", []),
    ],
    ids=["covered", "outside", "denied", "one-port-denied", "that-port", "a-part-denied"],
)
def test_node_problems_name_each_domain(domains: list[str], deny: str, problems: list[str]) -> None:
    denied = RuleSet.parse([deny]) if deny else NO_RULES
    node = NodePolicy(allow=RuleSet.parse([".example.com", "a.b"]), deny=denied)
    assert node_problems(ask(*domains), node) == problems


def test_place_is_in_front() -> None:
    (problem,) = node_problems(ask("a.b", place='task "x"'), NodePolicy(networks=(Network.NONE,)))
    assert problem == 'task "x": network: the node does not accept "http", only: none'


def test_record_is_what_a_job_table_has() -> None:
    assert ask("a.b").record() == {"network": "http", "domains": ["a.b"]}
    assert Ask("", JobPolicy()).record() == {"network": "none"}


def test_job_error_has_all_problems() -> None:
    error = JobError(iter(["a", "b"]))
    assert (error.problems, str(error)) == (["a", "b"], "a\nb")
