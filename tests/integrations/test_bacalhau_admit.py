"""The tables of Bacalhau's tests, row by row; ``differs`` in an id marks what jobgate decides otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jobgate.config.policy import Network, NodePolicy
from jobgate.config.rules import RuleSet
from jobgate.integrations.asking import JobError, node_problems
from jobgate.integrations.bacalhau_admit import MAX_DOMAINS, is_bacalhau, read_job
from jobgate.integrations.documents import DocumentError

HTTP = NodePolicy(
    networks=(Network.NONE, Network.HTTP),
    allow=RuleSet.parse(["example.com", "proxy.golang.org", ".aei.uni-hannover.de"]),
)
NONE = NodePolicy(networks=(Network.NONE,))
ALL = NodePolicy(networks=tuple(Network))


def task(
    kind: object = None, domains: Sequence[object] | None = None, name: str = "main"
) -> dict[str, object]:
    network: dict[str, object] = {"Type": kind}
    if domains is not None:
        network["Domains"] = list(domains)
    return {"Name": name, "Engine": {"Type": "docker"}, "Network": network}


def probe(*tasks: dict[str, object]) -> dict[str, object]:
    return {"Job": {"ID": "j-1", "Type": "batch", "Tasks": list(tasks)}}


def old_probe(kind: str, domains: Sequence[str] = ()) -> dict[str, object]:
    network = {"Type": kind, "Domains": list(domains)}
    return {"node_id": "n", "job_id": "j", "spec": {"Engine": "docker", "Network": network}}


def problems(document: dict[str, object], node: NodePolicy, default: Network = Network.NONE) -> list[str]:
    try:
        asks = read_job(document, default)
    except JobError as error:
        return error.problems
    return [problem for ask in asks for problem in node_problems(ask, node)]


@pytest.mark.parametrize(
    ("node", "kind", "accepted"),
    [
        pytest.param(ALL, "None", True, id="accepting-none"),
        pytest.param(ALL, "Default", True, id="accepting-default"),
        pytest.param(ALL, "Host", True, id="accepting-host"),
        pytest.param(ALL, "Full", True, id="accepting-full"),
        pytest.param(ALL, "Bridge", True, id="accepting-bridge"),
        pytest.param(NONE, "None", True, id="rejecting-none"),
        pytest.param(NONE, "Default", True, id="rejecting-default"),
        pytest.param(NONE, "Host", False, id="rejecting-host"),
        pytest.param(NONE, "Full", False, id="rejecting-full"),
        pytest.param(NONE, "Bridge", False, id="rejecting-bridge"),
    ],
)
def test_network_strategy(node: NodePolicy, kind: str, accepted: bool) -> None:
    """pkg/bidstrategy/semantic: (reject, type) -> bid, now and in v0.3.17."""
    assert (problems(probe(task(kind)), node) == []) is accepted
    assert (problems(old_probe(kind), node) == []) is accepted


EXAMPLE, MALWARE, GOLANG = "example.com", "malware.com", "proxy.golang.org"


@pytest.mark.parametrize(
    ("kind", "domains", "named"),
    [
        pytest.param("None", [], [], id="none"),
        pytest.param("Default", [], [], id="default"),
        pytest.param("Host", [], ["full"], id="host"),
        pytest.param("Full", [], ["full"], id="full"),
        pytest.param("HTTP", [], ["at least one domain"], id="http-without-domains-differs"),
        pytest.param("HTTP", [EXAMPLE], [], id="http"),
        pytest.param("Host", [EXAMPLE], [EXAMPLE], id="host-example"),
        pytest.param("Full", [EXAMPLE], [EXAMPLE], id="full-example"),
        pytest.param("HTTP", [MALWARE], [MALWARE], id="http-malware"),
        pytest.param("Host", [MALWARE], [MALWARE], id="host-malware"),
        pytest.param("Full", [MALWARE], [MALWARE], id="full-malware"),
        pytest.param("HTTP", [EXAMPLE, GOLANG], [], id="http-two"),
        pytest.param("HTTP", [MALWARE, GOLANG], [MALWARE], id="http-one-bad"),
        pytest.param("HTTP", [EXAMPLE, EXAMPLE], [], id="duplicate-differs"),
        pytest.param("HTTP", ["x.aei.uni-hannover.de"], [], id="D27-below-differs"),
        pytest.param("HTTP", ["aei.uni-hannover.de"], [], id="D27-apex-differs"),
        pytest.param("HTTP", [".x.aei.uni-hannover.de"], [], id="D27-suffix-differs"),
        pytest.param("HTTP", [".example.com"], [".example.com"], id="D28"),
        pytest.param("HTTP", ["EXAMPLE.com", " example.com "], [], id="D25-spelling-differs"),
        pytest.param("http", [EXAMPLE], [], id="lower-case-differs"),
        pytest.param(" HtTp ", [EXAMPLE], [], id="blanks"),
        pytest.param("HTTP", [""], ['invalid domain ""'], id="empty-domain-differs"),
        pytest.param("None", [EXAMPLE], [EXAMPLE], id="none-with-domains"),
        pytest.param(None, [EXAMPLE], [EXAMPLE], id="unset-with-domains"),
        pytest.param(None, None, [], id="unset"),
        pytest.param("", None, [], id="empty-type"),
        pytest.param("invalid", [], ['unknown type "invalid"'], id="unknown-type"),
        pytest.param(2, [], ["expected a text"], id="number-of-a-type"),
        pytest.param("HTTP", ["example.com:8080"], ['"example.com:8080"', '"example.com"'], id="D26-port"),
        pytest.param("HTTP", ["http://example.com"], ['"http://example.com"'], id="D26-url"),
        pytest.param("HTTP", ["*.example.com"], ['"*.example.com"'], id="D26-wildcard"),
        pytest.param("HTTP", ["e.com\nother.test"], [r'"e.com\nother.test"'], id="D26-newline"),
        pytest.param("HTTP", ["..e.com", "a b.com"], ['"..e.com"', '"a b.com"'], id="D26-all-named"),
        pytest.param(
            "HTTP", ["192.168.0.1/32", "at@.walker"], ["192.168.0.1/32", "at@.walker"], id="validation"
        ),
        pytest.param("HTTP", [5], ["[0]: expected a text"], id="domain-is-a-number"),
    ],
)
def test_allowlist_strategy(kind: object, domains: list[object] | None, named: list[str]) -> None:
    """networking_allowlist_test.go and what was observed of its script; every refusal names the domains."""
    found = "\n".join(problems(probe(task(kind, domains)), HTTP))
    assert (found == "") is (named == [])
    for word in named:
        assert word in found
    assert not found or found.startswith('task "main": ')


def test_every_task_counts() -> None:
    good, bad = task("HTTP", [EXAMPLE], "a"), task("HTTP", [MALWARE], "b")
    assert problems(probe(good, task("HTTP", [GOLANG], "c"), task()), HTTP) == []
    (problem,) = problems(probe(good, bad), HTTP)
    assert problem.startswith('task "b": domains: "malware.com"')
    both = problems(probe(task("x", name="a"), {"Network": {"Type": "y"}}), HTTP)
    assert [line.partition(":")[0] for line in both] == ['task "a"', "task 2"]


@pytest.mark.parametrize(
    "document",
    [
        probe(task("HTTP", [EXAMPLE])),
        {"job": {"tasks": [{"network": {"type": "HTTP", "domains": [EXAMPLE]}}]}},
        {"Name": "x", "Tasks": [task("HTTP", [EXAMPLE])]},
        old_probe("HTTP", [EXAMPLE]),
        {"Spec": {"Network": {"Type": "HTTP", "Domains": [EXAMPLE]}}},
        {"APIVersion": "V1beta1", "Job": {"Spec": {"Network": {"Type": "HTTP", "Domains": [EXAMPLE]}}}},
    ],
    ids=["probe", "lower-case", "specification", "old-probe", "old-specification", "v1beta1"],
)
def test_forms_of_a_job(document: dict[str, object]) -> None:
    assert is_bacalhau(document)
    (ask,) = read_job(document, Network.NONE)
    assert ask.record() == {"network": "http", "domains": [EXAMPLE]}
    assert problems(document, HTTP) == []
    assert problems(document, NONE) != []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"Job": {}}, "no Tasks and no Spec"),
        ({"Job": {"Tasks": []}}, "no Tasks and no Spec"),
        ({"Job": {"Tasks": "x"}}, "no Tasks and no Spec"),
        ({"Job": []}, "Job: expected an object"),
        ({"Job": {"Tasks": ["x"]}}, "Tasks[0]: expected an object"),
        ({"Job": {"Tasks": [{"Network": "HTTP"}]}}, "Network: expected an object"),
        ({"Job": {"Tasks": [{"Network": {"Type": "HTTP", "Domains": "a.b"}}]}}, "expected a list"),
        (probe(task("HTTP", ["a.b"] * (MAX_DOMAINS + 1))), "more than 10000 entries"),
        ({"Job": {"Tasks": [{}], "Spec": {}}}, "Tasks and Spec"),
        ({"Job": {"Tasks": [{}]}, "spec": {}}, "more than one job"),
    ],
)
def test_what_is_no_job_is_refused(document: dict[str, object], words: str) -> None:
    with pytest.raises(JobError) as caught:
        read_job(document, Network.NONE)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        {"Job": {"Tasks": [{"Network": {"Type": "None"}, "network": {"Type": "Host"}}]}},
        {"Job": {"Tasks": [{}], "Ta\u017fks": [{"Network": {"Type": "Host"}}]}},
        {"Job": {"Tasks": [{"Network": {"Type": "None", "Domain\u017f": [MALWARE], "Domains": []}}]}},
    ],
    ids=["case", "long-s", "long-s-inside"],
)
def test_two_spellings_of_a_key_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(DocumentError, match="two spellings"):
        read_job(document, Network.NONE)


def test_job_of_one_spelling_is_not_hidden_behind_one_of_another() -> None:
    with pytest.raises(JobError, match="more than one job"):
        read_job({"Tasks": [{}], "\u017fpec": {"Network": {"Type": "Host"}}}, Network.NONE)


@pytest.mark.parametrize(
    "document",
    [
        probe(task("default")),
        probe(task()),
        probe(task("")),
        probe({"Name": "main"}),
        probe({"Name": "main", "Network": None}),
        probe({"Name": "main", "Network": {}}),
    ],
    ids=["said", "null", "empty", "no-network", "network-null", "no-type"],
)
def test_default_is_what_the_node_makes_of_it(document: dict[str, object]) -> None:
    assert problems(document, HTTP, Network.NONE) == []
    assert problems(document, HTTP, Network.FULL) == [
        'task "main": network: the node does not accept "full", only: none, http'
    ]
