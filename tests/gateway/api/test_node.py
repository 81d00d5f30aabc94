from __future__ import annotations

from pathlib import Path

import pytest

from jobgate import __version__
from jobgate.config.settings import NodeSettings
from jobgate.gateway.api.node import node_shape
from support.control import FILE_JOB, NODE, control_api

TOML = {"Content-Type": "application/toml"}


async def test_policy_is_what_is_in_force_without_secrets(tmp_path: Path) -> None:
    configuration = (
        "[node]\nallow = [\".a.test\", 'regex:^b[0-9]\\.c\\.test$']\n"
        'max_rate_up = "10mbit"\nhttp_ports = [80]\n'
        '[upstream]\nproxy = "http://user:passw0rd@corp.test:3128"\n'
        '[limits]\nmax_fields = 99\n[timeouts]\ndrain_s = 1.5\n[env]\nSECRET = "passw0rd"\n'
    )
    async with control_api(tmp_path, configuration) as api:
        reply = await api.call("GET", "/v1/policy")
    assert (reply.at("node", "allow"), reply.at("node", "max_rate_up")) == (
        [".a.test", r"regex:^b[0-9]\.c\.test$"],
        1_250_000,
    )
    assert (reply.at("node", "http_ports"), reply.at("node", "connect_ports")) == (["80"], ["443"])
    assert (reply.at("limits", "max_fields"), reply.at("timeouts", "drain_s")) == (99, 1.5)
    assert "passw0rd" not in reply.text


def test_node_is_shown_with_every_key_of_the_file() -> None:
    assert sorted(node_shape(NodeSettings())) == sorted(NodeSettings.__slots__)


async def test_validate_says_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        new = NODE + 'mode = "report"\n[log]\npath = "/tmp/x"\n' + FILE_JOB
        reply = await api.call("POST", "/v1/policy/validate", data=new, headers=TOML)
        assert reply.json == {
            "valid": True,
            "problems": [],
            "weakenings": ['node.mode: refusals by list are only logged ("report")'],
            "needs_restart": ["log.path"],
        }
        assert (await api.call("GET", "/v1/policy")).at("node", "mode") == "enforce"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('[node]\nallow = ["a.test:0"]\nmod = 1\n', ["node.allow[0]", "node.mod"]),
        ("[node\n", ["line 1, column 6"]),
        ("a = " + "[" * 10_000, [""]),
    ],
    ids=["keys", "toml", "deep"],
)
async def test_validate_says_where_the_problems_are(text: str, problems: list[str], tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        reply = await api.call(
            "POST", "/v1/policy/validate", data=text, headers={"Content-Type": "text/plain"}
        )
        found = reply.json["problems"]
        assert isinstance(found, list)
        assert (reply.json["valid"], [problem["key"] for problem in found]) == (False, problems)
        assert all(problem["message"] for problem in found)


async def test_reload_takes_the_file_on(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    async with control_api(tmp_path, file=file) as api:
        api.world.write(NODE + FILE_JOB.replace("filed", "other"))
        reply = await api.call("POST", "/v1/policy/reload")
        assert (reply.at("added"), reply.at("removed"), reply.at("refused")) == (["other"], ["filed"], [])
        api.world.write("[node]\nmode = 1\n")
        refused = await api.call("POST", "/v1/policy/reload")
        assert (refused.status, refused.reason) == (422, "invalid")
        assert f"{file}: node.mode: " in refused.text
        assert [view.id for view in api.world.registry.jobs()] == ["other"]


async def test_reload_without_a_file_says_so(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert "no configuration file" in (await api.call("POST", "/v1/policy/reload")).text


async def test_node_says_what_runs(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        reply = await api.call("GET", "/v1/node")
        assert (reply.at("version"), reply.at("jobs"), reply.at("draining")) == (__version__, 1, False)
        assert reply.at("max_connections") == api.world.gate.max_connections


async def test_draining_gateway_is_healthy_and_not_ready(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert (await api.call("GET", "/readyz")).json == {"status": "ready"}
        await api.world.gate.close()
        assert (await api.call("GET", "/healthz")).json == {"status": "ok"}
        reply = await api.call("GET", "/readyz")
        assert (reply.status, reply.reason) == (503, "draining")


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        ("PUT", "/v1/jobs/a", {"network": "none"}),
        ("PATCH", "/v1/jobs/b", {}),
        ("DELETE", "/v1/jobs/b", None),
        ("POST", "/v1/policy/reload", None),
    ],
    ids=["put", "patch", "delete", "reload"],
)
async def test_draining_gateway_changes_nothing(
    method: str, path: str, value: object, tmp_path: Path
) -> None:
    async with control_api(tmp_path) as api:
        await api.world.registry.put("b", {"network": "none"})
        await api.world.gate.close()
        reply = await api.call(method, path, value)
        assert (reply.status, reply.reason) == (503, "draining")
        assert [view.id for view in api.world.registry.jobs()] == ["b", "filed"]
