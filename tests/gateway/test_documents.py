from __future__ import annotations

import hashlib
from ipaddress import ip_network

import pytest

from jobgate.config.load import load_text
from jobgate.config.policy import JobPolicy, Network
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway.documents import cannot_listen, merged, read_asked, read_kept, rivals
from jobgate.gateway.stored import StoredJob, StoreError
from jobgate.gateway.views import JobProblems

DOCUMENT = {"network": "http", "domains": ["a.test"], "listen": "127.0.0.1:3128"}
SHARED = load_text('[listen]\nproxy = ["127.0.0.1:3999"]\n')
TOKEN_HASH = hashlib.sha256(b"secret").digest()


def problems(
    document: dict[str, object], gateway: Settings, *others: JobSettings, token_hash: bytes | None = None
) -> list[str]:
    with pytest.raises(JobProblems) as caught:
        read_asked("train", document, gateway, others, token_hash)
    return [problem.path for problem in caught.value.problems]


def test_job_is_read_as_asked_for_and_not_as_the_node_bounds_it() -> None:
    gateway = load_text('[node]\nmax_rate_up = "1mbit"\n')
    job = read_asked("train", {**DOCUMENT, "rate_up": "2mbit"}, gateway, [])
    assert (job.id, job.policy.rate_up) == ("train", 250_000)


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({**DOCUMENT, "id": "other"}, ["id"]),
        ({**DOCUMENT, "id": 7}, ["id"]),
        ({**DOCUMENT, "domains": ["*"], "colour": 1}, ["domains[0]", "colour"]),
        ({**DOCUMENT, "listen": "127.0.0.1:3999"}, ["listen"]),
        ({**DOCUMENT, "listen": "127.0.0.1:4000"}, ["listen"]),
        ({"network": "http", "domains": ["a.test"]}, ["listen"]),
        ({"network": "full"}, ["network"]),
    ],
    ids=["another id", "no id", "all problems", "gateway's", "another job's", "no entrance", "node"],
)
def test_what_is_wrong_is_named(document: dict[str, object], paths: list[str]) -> None:
    policy = JobPolicy(Network.HTTP, RuleSet.parse(["a.test"]))
    other = JobSettings("other", policy, listen="127.0.0.1:4000")
    assert problems(document, SHARED, other) == paths


@pytest.mark.parametrize(
    ("listen", "netns", "clients", "expected"),
    [
        ("127.0.0.1:1", "", "", ["same listener"]),
        ("127.0.0.1:1", "n", "", []),
        ("127.0.0.1:0", "", "", []),
        ("", "", "10.1.0.0/16", ["same source"]),
        ("127.0.0.1:2", "", "10.1.0.0/16", []),
        ("", "", "", []),
    ],
    ids=["listener", "namespace", "any port", "source", "own listener", "token"],
)
def test_rivals_are_those_who_may_be_in_the_way(
    listen: str, netns: str, clients: str, expected: list[str]
) -> None:
    others = [
        JobSettings("same listener", listen="127.0.0.1:1"),
        JobSettings("any port", listen="127.0.0.1:0"),
        JobSettings("same source", clients=(ip_network("10.0.0.0/8"),)),
        JobSettings("own listener and source", listen="127.0.0.1:9", clients=(ip_network("10.0.0.0/8"),)),
        JobSettings("token"),
    ]
    networks = (ip_network(clients),) if clients else ()
    asked = JobSettings("train", listen=listen, netns=netns, clients=networks)
    assert [other.id for other in rivals(asked, others)] == expected


def test_source_network_of_another_job_is_named() -> None:
    document: dict[str, object] = {"network": "http", "domains": ["a.test"], "clients": ["10.1.0.0/16"]}
    other = JobSettings("other", clients=(ip_network("10.0.0.0/8"),))
    assert problems(document, SHARED, other) == ["clients"]


def test_id_that_is_none_is_named() -> None:
    with pytest.raises(JobProblems, match=r"^id: a job's id has 1 to 128 letters"):
        read_asked("a/b", DOCUMENT, SHARED, [])


def test_token_of_before_is_a_way_in() -> None:
    document: dict[str, object] = {"network": "http", "domains": ["a.test"]}
    assert read_asked("train", document, SHARED, [], TOKEN_HASH).token_hash == TOKEN_HASH
    job = read_asked("train", {**document, "token": "other"}, SHARED, [], TOKEN_HASH)
    assert job.token_hash == hashlib.sha256(b"other").digest()
    assert problems(document, Settings(), token_hash=TOKEN_HASH) == ["token"]


def test_kept_job_is_read_whatever_the_node_allows() -> None:
    kept = StoredJob("train", {"id": "train", "network": "full"}, None, 1.0, "")
    assert read_kept(kept, "state.db").policy.network is Network.FULL
    shared = StoredJob(
        "train", {"id": "train", "network": "http", "domains": ["a.test"]}, TOKEN_HASH, 1.0, ""
    )
    assert read_kept(shared, "state.db").token_hash == TOKEN_HASH


def test_kept_job_of_another_program_is_named() -> None:
    kept = StoredJob("train", {"id": "train", "colour": 1}, None, 1.0, "")
    with pytest.raises(StoreError, match=r'^cannot read job "train" in state\.db: colour: unknown key'):
        read_kept(kept, "state.db")


def test_listener_that_cannot_be_opened_is_a_problem_of_the_job() -> None:
    (problem,) = cannot_listen(OSError("in use")).problems
    assert tuple(problem) == ("listen", "in use")


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(document: object, patch: dict[str, object], expected: dict[str, object]) -> None:
    """The objects of RFC 7396, appendix A."""
    assert merged(document, patch) == expected
