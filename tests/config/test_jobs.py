"""The jobs of a file."""

from __future__ import annotations

import math

import pytest

from jobgate.config.convert import Problem
from jobgate.config.jobs import read_jobs
from jobgate.config.policy import JobPolicy, Network, NodePolicy, Tls
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings

NODE = NodePolicy()
WEB: dict[str, object] = {"id": "web", "network": "http", "domains": ["a.b"], "listen": "127.0.0.1:3128"}


def problems_of(*tables: dict[str, object], node: NodePolicy = NODE) -> list[str]:
    return [f"{path}: {message}" for path, message in read_jobs(list(tables), node)[1]]


def test_read_jobs_reads_every_key() -> None:
    table = WEB | {
        "deny": ["x.a.b"],
        "rate_up": "unlimited",
        "rate_down": 1000,
        "burst": 4096,
        "tls": "any",
        "job_header": "X-Job",
        "max_connections": 7,
        "env": {"A": "b"},
        "labels": {"team": "x"},
    }
    policy = JobPolicy(
        Network.HTTP, RuleSet.parse(["a.b"]), RuleSet.parse(["x.a.b"]), math.inf, 1000.0, Tls.ANY
    )
    expected = JobSettings("web", policy, "127.0.0.1:3128", 4096, "X-Job", 7, {"A": "b"}, {"team": "x"})
    assert read_jobs([table], NODE) == ((expected,), [])


def test_read_jobs_bounds_rates_by_the_node() -> None:
    jobs, _ = read_jobs([WEB], NodePolicy(max_rate_up=1000.0))
    assert (jobs[0].policy.rate_up, jobs[0].policy.rate_down) == (1000.0, 1_250_000.0)


def test_read_jobs_without_network_has_none() -> None:
    jobs, problems = read_jobs([{"id": "quiet"}], NODE)
    assert (jobs[0].policy.network, problems) == (Network.NONE, [])


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        pytest.param({}, ["job[0].id: missing: every job has an id"], id="no-id"),
        pytest.param(
            WEB | {"domains": []},
            ['job[0].domains: network "http" needs at least one domain'],
            id="D-empty-list",
        ),
        pytest.param(
            {key: WEB[key] for key in WEB if key != "domains"},
            ['job[0].domains: network "http" needs at least one domain'],
            id="D-missing-list",
        ),
        pytest.param(
            {key: WEB[key] for key in WEB if key != "listen"},
            ['job[0].listen: missing: write where the job finds its proxy, "127.0.0.1:3128"'],
            id="no-listen",
        ),
        pytest.param(
            {"id": "a", "listen": "127.0.0.1:1"},
            ['job[0].listen: network "none" has no listener: leave it out'],
            id="none-with-listen",
        ),
        pytest.param(
            {"id": "a", "domains": ["a.b"]},
            ['job[0].domains: only for network "http", not for "none": leave it out'],
            id="none-with-domains",
        ),
        pytest.param(
            {"id": "a", "network": "full"},
            ['job[0].network: the node does not accept "full", only: none, http'],
            id="full",
        ),
        pytest.param(
            WEB | {"domains": ["*.example.com"]},
            ['job[0].domains[0]: "*.example.com": write ".example.com"'],
            id="star",
        ),
        pytest.param(
            WEB | {"burst": 4095},
            ["job[0].burst: expected a number from 4096 to 1073741824, got 4095"],
            id="burst",
        ),
        pytest.param(
            WEB | {"network": "web"},
            ["job[0].network: expected one of: none, http, full"],
            id="bad-network-only",
        ),
        pytest.param(
            WEB | {"tls": True},
            ["job[0].tls: expected one of: require, any"],
            id="bad-tls",
        ),
        pytest.param(
            WEB | {"netwrok": "http"},
            ['job[0].netwrok: unknown key, did you mean "network"?'],
            id="D-unknown-key",
        ),
    ],
)
def test_read_jobs_says_what_is_wrong_and_nothing_else(table: dict[str, object], problems: list[str]) -> None:
    assert problems_of(table) == problems


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "clients",
        "max_bytes_up",
        "max_bytes_down",
        "max_duration_s",
        "expires",
        "mode",
        "netns",
        "peer_uids",
    ],
)
def test_key_of_a_missing_feature_is_unknown(key: str) -> None:
    assert [problem.partition(";")[0].partition(",")[0] for problem in problems_of(WEB | {key: ""})] == [
        f"job[0].{key}: unknown key"
    ]


def test_uncovered_domains_are_each_named() -> None:
    node = NodePolicy(allow=RuleSet.parse([".example.com"]))
    assert problems_of(WEB | {"domains": ["www.example.com", "malware.com", ".b.c"]}, node=node) == [
        'job[0].domains: "malware.com" is not covered by the node\'s allow list',
        'job[0].domains: ".b.c" is not covered by the node\'s allow list',
    ]


def test_duplicates_are_found_in_any_spelling() -> None:
    v6 = WEB | {"listen": "[::1]:3128"}
    assert problems_of(v6, WEB | {"id": "b"}, WEB | {"listen": "[0::1]:3128"}) == [
        'job[2].id: "web" is the id of job[0] already',
        'job[2].listen: "[::1]:3128" is the listener of job[0] already',
    ]


def test_duplicates_are_found_beside_other_errors() -> None:
    assert problems_of(WEB, WEB | {"rate_up": "x", "listen": "unix:/a"})[-1] == (
        'job[1].id: "web" is the id of job[0] already'
    )


def test_port_0_is_another_one_each_time() -> None:
    free: dict[str, object] = {"listen": "127.0.0.1:0"}
    assert problems_of(WEB | free, WEB | free | {"id": "b"}) == []


@pytest.mark.parametrize("tables", [{}, "a", 1], ids=["table", "text", "number"])
def test_read_jobs_wants_an_array_of_tables(tables: object) -> None:
    assert read_jobs(tables, NODE) == (
        (),
        [Problem("job", "expected an array of tables: write [[job]] above each job")],
    )


def test_read_jobs_wants_tables_in_the_array() -> None:
    assert read_jobs([1, WEB], NODE)[1] == [Problem("job[0]", "expected a table")]
    assert [job.id for job in read_jobs([1, WEB], NODE)[0]] == ["web"]
