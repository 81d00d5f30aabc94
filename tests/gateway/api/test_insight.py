from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.config.host import Name
from jobgate.gateway.api.insight import MAX_URLS
from jobgate.gateway.learned import as_options, as_toml, learn
from jobgate.gateway.variables import job_variables
from jobgate.proxy.usage import Refused
from support.control import FILE_JOB, NODE, Control, control_api
from support.registry import DOCUMENT, status

SHARED = """
[listen]
proxy = ["127.0.0.1:3128"]
"""


async def served(api: Control, **changes: object) -> str:
    view, _ = await api.world.registry.put("a", {**DOCUMENT, **changes})
    return str(view.listen)


# --- check ----------------------------------------------------------------------------


async def test_check_answers_in_order_and_as_the_gate_does(tmp_path: Path) -> None:
    urls = ["https://a.test/", "https://b.test/", "http://a.test/x", "https://10.0.0.1/", "127.1"]
    async with control_api(tmp_path) as api:
        await served(api)
        reply = await api.call("POST", "/v1/jobs/a/check", {"urls": urls})
        answers = reply.json["answers"]
    assert isinstance(answers, list)
    assert [answer["url"] for answer in answers] == urls
    assert [answer["decision"] for answer in answers] == ["allow", "deny", "allow", "deny", "deny"]
    assert [answer["reason"] for answer in answers] == [None, "not-listed", None, "not-listed", "bad-request"]


