"""What only one job may have."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from jobgate.config.conflicts import Claim, conflicts, job_conflicts, listen_problems
from jobgate.config.convert import Problem
from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.config.gateway import ListenSettings
from jobgate.config.settings import JobSettings

HASH = b"\0" * 32


def claim(
    index: int, *clients: str, token: bool = False, listen: str = "", netns: str = "", job_id: str = ""
) -> Claim:
    networks = [ip_network(network) for network in clients]
    return Claim(f"job[{index}]", job_id or f"j{index}", listen, netns, networks, token)


@pytest.mark.parametrize(
    ("claims", "problems"),
    [
        pytest.param([claim(0, "10.1.0.0/16"), claim(1, "10.2.0.0/16")], [], id="apart"),
        pytest.param(
            [claim(0, "10.0.0.0/8"), claim(1, "10.1.0.0/16")],
            ['job[1].clients: "10.1.0.0/16" of job "j1" overlaps "10.0.0.0/8" of job "j0"'],
            id="inside",
        ),
        pytest.param(
            [claim(0, "10.1.0.0/16"), claim(1, "10.0.0.0/8")],
            ['job[1].clients: "10.0.0.0/8" of job "j1" overlaps "10.1.0.0/16" of job "j0"'],
            id="around",
        ),
        pytest.param(
            [claim(0, "10.0.0.0/8", token=True), claim(1, "10.0.0.0/8")],
            ['job[1].clients: "10.0.0.0/8" of job "j1" overlaps "10.0.0.0/8" of job "j0"'],
            id="one-token",
        ),
        pytest.param(
            [claim(0, "10.0.0.0/8", token=True), claim(1, "10.0.0.0/8", token=True)], [], id="two-tokens"
        ),
        pytest.param([claim(0, "10.0.0.0/8", "10.1.0.0/16")], [], id="one-job"),
        pytest.param([claim(0, "0.0.0.0/0"), claim(1, "::/0")], [], id="families"),
        pytest.param(
            [claim(0, "10.0.0.0/8", listen="unix:/a"), claim(1, "10.0.0.0/8")], [], id="own-listener"
        ),
        pytest.param(
            [claim(0, "10.0.0.0/24", "10.0.1.0/24"), claim(1, "10.0.0.0/8")],
            ['job[1].clients: "10.0.0.0/8" of job "j1" overlaps "10.0.0.0/24" of job "j0"'],
            id="once-per-pair",
        ),
    ],
)
def test_networks(claims: list[Claim], problems: list[str]) -> None:
    found = [f"{path}: {message}" for path, message in conflicts(claims)]
    assert found == [f"{problem}: give each its own network, or both a token" for problem in problems]


def test_many_networks_are_compared_in_a_moment() -> None:
    claims = [claim(index, f"10.{index >> 8}.{index & 255}.0/24") for index in range(5000)]
    assert conflicts(claims) == []
    assert len(conflicts([*claims, claim(5000, "10.19.0.0/16")])) == 5000 - (19 << 8)


def test_one_address_is_another_one_in_each_namespace() -> None:
    here = "127.0.0.1:3128"
    claims = [claim(0, listen=here), claim(1, listen=here, netns="a"), claim(2, listen=here, netns="b")]
    assert conflicts(claims) == []
    assert conflicts([*claims, claim(3, listen=here, netns="b")]) == [
        Problem("job[3].listen", '"127.0.0.1:3128" is the listener of job[2] already')
    ]


OLD = JobSettings(id="old", listen="127.0.0.1:3128")
SOURCE = JobSettings(id="source", clients=(ip_network("10.0.0.0/8"),))
GATEWAY = ListenSettings(proxy=(Endpoint(ip_address("127.0.0.1"), 3129),))


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        (
            JobSettings(id="new", listen="127.0.0.1:3128"),
            ("listen", '"127.0.0.1:3128" is the listener of job "old" already'),
        ),
        (
            JobSettings(id="new", listen="127.0.0.1:3129"),
            ("listen", '"127.0.0.1:3129" is listen.proxy[0] of the gateway already'),
        ),
        (
            JobSettings(id="new", clients=(ip_network("10.1.0.0/16"),), token_hash=HASH),
            (
                "clients",
                '"10.1.0.0/16" of job "new" overlaps "10.0.0.0/8" of job "source": '
                "give each its own network, or both a token",
            ),
        ),
    ],
    ids=["listener", "gateway", "network"],
)
def test_job_conflicts_are_said_from_the_new_job(job: JobSettings, problem: tuple[str, str]) -> None:
    assert job_conflicts(job, [OLD, SOURCE], GATEWAY) == [Problem(*problem)]


@pytest.mark.parametrize(
    "job",
    [
        JobSettings(id="new", listen="127.0.0.1:3129", netns="a"),
        JobSettings(id="new", listen="127.0.0.1:0"),
        JobSettings(id="new", token_hash=HASH),
    ],
    ids=["namespace", "port-0", "token"],
)
def test_no_job_conflicts(job: JobSettings) -> None:
    assert job_conflicts(job, [OLD, SOURCE], GATEWAY) == []


def test_listen_problems_of_the_gateway_itself() -> None:
    twice = Endpoint(ip_address("127.0.0.1"), 3128)
    free = Endpoint(ip_address("127.0.0.1"), 0)
    assert listen_problems(ListenSettings(UnixPath("/c"), twice, (twice, free, free)), []) == [
        Problem("listen.proxy[0]", '"127.0.0.1:3128" is the listener of listen.metrics already')
    ]
    assert listen_problems(ListenSettings(metrics=twice), [OLD]) == [
        Problem("listen.metrics", '"127.0.0.1:3128" is the listener of job "old" already')
    ]
    assert (
        listen_problems(ListenSettings(metrics=twice), [JobSettings("j", listen=str(twice), netns="a")]) == []
    )
