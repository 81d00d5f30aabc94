"""Jobs within their node."""

from __future__ import annotations

import math

import pytest

from jobgate.config.policy import JobPolicy, Mode, Network, NodePolicy, Policy, PolicyError, Ports, narrow
from jobgate.config.rates import DEFAULT_RATE
from jobgate.config.rules import RuleSet

HTTP = Network.HTTP


def job(domains: list[str], network: Network = HTTP, deny: tuple[str, ...] = ()) -> JobPolicy:
    return JobPolicy(network, RuleSet.parse(domains), RuleSet.parse(deny))


def node(allow: list[str] | None = None, networks: tuple[Network, ...] = (Network.NONE, HTTP)) -> NodePolicy:
    return NodePolicy(networks, None if allow is None else RuleSet.parse(allow))


def test_a_job_that_says_nothing_has_no_network() -> None:
    assert JobPolicy().network is Network.NONE
    assert narrow(JobPolicy(), NodePolicy()) == JobPolicy()


def test_default_rates_are_10_mbit_per_s() -> None:
    assert (JobPolicy().rate_up, JobPolicy().rate_down) == (1_250_000.0, 1_250_000.0)


@pytest.mark.parametrize(
    ("allow", "asked"),
    [
        pytest.param(["example.com"], job([], Network.NONE), id="D-admission-none"),
        pytest.param(["example.com"], job(["example.com"]), id="D-admission-listed"),
        pytest.param([".foo.com"], job([".foo.com"]), id="D-admission-same-suffix"),
        pytest.param([".foo.com"], job(["x.foo.com"]), id="D-admission-below"),
        pytest.param(["example.com"], job(["EXAMPLE.com", "example.com"]), id="bacalhau-5-duplicate"),
        pytest.param([".aei.uni-hannover.de"], job(["x.aei.uni-hannover.de"]), id="D27"),
        pytest.param(["example.com", "proxy.golang.org"], job(["example.com", "proxy.golang.org"]), id="two"),
        pytest.param(["example.com"], job(["example.com:8443"]), id="open-port"),
        pytest.param(["example.com:22"], job(["example.com:22"]), id="node-lists-the-port"),
        pytest.param(None, job(["example.com"]), id="no-node-list"),
    ],
)
def test_narrow_accepts(allow: list[str] | None, asked: JobPolicy) -> None:
    assert narrow(asked, node(allow)) == asked


@pytest.mark.parametrize(
    ("allow", "asked", "messages"),
    [
        pytest.param(None, job([]), ['domains: network "http" needs at least one domain'], id="D-http-empty"),
        pytest.param(
            ["example.com"],
            job(["malware.com"]),
            ['domains: "malware.com" is not covered by the node\'s allow list'],
            id="D-admission-malware",
        ),
        pytest.param(
            ["example.com"],
            job(["example.com", "malware.com", ".evil.com"]),
            [
                'domains: "malware.com" is not covered by the node\'s allow list',
                'domains: ".evil.com" is not covered by the node\'s allow list',
            ],
            id="D-admission-each-is-named",
        ),
        pytest.param(
            ["x.foo.com"],
            job([".foo.com"]),
            ['domains: ".foo.com" is not covered by the node\'s allow list'],
            id="D-admission-wider",
        ),
        pytest.param(
            ["example.com"],
            job(["example.com:22"]),
            ['domains: "example.com:22" is not covered by the node\'s allow list'],
            id="closed-port",
        ),
        pytest.param(
            [],
            job(["a.b"]),
            ['domains: "a.b" is not covered by the node\'s allow list'],
            id="empty-node-list",
        ),
        pytest.param(
            None,
            job([], Network.FULL),
            ['network: the node does not accept "full", only: none, http'],
            id="D-admission-full",
        ),
        pytest.param(
            None,
            job(["a.b"], Network.NONE),
            ['domains: only for network "http", not for "none": leave it out'],
            id="none-with-domains",
        ),
        pytest.param(
            None,
            job(["a.b"], Network.FULL),
            [
                'network: the node does not accept "full", only: none, http',
                'domains: only for network "http", not for "full": leave it out',
            ],
            id="full-with-domains",
        ),
        pytest.param(
            None,
            job([], Network.NONE, ("a.b",)),
            ['deny: only for network "http", not for "none": leave it out'],
            id="none-with-deny",
        ),
    ],
)
def test_narrow_refuses(allow: list[str] | None, asked: JobPolicy, messages: list[str]) -> None:
    with pytest.raises(PolicyError) as caught:
        narrow(asked, node(allow))
    assert str(caught.value).splitlines() == messages


def test_narrow_takes_full_where_the_node_does() -> None:
    asked = job([], Network.FULL)
    assert narrow(asked, node(networks=(Network.FULL,))) == asked


def test_narrow_of_a_node_that_accepts_nothing_says_so() -> None:
    with pytest.raises(PolicyError, match="only: nothing"):
        narrow(JobPolicy(), NodePolicy(networks=()))


def test_narrow_bounds_the_rates() -> None:
    bounded = narrow(
        JobPolicy(rate_up=math.inf, rate_down=1000.0), NodePolicy(max_rate_up=5000.0, max_rate_down=5000.0)
    )
    assert (bounded.rate_up, bounded.rate_down) == (5000.0, 1000.0)


def test_narrow_leaves_rates_below_the_maximum() -> None:
    assert narrow(JobPolicy(), NodePolicy()).rate_up == DEFAULT_RATE


def test_narrow_uses_the_ports_of_the_node() -> None:
    open_22 = NodePolicy(allow=RuleSet.parse(["a.b"]), connect_ports=Ports.parse([22]), http_ports=Ports())
    assert narrow(job(["a.b:22"]), open_22) == job(["a.b:22"])
    with pytest.raises(PolicyError, match=r"a\.b:443"):
        narrow(job(["a.b:443"]), open_22)


REPORT, ENFORCE = Mode.REPORT, Mode.ENFORCE


@pytest.mark.parametrize(
    ("of_job", "of_node", "own", "by_node"),
    [
        pytest.param(None, ENFORCE, False, False, id="nothing-said"),
        pytest.param(None, REPORT, True, True, id="node-reports"),
        pytest.param(REPORT, ENFORCE, True, False, id="job-reports-the-node-still-bounds-it"),
        pytest.param(REPORT, REPORT, True, True, id="both-report"),
        pytest.param(ENFORCE, REPORT, False, False, id="job-enforces"),
    ],
)
@pytest.mark.parametrize("reason", ["not-listed", "port", "sni", "not-tls"])
def test_reports(of_job: Mode | None, of_node: Mode, own: bool, by_node: bool, reason: str) -> None:
    policy = Policy(JobPolicy(mode=of_job), NodePolicy(mode=of_node))
    assert (policy.reports(reason), policy.reports(reason, by_node=True)) == (own, by_node)


@pytest.mark.parametrize("reason", ["denied", "address", "self", "auth", "quota", "bad-request", "not-http"])
def test_other_reasons_are_enforced_in_every_mode(reason: str) -> None:
    assert not Policy(JobPolicy(mode=REPORT), NodePolicy(mode=REPORT)).reports(reason)
