from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import jobgate
from jobgate.client import Conflict, Invalid, NotFound, Unavailable
from jobgate.client.values import Learned, Problem, RefusedHost, Verdict
from support.control import FILE_JOB, NODE, control_api
from support.registry import DOCUMENT, status
from support.wait import DEADLINE_S, until


async def test_job_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        gateway = api.client
        added = await gateway.put_job("a", {**DOCUMENT, "token": True}, only_new=True)
        assert (added.id, added.has_token, len(added.token or "")) == ("a", True, 43)
        changed = await gateway.patch_job("a", {"domains": ["b.test"]}, etag=added.etag)
        assert (changed.settings["domains"], changed.token) == (["b.test"], None)
        assert await gateway.job("a") == changed
        with pytest.raises(Conflict, match="not as it was"):
            await gateway.put_job("a", DOCUMENT, etag=added.etag)
        await gateway.remove_job("a", etag=changed.etag)
        with pytest.raises(NotFound, match='No job "a"'):
            await gateway.job("a")


async def test_jobs_are_listed_over_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with control_api(tmp_path, "") as api:
        names = [f"j{number:03}" for number in range(101)]
        for name in names:
            await api.world.registry.put(name, {"network": "none", "labels": {"last": name[-1]}})
        assert [job.id async for job in api.client.jobs()] == names
        assert [job.id async for job in api.client.jobs({"last": "7"})] == names[7::10]
        page = await api.client.page("j050", limit=2)
        assert ([job.id for job in page.jobs], page.next) == (["j051", "j052"], "j052")
        assert page.jobs[0].etag == ""


@pytest.mark.parametrize("job_id", ["a b", "a/b", "a?b", "../x", "é", "a%2Fb"])
async def test_id_that_is_none_cannot_lead_elsewhere(job_id: str, tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        with pytest.raises(Invalid, match="The path names no job"):
            await api.client.put_job(job_id, DOCUMENT)


async def test_problems_come_as_values(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        with pytest.raises(Invalid) as caught:
            await api.client.put_job("a", {**DOCUMENT, "tls": "maybe"})
        assert caught.value.problems == (Problem("tls", "expected one of: require, any"),)


async def test_what_a_job_did_and_needs(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        gateway = api.client
        added = await gateway.put_job("a", {**DOCUMENT, "mode": "report"})
        await status(added.listen, "x.b.test:443")
        usage = await gateway.usage("a")
        row = RefusedHost("x.b.test:443", "not-listed", "connect", 1, ("x.b.test", ".b.test"))
        assert (usage.overlooked, usage.refused) == ((row,), ())
        api.world.gate.jobs["a"].usage.add("x.b.test:443", 1, 1)
        assert await gateway.learned("a") == Learned(("x.b.test",), "any")
        assert await gateway.learned("a", suffixes=["b.test"]) == Learned((".b.test",), "any")
        (first, *_) = await gateway.decisions("a", limit=5)
        assert (first["event"], first["would"], first["host"]) == ("decision", "deny", "x.b.test")
        (verdict,) = await gateway.check("a", ["b.test"])
        detail = 'b.test:443 is not in this job\'s domains. Add "b.test" or ".b.test".'
        assert verdict == Verdict("b.test", "allow", "not-listed", None, detail, "deny")
        variables = await gateway.variables("a", address="gate:1")
        assert (variables.variables["http_proxy"], variables.complete) == ("http://gate:1", True)


async def test_events_until_the_gateway_stops(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:

        async def follow() -> list[str]:
            return [event.name async for event in api.client.events("a")]

        await api.client.put_job("a", DOCUMENT)
        following = asyncio.create_task(follow())
        await until(lambda: bool(api.server._feed._followers))
        await api.client.patch_job("a", {"tls": "require"})
        await api.client.put_job("b", DOCUMENT)
        await api.server.close()
        assert await asyncio.wait_for(following, DEADLINE_S) == ["policy"]
        with pytest.raises(Unavailable):
            await anext(api.client.events())


async def test_node_and_its_policy(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    async with control_api(tmp_path, file=file) as api:
        gateway = api.client
        assert (await gateway.node()).jobs == 1
        assert (await gateway.policy())["node"]["mode"] == "enforce"
        found = await gateway.validate("[node]\nmode = 1\n")
        assert (found.valid, [problem.key for problem in found.problems]) == (False, ["node.mode"])
        found = await gateway.validate(NODE + 'mode = "report"\n')
        assert (found.valid, len(found.weakenings)) == (True, 1)
        api.world.write(NODE + FILE_JOB.replace("filed", "other"))
        report = await gateway.reload()
        assert (report.added, report.removed) == (("other",), ("filed",))


async def test_client_is_the_public_one(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api, jobgate.Client(api.control) as gateway:
        with pytest.raises(jobgate.GatewayError):
            await gateway.job("nope")