@pytest.mark.parametrize("port", [443, 8443, 22, 80])
async def test_check_says_what_the_wire_does(port: int, tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        listen = await served(api, domains=["a.test:443", "a.test:1"])
        reply = await api.call("POST", "/v1/jobs/a/check", {"urls": [f"a.test:{port}"]})
        answers = reply.json["answers"]
        assert isinstance(answers, list)
        allowed = answers[0]["decision"] == "allow"
        assert (await status(listen, f"a.test:{port}") == 403) is not allowed


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"urls": []},
        {"urls": "a.test"},
        {"urls": [1]},
        {"urls": [""]},
        {"urls": ["a"], "x": 1},
        {"urls": ["a"] * (MAX_URLS + 1)},
        {"urls": ["a" * 5000]},
    ],
    ids=["nothing", "empty", "text", "number", "empty-text", "more", "many", "long"],
)
async def test_check_of_something_else_is_refused(body: object, tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert (await api.call("POST", "/v1/jobs/filed/check", body)).reason == "bad-request"


async def test_job_without_a_gate_has_nothing_to_check(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        await api.world.registry.put("none", {"network": "none"})
        reply = await api.call("POST", "/v1/jobs/none/check", {"urls": ["a.test"]})
        assert (reply.status, reply.reason) == (409, "not-served")
        assert reply.json["detail"] == 'Job "none" has no gate: it has network "none".'


# --- usage, decisions, learned --------------------------------------------------------


async def test_usage_and_decisions_tell_of_a_refusal(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        listen = await served(api)
        assert await status(listen, "b.test:443") == 403
        usage = await api.call("GET", "/v1/jobs/a/usage")
        assert usage.at("decisions") == {"not-listed": 1}
        assert (usage.at("live", "requests"), usage.at("live", "refused")) == (1, 1)
        row = {"authority": "b.test:443", "reason": "not-listed", "kind": "connect", "count": 1}
        assert usage.at("refused") == [{**row, "proposals": ["b.test", ".b.test"]}]
        lines = (await api.call("GET", "/v1/jobs/a/decisions")).json["decisions"]
        assert isinstance(lines, list)
        assert [(line["event"], line["job"], line["reason"]) for line in lines] == [
            ("decision", "a", "not-listed"),
            ("close", "a", "not-listed"),
        ]
        last = (await api.call("GET", "/v1/jobs/a/decisions?limit=1")).json["decisions"]
        assert last == lines[1:]


async def test_job_that_was_removed_and_added_again_has_no_past(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert await status(await served(api), "b.test:443") == 403
        await api.world.registry.remove("a")
        await served(api)
        assert (await api.call("GET", "/v1/jobs/a/decisions")).json == {"decisions": []}
        assert (await api.call("GET", "/v1/jobs/a/usage")).at("decisions") == {}


@pytest.mark.parametrize("resource", ["usage", "decisions", "learned", "env"])
async def test_what_is_asked_of_no_job_is_not_found(resource: str, tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert (await api.call("GET", f"/v1/jobs/nope/{resource}")).reason == "unknown-job"


async def test_learned_is_what_the_job_needs_in_every_form(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        await served(api, mode="report", tls="require")
        usage = api.world.gate.jobs["a"].usage
        for name, reason in (("x.b.test:443", "not-listed"), ("y.b.test:443", "not-tls")):
            usage.overlook(Refused(name, reason, "connect"))
            usage.add(name, 1, 1)
        path = "/v1/jobs/a/learned"
        assert (await api.call("GET", path)).json == {"domains": ["x.b.test", "y.b.test"], "tls": "any"}
        joined = (await api.call("GET", f"{path}?suffix=b.test")).json
        assert joined == {"domains": [".b.test"], "tls": "any"}
        found = learn(usage, api.world.gate.jobs["a"].policy.job.tls, suffixes=[Name("b.test")])
        for form, text in (("toml", as_toml(found)), ("options", as_options(found) + "\n")):
            reply = await api.call("GET", f"{path}?suffix=b.test&format={form}")
            assert (reply.text, reply.headers["Content-Type"]) == (text, "text/plain")


# --- env ------------------------------------------------------------------------------


async def test_env_is_what_the_command_prints(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        listen = await served(api, env={"A": "b"})
        host, _, port = listen.rpartition(":")
        job = api.world.gate.jobs["a"].settings
        expected = job_variables(api.world.registry.settings, job, (host, int(port)), token="")
        reply = await api.call("GET", "/v1/jobs/a/env")
        assert reply.json == {"variables": expected, "complete": True}
        assert expected["A"] == "b"


@pytest.mark.parametrize(
    ("changes", "query", "proxy", "complete"),
    [
        ({"listen": "", "token": "s3cret"}, "", "http://a:TOKEN@127.0.0.1:3128", False),
        ({"listen": "", "clients": ["10.0.0.0/8"]}, "", "http://127.0.0.1:3128", True),
        ({"listen": ""}, "?address=gate.example:8080", "http://gate.example:8080", True),
    ],
    ids=["token", "source", "address"],
)
async def test_env_of_a_job_on_the_shared_listeners(
    changes: dict[str, object], query: str, proxy: str, complete: bool, tmp_path: Path
) -> None:
    async with control_api(tmp_path, SHARED) as api:
        await served(api, **({"clients": ["10.0.0.0/8"]} | changes))
        reply = await api.call("GET", f"/v1/jobs/a/env{query}")
        assert (reply.at("variables", "https_proxy"), reply.at("complete")) == (proxy, complete)


async def test_env_of_a_job_of_the_file_has_its_token(tmp_path: Path) -> None:
    async with control_api(tmp_path, NODE + FILE_JOB + 'token = "s3cret-of-the-file"\n') as api:
        reply = await api.call("GET", "/v1/jobs/filed/env")
        assert "http://filed:s3cret-of-the-file@127.0.0.1:" in str(reply.at("variables", "http_proxy"))
        assert reply.at("complete") is True


async def test_env_that_cannot_be_told_says_what_to_add(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        await served(api, listen=f"unix:{tmp_path}/job.sock")
        reply = await api.call("GET", "/v1/jobs/a/env")
        assert (reply.status, reply.reason) == (409, "no-address")
        assert str(reply.json["detail"]).endswith(": add ?address=HOST:PORT as the job sees the gateway.")
