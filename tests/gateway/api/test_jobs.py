from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import pytest

from jobgate.gateway.api.jobs import SLICE, with_token
from jobgate.gateway.registry import Registry
from jobgate.gateway.stored import StoreError
from jobgate.gateway.views import JobView
from support.control import Control, Value, control_api
from support.registry import DOCUMENT


def document(**changes: object) -> Value:
    return {**DOCUMENT, **changes}


async def put(api: Control, job_id: str, **changes: object) -> Value:
    reply = await api.call("PUT", f"/v1/jobs/{job_id}", document(**changes))
    assert reply.status in (200, 201), reply.text
    return reply.json


async def ids(api: Control, query: str) -> tuple[list[str], object]:
    page = (await api.call("GET", f"/v1/jobs?{query}")).json
    jobs = page["jobs"]
    assert isinstance(jobs, list)
    return [job["id"] for job in jobs], page["next"]


async def test_put_adds_and_then_replaces(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        added = await api.call("PUT", "/v1/jobs/a", document(rate_up="1MB"))
        assert (added.status, added.headers["Location"]) == (201, "/v1/jobs/a")
        assert added.at("settings", "rate_up") == 1_000_000
        replaced = await api.call("PUT", "/v1/jobs/a", document())
        assert replaced.status == 200
        assert replaced.at("settings", "rate_up") == 1_250_000
        shown = await api.call("GET", "/v1/jobs/a")
        assert (shown.json["settings"], shown.headers["ETag"]) == (
            replaced.json["settings"],
            replaced.headers["ETag"],
        )


async def test_patch_changes_what_it_names(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        await put(api, "a", rate_up="1MB", rate_down="1MB", labels={"x": "1", "y": "2"})
        patched = await api.call("PATCH", "/v1/jobs/a", {"rate_up": None, "labels": {"x": None, "z": "3"}})
        settings = patched.json["settings"]
        assert isinstance(settings, dict)
        assert (settings["rate_up"], settings["rate_down"]) == (1_250_000, 1_000_000)
        assert settings["labels"] == {"y": "2", "z": "3"}
        media_type = {"Content-Type": "application/merge-patch+json"}
        assert (await api.call("PATCH", "/v1/jobs/a", data="{}", headers=media_type)).status == 200


async def test_delete_removes(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        await put(api, "a")
        removed = await api.call("DELETE", "/v1/jobs/a")
        assert (removed.status, removed.text) == (204, "")
        assert (await api.call("GET", "/v1/jobs/a")).reason == "unknown-job"
        assert "a" not in api.world.gate.jobs


@pytest.mark.parametrize(
    ("method", "job_id", "value", "status", "reason"),
    [
        ("GET", "nope", None, 404, "unknown-job"),
        ("PATCH", "nope", {}, 404, "unknown-job"),
        ("DELETE", "nope", None, 404, "unknown-job"),
        ("PUT", "filed", document(), 409, "file-job"),
        ("PATCH", "filed", {}, 409, "file-job"),
        ("DELETE", "filed", None, 409, "file-job"),
        ("PUT", "a", document(domains=[]), 422, "invalid"),
        ("PUT", "a%20b", document(), 400, "bad-request"),
        ("GET", "a%2Fb", None, 400, "bad-request"),
        ("DELETE", "x" * 129, None, 400, "bad-request"),
        ("PUT", "a", document(id="b"), 422, "invalid"),
        ("PUT", "a", document(listen="192.0.2.1:1"), 422, "invalid"),
        ("PUT", "a", document(token=False), 422, "invalid"),
    ],
)
async def test_request_that_is_refused_changes_nothing(
    method: str, job_id: str, value: Value | None, status: int, reason: str, tmp_path: Path
) -> None:
    async with control_api(tmp_path) as api:
        reply = await api.call(method, f"/v1/jobs/{job_id}", value)
        assert (reply.status, reply.reason) == (status, reason)
        assert [view.id for view in api.world.registry.jobs()] == ["filed"]


async def test_every_problem_has_its_key(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        reply = await api.call("PUT", "/v1/jobs/a", document(domains=["ok.test", "*.x"], tls=1, typo=2))
        problems = reply.json["problems"]
        assert isinstance(problems, list)
        assert [problem["key"] for problem in problems] == ["domains[1]", "tls", "typo"]


async def test_store_that_fails_is_503_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise StoreError("cannot write /state: the disk is full: make room")

    async with control_api(tmp_path) as api:
        await put(api, "a")
        monkeypatch.setattr(api.world.store, "put_job", fail)
        reply = await api.call("PATCH", "/v1/jobs/a", {"tls": "require"})
        assert (reply.status, reply.reason, reply.headers["Retry-After"]) == (503, "store", "1")
        assert "the disk is full" in str(reply.json["detail"])
        assert (await api.call("GET", "/v1/jobs/a")).at("settings", "tls") == "any"


# --- tokens ---------------------------------------------------------------------------


async def test_token_is_made_and_told_once(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        made = await put(api, "a", token=True)
        token = str(made["token"])
        assert len(token) == 43
        assert api.world.gate.jobs["a"].settings.token_hash == hashlib.sha256(token.encode()).digest()
        again = await api.call("GET", "/v1/jobs/a")
        assert token not in again.text
        assert again.json["has_token"] is True
        assert token not in api.world.log.text
        other = await api.call("PATCH", "/v1/jobs/a", {"token": True})
        assert other.json["token"] not in (token, None)


async def test_token_of_your_own_is_not_told(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        made = await put(api, "a", token="s3cret-of-mine")
        assert ("token" in made, made["has_token"]) == (False, True)
        kept = await api.call("PATCH", "/v1/jobs/a", {"tls": "require"})
        assert kept.json["has_token"] is True
        gone = await api.call("PATCH", "/v1/jobs/a", {"token": ""})
        assert gone.json["has_token"] is False


@pytest.mark.parametrize("token", [1, "true", False, None], ids=repr)
def test_only_true_asks_for_a_token(token: object) -> None:
    assert with_token({"token": token}) == ({"token": token}, None)


# --- conditions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "job_id", "status"),
    [
        ("If-Match", '"other"', "a", 412),
        ("If-Match", "*", "nope", 412),
        ("If-Match", "*", "a", 200),
        ("If-None-Match", "*", "a", 412),
        ("If-None-Match", "*", "b", 201),
        ("If-None-Match", '"other"', "a", 400),
        ("If-Match", "other", "a", 400),
        ("If-Match", "", "a", 400),
    ],
)
async def test_condition_holds_a_put(
    field: str, value: str, job_id: str, status: int, tmp_path: Path
) -> None:
    async with control_api(tmp_path) as api:
        await put(api, "a")
        reply = await api.call("PUT", f"/v1/jobs/{job_id}", document(rate_up=5000), headers={field: value})
        assert reply.status == status


async def test_of_two_changes_made_for_one_state_one_is_refused(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        await put(api, "a")
        tag = (await api.call("GET", "/v1/jobs/a")).headers["ETag"]
        replies = await asyncio.gather(
            *(
                api.call("PATCH", "/v1/jobs/a", {"domains": [name]}, headers={"If-Match": f'"x", {tag}'})
                for name in ("one.test", "two.test")
            )
        )
        assert sorted(reply.status for reply in replies) == [200, 412]
        assert (await api.call("DELETE", "/v1/jobs/a", headers={"If-Match": tag})).reason == "changed"


# --- lists ----------------------------------------------------------------------------


async def test_pages_follow_each_other_in_the_order_of_ids(tmp_path: Path) -> None:
    async with control_api(tmp_path, "") as api:
        for job_id in ("d", "b", "c", "a"):
            await put(api, job_id)
        assert await ids(api, "") == (["a", "b", "c", "d"], None)
        assert await ids(api, "limit=3") == (["a", "b", "c"], "c")
        assert await ids(api, "limit=3&after=c") == (["d"], None)
        assert await ids(api, "limit=4") == (["a", "b", "c", "d"], None)
        assert await ids(api, "after=z") == ([], None)


async def test_pages_are_whole_over_slices(tmp_path: Path) -> None:
    names = [f"j{number:03}" for number in range(2 * SLICE + 1)]
    async with control_api(tmp_path, "") as api:
        for number, name in enumerate(names):
            settings = {"network": "none", "labels": {"even": str(number % 2 == 0)}}
            await api.world.registry.put(name, settings)
        assert await ids(api, "limit=500") == (names, None)
        for limit in (1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 2 * SLICE + 1):
            found: list[str] = []
            after: object = ""
            while after is not None:
                page, after = await ids(api, f"limit={limit}&after={after}&label=even=True")
                assert 0 < len(page) <= limit
                found += page
            assert found == names[::2]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("label=team", ["a", "b"]),
        ("label=team%3Dvision", ["a"]),
        ("label=team%3D", []),
        ("label=team&label=user%3Dada", ["b"]),
        ("label=nope", []),
    ],
)
async def test_labels_choose(query: str, found: list[str], tmp_path: Path) -> None:
    async with control_api(tmp_path, "") as api:
        await put(api, "a", labels={"team": "vision"})
        await put(api, "b", labels={"team": "search", "user": "ada"})
        await put(api, "c")
        assert await ids(api, query) == (found, None)


async def test_page_says_when_its_counters_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with control_api(tmp_path) as api:
        read: list[float] = []

        def jobs(after: str, limit: int) -> list[JobView]:
            read.append(time.time())
            return Registry.jobs(api.world.registry, after, limit)

        monkeypatch.setattr(api.world.registry, "jobs", jobs)
        first, second = [(await api.call("GET", "/v1/jobs")).json["at"] for _ in range(2)]
        assert isinstance(first, float)
        assert isinstance(second, float)
        assert first <= read[0] <= second <= read[-1]  # not a turn of the loop later


# --- members

MEMBERS = """
listen.proxy = ["127.0.0.1:3128"]
[node]
allow_addresses = ["127.0.0.1"]
"""


async def test_members_are_shown_as_jobs_and_changed_with_theirs(tmp_path: Path) -> None:
    async with control_api(tmp_path, MEMBERS) as api:
        group = document(listen="", token="s3cret", max_members=2)
        assert (await api.call("PUT", "/v1/jobs/ray", group)).status == 201
        assert await ids(api, "") == (["ray"], None)
        api.world.gate.members.find("ray.01000000")
        assert await ids(api, "") == (["ray", "ray.01000000"], None)
        assert await ids(api, "limit=1&after=ray") == (["ray.01000000"], None)
        shown = await api.call("GET", "/v1/jobs/ray.01000000")
        assert [shown.json[key] for key in ("origin", "state", "has_token")] == ["member", "active", True]
        assert shown.at("settings", "domains") == ["a.test"]
        assert (await api.call("GET", "/v1/jobs/ray.01000000/usage")).status == 200
        patched = await api.call("PATCH", "/v1/jobs/ray", {"rate_up": 1000})
        assert patched.status == 200
        assert (await api.client.job("ray.01000000")).live.rate_up == 1000
        for method, body in (("PUT", group), ("PATCH", {}), ("DELETE", None)):
            reply = await api.call(method, "/v1/jobs/ray.01000000", body)
            assert (reply.status, reply.reason) == (409, "member")
            assert reply.json["detail"] == 'Job "ray.01000000" is a member of "ray": change that one.'
        assert (await api.call("DELETE", "/v1/jobs/ray")).status == 204
        assert await ids(api, "") == ([], None)


async def test_variables_of_a_member_have_a_place_for_the_token_of_its_job(tmp_path: Path) -> None:
    async with control_api(tmp_path, MEMBERS) as api:
        await api.call("PUT", "/v1/jobs/ray", document(listen="", token="s3cret", max_members=2))
        api.world.gate.members.find("ray.01000000")
        found = await api.client.variables("ray.01000000")
        assert found.variables["http_proxy"] == "http://ray.01000000:TOKEN@127.0.0.1:3128"
        assert not found.complete


async def test_more_members_are_told_as_a_weakening(tmp_path: Path) -> None:
    async with control_api(tmp_path, MEMBERS) as api:
        for most in (2, 1, 3):
            await api.call("PUT", "/v1/jobs/ray", document(listen="", token="s3cret", max_members=most))
        weakenings = [event["what"] for event in api.world.events("policy") if event["action"] == "weaken"]
        assert len(weakenings) == 1
        assert "max_members: 3 instead of 1" in str(weakenings)
