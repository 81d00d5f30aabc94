"""Leases against the real control API, in virtual time where time passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobgate.client import Client, GatewayError, Invalid, Unavailable
from jobgate.client.values import Job
from jobgate.integrations.ray import leases as module
from jobgate.integrations.ray.leases import LABELS, Leases
from jobgate.integrations.ray.options import read_options
from jobgate.integrations.ray.request import Egress, read_egress
from support.control import Control, control_api
from support.registry import NOW
from support.wait import until

NODE = """
listen.proxy = ["127.0.0.1:3128"]
[node]
allow = [".ok.test"]
"""


def egress(**value: object) -> Egress:
    found = read_egress({"egress": value})
    assert found is not None
    return found


WEB = egress(domains=["a.ok.test"])
OTHER = egress(domains=["b.ok.test"])


class Rig:
    """Leases of one agent; ``pause`` is what they sleep on."""

    def __init__(self, api: Control, control: str = "") -> None:
        self.api = api
        self.slept: list[float] = []
        self.pause = asyncio.Event()
        self.control = control or api.control
        self.leases = Leases(
            read_options({"JOBGATE_RAY_MAX_JOBS": "7"}),
            ["192.0.2.1"],
            lambda: Client(self.control),
            clock_wall=lambda: api.world.now,
            sleep=self._sleep,
        )

    async def _sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.pause.clear()
        await self.pause.wait()

    async def jobs(self) -> list[Job]:
        return [job async for job in self.api.client.jobs()]

    async def ids(self) -> list[str]:
        return [job.id for job in await self.jobs()]


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    async with control_api(folder, NODE) as api:
        made = Rig(api)
        yield made
        for uri in (WEB.uri, OTHER.uri, egress().uri):
            made.leases.give_up(uri)
        made.pause.set()
        await until(lambda: not made.leases._tasks)


async def test_policy_is_one_job_with_members_for_a_while(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        (job,) = await here.jobs()
        assert job.id.startswith("ray-")
        assert job.has_token
        settings = job.settings
        assert [settings[key] for key in ("domains", "max_members", "labels")] == [["a.ok.test"], 7, LABELS]
        assert settings["expires"] == "2027-01-15T08:05:00Z"  # NOW and 300 s
        variables = here.leases.variables(WEB.uri)
        assert variables["http_proxy"].startswith(f"http://{job.id}.${{RAY_JOB_ID}}:")
        assert variables["http_proxy"].endswith("@127.0.0.1:3128")
        assert "TOKEN" not in variables["http_proxy"]
        assert variables["no_proxy"].endswith("192.0.2.1")


async def test_two_policies_have_two_tokens(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        await here.leases.take(OTHER)
        first, second = (here.leases.variables(one.uri)["http_proxy"] for one in (WEB, OTHER))
        assert first.rpartition(":")[0].rpartition(":")[2] != second.rpartition(":")[0].rpartition(":")[2]
        assert len(here.leases) == len(await here.ids()) == 2


@pytest.mark.parametrize("network", ["none", "full"])
async def test_Ry4_networks_are_the_nodes_to_allow(network: str, tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        asked = egress(network=network)
        if network == "full":
            with pytest.raises(Invalid, match='the node does not accept "full", only: none, http'):
                await here.leases.take(asked)
            assert await here.ids() == []
        else:
            await here.leases.take(asked)
            assert here.leases.variables(asked.uri)["http_proxy"] == "http://127.0.0.1:9"


async def test_Ry4_full_stands_aside_where_the_node_allows_it(tmp_path: Path) -> None:
    async with control_api(tmp_path, 'node.networks = ["none", "http", "full"]') as api:
        here, asked = Rig(api), egress(network="full")
        await here.leases.take(asked)
        assert here.leases.variables(asked.uri) == {}
        here.leases.give_up(asked.uri)
        here.pause.set()
        await until(lambda: not here.leases._tasks)


async def test_Ry4_domain_outside_the_node_is_refused_by_name(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        with pytest.raises(Invalid, match=r'"evil\.test" is not covered'):
            await here.leases.take(egress(domains=["a.ok.test", "evil.test"]))
        assert len(here.leases) == 0


async def test_nothing_is_taken_where_nobody_answers(tmp_path: Path) -> None:
    async with control_api(tmp_path, NODE) as api:
        here = Rig(api, control=str(tmp_path / "nobody.sock"))
        with pytest.raises(Unavailable):
            await here.leases.take(WEB)
        with pytest.raises(KeyError):
            here.leases.variables(WEB.uri)


async def test_Ry2_policy_that_is_given_up_is_removed(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        here.leases.give_up(WEB.uri)
        here.leases.give_up(WEB.uri)
        await until(lambda: not here.api.world.gate.jobs)
        await here.leases.take(WEB)  # the next user of it has another token
        assert len(await here.ids()) == 1


async def test_Ry3_lease_is_renewed_and_ends_without_its_agent(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        await until(lambda: here.slept == [75.0])
        here.api.world.now += 200
        here.pause.set()
        await until(lambda: len(here.slept) == 2)
        (job,) = await here.jobs()
        assert job.settings["expires"] == "2027-01-15T08:08:20Z"
        here.api.world.now += 301
        await here.api.client.patch_job(
            job.id, {"labels": LABELS, "max_connections": 5}
        )  # has it look at the clock
        assert (await here.api.client.job(job.id)).state == "expired"
        later = Rig(here.api)  # the agent of another start of Ray
        await later.leases.take(OTHER)
        assert job.id not in await here.ids()
        later.leases.give_up(OTHER.uri)
        later.pause.set()
        await until(lambda: not later.leases._tasks)


async def test_environments_made_side_by_side_have_one_policy(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await asyncio.gather(here.leases.take(WEB), here.leases.take(WEB), here.leases.take(OTHER))
        await here.leases.take(WEB)
        assert len(here.leases) == len(await here.ids()) == 2


async def test_renewal_leaves_what_the_operator_changed(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        (job,) = await here.jobs()
        await here.api.client.patch_job(job.id, {"rate_down": 1000})
        await until(lambda: len(here.slept) == 1)
        here.api.world.now += 10
        here.pause.set()
        await until(lambda: len(here.slept) == 2)
        (renewed,) = await here.jobs()
        assert renewed.settings["rate_down"] == 1000
        assert renewed.settings["expires"] != job.settings["expires"]


async def test_gateway_that_forgot_a_policy_learns_it_anew(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        (job_id,) = await here.ids()
        await here.api.client.remove_job(job_id)
        await until(lambda: len(here.slept) == 1)
        here.pause.set()
        await until(lambda: len(here.slept) == 2)
        assert await here.ids() == [job_id]


async def test_renewal_that_fails_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        await until(lambda: len(here.slept) == 1)
        right, here.control = here.control, str(tmp_path / "nobody.sock")
        here.pause.set()
        await until(lambda: len(here.slept) == 2)
        assert "is not renewed" in caplog.text
        here.leases.give_up(WEB.uri)
        await until(lambda: "ends with its lease" in caplog.text)
        here.control = right


async def test_too_many_policies_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_POLICIES", 1)
    async with rig(tmp_path) as here:
        await here.leases.take(WEB)
        with pytest.raises(ValueError, match="1 policies are in use"):
            await here.leases.take(OTHER)


def test_errors_of_the_gateway_are_one_kind() -> None:
    assert issubclass(Invalid, GatewayError)
    assert NOW == 1_800_000_000.0
