"""The jobs of a file."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields

import pytest

from jobgate.config.convert import Problem
from jobgate.config.job_table import JobTable
from jobgate.config.jobs import job_document, read_job, read_jobs
from jobgate.config.policy import JobPolicy, Mode, Network, NodePolicy, Tls
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
            [
                'job[0].listen: missing: write where the job finds its proxy, "127.0.0.1:3128", '
                "or how it is known on the shared listeners: token or clients"
            ],
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


UNIX = WEB | {"listen": "unix:/a"}
SHARED = {key: WEB[key] for key in WEB if key != "listen"}
NO_SHARED = 'the job has no listener of its own and there is no shared one: add listen, or "[listen] proxy"'


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        pytest.param(SHARED | {"token": "t"}, [f"job[0].token: {NO_SHARED}"], id="token"),
        pytest.param(SHARED | {"clients": ["::1"]}, [f"job[0].clients: {NO_SHARED}"], id="clients"),
        pytest.param(WEB | {"token": "t", "clients": ["::1"], "netns": "job-42"}, [], id="own-TCP-listener"),
        pytest.param(UNIX | {"token": "t", "peer_uids": [0]}, [], id="own-unix-listener"),
        pytest.param(
            UNIX | {"clients": ["::1"], "netns": "job-42"},
            [
                'job[0].netns: only for a TCP listener of the job\'s own: add listen = "127.0.0.1:3128", '
                "or leave it out",
                "job[0].clients: a unix listener has no source addresses: leave it out",
            ],
            id="unix-with-the-ways-of-TCP",
        ),
        pytest.param(
            WEB | {"peer_uids": [0]},
            [
                'job[0].peer_uids: only for a unix listener of the job\'s own: add listen = "unix:/path", '
                "or leave it out"
            ],
            id="TCP-with-the-way-of-unix",
        ),
        pytest.param(
            {"id": "a", "token": "t", "peer_uids": [0]},
            [
                'job[0].token: network "none" has no listener: leave it out',
                'job[0].peer_uids: network "none" has no listener: leave it out',
            ],
            id="no-network",
        ),
        pytest.param(
            SHARED | {"token": "t t"},
            ["job[0].token: a token has 1 to 256 visible ASCII characters and no space"],
            id="bad-token-only",
        ),
        pytest.param(
            WEB | {"max_bytes_up": -1, "max_duration_s": "1h", "expires": "soon", "mode": "x"},
            [
                "job[0].max_bytes_up: expected a number from 0 to 1152921504606846976, got -1",
                'job[0].max_duration_s: expected a number, got the text "1h"',
                'job[0].expires: expected a time with its offset (RFC 3339), as in "2026-11-20T13:25:07Z"',
                "job[0].mode: expected one of: enforce, report",
            ],
            id="budgets",
        ),
    ],
)
def test_how_a_job_is_known(table: dict[str, object], problems: list[str]) -> None:
    assert problems_of(table) == problems


ALONE = (
    "job[0].max_members: members show the job's token on the shared listeners: add token and leave listen out"
)
ANEW = "not for a job with max_members: a member that was forgotten would begin anew"


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        pytest.param(SHARED | {"token": "t"}, [], id="shared-with-token"),
        pytest.param(SHARED | {"token": "t", "clients": ["::1"]}, [], id="and-source"),
        pytest.param(SHARED | {"clients": ["::1"]}, [ALONE], id="source-alone"),
        pytest.param(WEB | {"token": "t"}, [ALONE], id="own-listener"),
        pytest.param(
            SHARED | {"token": "t", "max_bytes_up": 1, "max_bytes_down": 0, "max_duration_s": 1},
            [f"job[0].max_bytes_up: {ANEW}", f"job[0].max_duration_s: {ANEW}"],
            id="quotas",
        ),
        pytest.param(
            {"id": "a"}, ['job[0].max_members: network "none" has no listener: leave it out'], id="no-network"
        ),
    ],
)
def test_members_need_a_token_and_no_quota(table: dict[str, object], problems: list[str]) -> None:
    found = read_jobs([table | {"max_members": 5}], NODE, shared=True)[1]
    assert [f"{path}: {message}" for path, message in found] == problems


def test_jobs_without_a_listener_share_one() -> None:
    tables = [
        SHARED | {"id": "a", "token": "t", "clients": ["10.0.0.0/8"]},
        SHARED | {"id": "b", "token": "u", "clients": ["10.0.0.0/8"]},
        SHARED | {"id": "c", "clients": ["192.0.2.0/24"]},
    ]
    jobs, problems = read_jobs(tables, NODE, shared=True)
    assert ([job.id for job in jobs], problems) == (["a", "b", "c"], [])
    _, problems = read_jobs([*tables, SHARED | {"id": "d", "clients": ["192.0.2.7"]}], NODE, shared=True)
    assert [problem.path for problem in problems] == ["job[3].clients"]


EVERY_KEY = SHARED | {
    "clients": ["10.0.0.0/8"],
    "deny": ["x.a.b"],
    "rate_up": "unlimited",
    "rate_down": 1000.5,
    "burst": 4096,
    "max_bytes_up": 5,
    "max_bytes_down": 6,
    "max_duration_s": 7,
    "expires": "2026-11-20T13:25:07.5Z",
    "labels": {"team": "x"},
    "mode": "report",
    "tls": "any",
    "job_header": "X-Job",
    "max_connections": 9,
    "env": {"A": "b"},
}


def test_read_job_keeps_a_token_as_its_hash_alone() -> None:
    job, problems = read_job(EVERY_KEY | {"token": "s3cret"}, NODE)
    assert (problems, job and job.token) == ([], "")
    assert job is not None
    assert job.token_hash == hashlib.sha256(b"s3cret").digest()
    assert (job.max_bytes_up, job.max_bytes_down, job.max_duration_s) == (5, 6, 7.0)
    assert (job.expires_at, job.policy.mode) == (1795181107.5, Mode.REPORT)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(EVERY_KEY, id="every-key"),
        pytest.param(UNIX | {"peer_uids": [3, 1]}, id="unix"),
        pytest.param(WEB | {"netns": "job-42"}, id="netns"),
        pytest.param({"id": "a"}, id="no-network"),
        pytest.param({"id": "a", "network": "none", "expires": "2026-11-20T13:25:07+01:00"}, id="expires"),
    ],
)
def test_job_document_reads_back_and_is_json(table: dict[str, object]) -> None:
    job, problems = read_job(table, NODE)
    assert job is not None, problems
    document = json.loads(json.dumps(job_document(job)))
    assert read_job(document, NODE) == (job, [])
    assert set(document) | {"burst", "token"} == {field.name for field in fields(JobTable)}


def test_job_document_needs_the_token_hash_beside_it() -> None:
    job, _ = read_job(SHARED | {"token": "s3cret"}, NODE)
    assert job is not None
    document = job_document(job)
    assert "s3cret" not in str(document)
    assert [problem.path for problem in read_job(document, NODE)[1]] == ["listen"]
    assert read_job(document, NODE, token_hash=job.token_hash) == (job, [])
    assert [problem.path for problem in read_job(document | {"token": ""}, NODE, token_hash=b"x")[1]] == [
        "listen"
    ]


def test_read_job_gives_the_problems() -> None:
    job, problems = read_job({"id": "a b", "netwrok": "http"}, NODE)
    assert job is None
    assert [problem.path for problem in problems] == ["id", "netwrok"]
    assert read_job(SHARED | {"token": "t"}, NODE, shared=False)[1] == [Problem("token", NO_SHARED)]


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
