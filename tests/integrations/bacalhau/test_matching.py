"""Group D of the acceptance cases: Bacalhau's own tables of domains, by our rules.

Left out, because they are about ports that come into a job, or copies of mutable values:
``PortValidation``, ``InvalidPortMapping``, ``Copy``.
"""

from __future__ import annotations

import pytest

from jobgate.config.host import parse_host
from jobgate.config.policy import Policy
from jobgate.config.rule import RuleError
from jobgate.config.rules import RuleSet
from jobgate.integrations.bacalhau.variables import read_domain
from jobgate.proxy.decision import Kind, Target, decide
from support.bacalhau import bacalhau_settings, variables


def allowed(domains: list[str], host: str, *, kind: Kind = Kind.HTTP, port: int = 80) -> bool:
    """Ask the very decision of the gate."""
    settings = bacalhau_settings(variables(domains))
    policy = Policy(settings.jobs[0].policy, settings.node.policy)
    return decide(policy, Target(kind, parse_host(host.encode()), port)).allowed


VALID = {
    "D1-address": "192.168.0.1",
    "D2-ipv6": "0000:0000:0000:0000:0000:0000:0000:0001",
    "D3-name": "example.com",
    "D4-suffix": ".example.com",
}


@pytest.mark.parametrize("entry", VALID.values(), ids=VALID)
def test_domain_that_upstream_takes_is_taken(entry: str) -> None:
    assert read_domain(entry).port is None


@pytest.mark.parametrize("entry", ["at@.walker", "192.168.0.1/32"], ids=["D5-at", "D6-range"])
def test_domain_that_upstream_refuses_is_refused(entry: str) -> None:
    with pytest.raises(RuleError):
        read_domain(entry)


SETS = {
    "D7-one": (["example.com"], ["example.com"]),
    "D8-two": (["example.com", "test.com"], ["example.com", "test.com"]),
    "D9-suffix": (["y.foo.com", ".foo.com", "x.foo.com"], [".foo.com"]),
    "D10-unrelated": (["foo.com", "bar.com"], ["foo.com", "bar.com"]),
    "D11-name-covers-none": (["y.foo.com", "foo.com", "x.foo.com"], ["y.foo.com", "foo.com", "x.foo.com"]),
    "D21-suffix-after-name": (["www.e.com", ".e.com"], [".e.com"]),
    "D22-suffix-before-name": ([".e.com", "www.e.com"], [".e.com"]),
    "D23-apex-first": (["e.com", ".e.com"], [".e.com"]),
    "D23-suffix-first": ([".e.com", "e.com"], [".e.com"]),
    "D24-twice": (["e.com", "e.com"], ["e.com"]),
    "not-adjacent": ([".foo.com", "bar.com", "x.foo.com"], [".foo.com", "bar.com"]),
    "D12-normalized": ([" EXAMPLE.com ", "TEST.com "], ["example.com", "test.com"]),
}


@pytest.mark.parametrize(("entries", "rules"), SETS.values(), ids=SETS)
def test_overlapping_lists_are_taken_and_reduced(entries: list[str], rules: list[str]) -> None:
    (job,) = bacalhau_settings(variables(entries)).jobs
    assert [str(rule) for rule in job.policy.domains] == rules


# Upstream compares two entries that may both be suffixes; a gate compares an entry with a host.
MATCHING = {
    "D13-equal": ("foo.com", "foo.com", True),
    "D14-suffix-apex": (".foo.com", "foo.com", True),
    "D14-suffix-with-space": (" .foo.com", "foo.com", True),
    "D15-suffix-below": (".foo.com", "x.foo.com", True),
    "D15-suffix-two-below": (".foo.com", "y.x.foo.com", True),
    "D16-case": ("FOO.com", "foo.COM", True),
    "D17-below-a-name": ("foo.com", "x.foo.com", False),
    "D17-above-a-name": ("x.foo.com", "foo.com", False),
    "D18-other": ("foo.com", "bar.com", False),
    "D18-other-suffix": (".bar.com", "foo.com", False),
    "D18-suffix-other": (".foo.com", "bar.com", False),
    "D19-longer-label": ("foo.com", "zzz.com", False),
    "D19-prefix-in-label": ("afoo.com", "bfoo.com", False),
    "D19-ends-alike": (".foo.com", "x-foo.com", False),
    "D25-upper-case": ("EXAMPLE.com", "example.com", True),
    "D25-spaces": (" example.com ", "example.com", True),
}


@pytest.mark.parametrize(("entry", "host", "expected"), MATCHING.values(), ids=MATCHING)
def test_entry_matches_host(entry: str, host: str, expected: bool) -> None:
    assert allowed([entry], host) is expected
    assert allowed([entry], host, kind=Kind.CONNECT, port=443) is expected


def test_suffix_is_not_lost_beside_its_apex_d20() -> None:
    assert allowed(["foo.com", ".foo.com"], "a.foo.com")


# The in-process client of WASM jobs reads lists by other rules upstream; here there is one kind of list.
WASM = {
    "D29-port-of-the-request": ("example.com", "example.com", 8080, True),
    "D30-other": ("example.com", "test.com", 80, False),
    "D31-leading-dot": (".example.com", "api.example.com", 80, True),
    "D32-case": ("Example.com", "example.com", 80, True),
}


@pytest.mark.parametrize(("entry", "host", "port", "expected"), WASM.values(), ids=WASM)
def test_list_of_a_wasm_job_means_the_same(entry: str, host: str, port: int, expected: bool) -> None:
    assert allowed([entry], host, port=port) is expected


@pytest.mark.parametrize(
    "entry", ["*.example.com", "api.*", "api.*.com", "*", "127.0.0.*"], ids=lambda entry: f"D33-{entry}"
)
def test_wildcards_are_refused(entry: str) -> None:
    with pytest.raises(RuleError):
        read_domain(entry)


COVERS = {
    "D27-below": (".aei.uni-hannover.de", "x.aei.uni-hannover.de", True),
    "D27-apex": (".aei.uni-hannover.de", "aei.uni-hannover.de", True),
    "D27-suffix-below": (".aei.uni-hannover.de", ".x.aei.uni-hannover.de", True),
    "D28-name-over-suffix": ("e.com", ".e.com", False),
}


@pytest.mark.parametrize(("node", "job", "expected"), COVERS.values(), ids=COVERS)
def test_coverage(node: str, job: str, expected: bool) -> None:
    assert RuleSet.parse([node]).covers(read_domain(job)) is expected
