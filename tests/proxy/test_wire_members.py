"""Members over the wire: jobs that come into being by their use, each with an account of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from jobgate.config.rules import RuleSet
from support.client import Client
from support.gate import FakeResolver, RunningGate, running_gate
from support.messages import absolute, connect, ok
from support.origin import Origin, answer, echo

from .test_wire_identity import JOB, NODE, PROBE, basic

GROUP = f"""
listen.proxy = ["127.0.0.1:3128"]
{NODE}
{JOB}
id = "ray"
token = "s3cret"
max_members = 2
"""
A, B, C = (basic(f"ray.{name}:s3cret") for name in ("01000000", "02000000", "03000000"))


def serving() -> AbstractAsyncContextManager[RunningGate]:
    return running_gate(GROUP, resolver=FakeResolver.everything("127.0.0.1"))


async def status(gate: RunningGate, request: bytes) -> tuple[int, str]:
    async with await Client.connect(gate.shared_ports[0]) as client:
        response = await client.request(request, request.partition(b" ")[0].decode())
    return response.status, response.value("x-jobgate-reason") if response.status != 200 else ""


@asynccontextmanager
async def tunnel(gate: RunningGate, origin: Origin, credentials: str) -> AsyncIterator[Client]:
    async with await Client.connect(gate.shared_ports[0]) as client:
        response = await client.request(connect(f"a.ok.test:{origin.port}", credentials), "CONNECT")
        assert response.status == 200
        yield client


async def test_each_member_has_counters_and_a_log_of_its_own() -> None:
    async with Origin(answer(*[ok(b"12345")] * 2)) as origin, serving() as gate:
        url = f"http://ok.test:{origin.port}/"
        for credentials in (A, A, B):
            assert await status(gate, absolute(url, credentials)) == (200, "")
        assert await status(gate, absolute("http://evil.test/", B)) == (403, "not-listed")
        await gate.until_closed(4)
        assert {job.id: job.usage.requests for job in gate.gate.jobs.values()} == {
            "ray": 0,
            "ray.01000000": 2,
            "ray.02000000": 2,
        }
        assert [line["job"] for line in gate.decisions] == [
            f"ray.{name}" for name in ("01000000", "01000000", "02000000", "02000000")
        ]


async def test_each_member_has_its_own_bucket() -> None:
    """Ry5: what one member has used up, the other one still has."""
    async with serving() as gate:
        for credentials in (A, B):
            assert await status(gate, absolute(PROBE, credentials)) == (200, "")
        first, second = (gate.gate.jobs[f"ray.{name}"] for name in ("01000000", "02000000"))
        assert first.down is not second.down
        assert first.up is not second.up
        assert first.policy.job.rate_down == gate.gate.jobs["ray"].policy.job.rate_down


async def test_member_too_many_is_refused_and_says_why() -> None:
    async with serving() as gate:
        for credentials in (A, B):
            assert await status(gate, absolute(PROBE, credentials)) == (200, "")
        assert await status(gate, absolute(PROBE, C)) == (503, "overloaded")
        assert gate.decisions[-1]["job"] == ""
        assert await status(gate, absolute(PROBE, A)) == (200, "")


async def test_members_follow_a_change_of_their_job() -> None:
    async with Origin(echo) as origin, serving() as gate, tunnel(gate, origin, A) as client:
        settings = gate.gate.jobs["ray"].settings
        slower = replace(settings, policy=replace(settings.policy, rate_down=1000.0))
        gate.gate.change_job(slower)
        assert gate.gate.jobs["ray.01000000"].policy.job.rate_down == 1000.0
        await client.send(b"ping")
        assert await client.read_exactly(4) == b"ping"
        gate.gate.change_job(
            replace(slower, policy=replace(slower.policy, domains=RuleSet.parse(["b.test"])))
        )
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "revoked"


async def test_members_follow_a_reload() -> None:
    async with serving() as gate:
        assert await status(gate, absolute(PROBE, A)) == (200, "")
        settings = gate.gate.jobs["ray"].settings
        slower = replace(settings, policy=replace(settings.policy, rate_up=1000.0))
        gate.gate.change_node(gate.gate.settings, [slower])
        assert gate.gate.jobs["ray.01000000"].policy.job.rate_up == 1000.0
        gate.gate.change_node(gate.gate.settings, [replace(slower, max_members=0)])
        assert list(gate.gate.jobs) == ["ray"]
        assert await status(gate, absolute(PROBE, A)) == (407, "auth")


@pytest.mark.parametrize("by", ["reload", "api"])
async def test_job_in_the_place_of_a_member_has_nothing_of_it(by: str) -> None:
    async with Origin(echo) as origin, serving() as gate, tunnel(gate, origin, A):
        settings = replace(gate.gate.jobs["ray"].settings, id="ray.01000000", max_members=0)
        if by == "reload":
            gate.gate.change_node(gate.gate.settings, [settings])
        else:
            gate.gate.change_job(settings)
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "revoked"
        job = gate.gate.jobs["ray.01000000"]
        assert (job.settings, job.usage.requests, job.connections) == (settings, 0, 0)


async def test_job_of_a_reload_takes_the_place_of_a_member() -> None:
    async with serving() as gate:
        assert await status(gate, absolute(PROBE, A)) == (200, "")
        settings = replace(gate.gate.jobs["ray"].settings, id="ray.01000000", max_members=0)
        gate.gate.change_node(gate.gate.settings, [settings])
        assert list(gate.gate.members) == []
        gate.gate.remove_job("ray")
        assert await status(gate, absolute(PROBE, A)) == (200, "")


@pytest.mark.parametrize("how", ["removed", "no-members-any-more", "expired"])
async def test_members_end_with_their_job(how: str) -> None:
    async with Origin(echo) as origin, serving() as gate, tunnel(gate, origin, A):
        settings = gate.gate.jobs["ray"].settings
        if how == "removed":
            gate.gate.remove_job("ray")
        elif how == "expired":
            gate.gate.change_job(replace(settings, expires_at=1.0))
        else:
            gate.gate.change_job(replace(settings, max_members=0))
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "revoked"
        expected = (403, "expired") if how == "expired" else (407, "auth")
        assert await status(gate, absolute(PROBE, A)) == expected


async def test_expired_member_is_served_again_when_its_job_is_renewed() -> None:
    async with serving() as gate:
        settings = gate.gate.jobs["ray"].settings
        gate.gate.change_job(replace(settings, expires_at=1.0))
        assert await status(gate, absolute(PROBE, A)) == (403, "expired")
        gate.gate.change_job(settings)
        assert await status(gate, absolute(PROBE, A)) == (200, "")
