"""The plugin as Ray's agent calls it; of Ray itself only the base class is a stand-in."""

from __future__ import annotations

import logging
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from jobgate.client import Unavailable
from support.control import control_api
from support.ray_stub import stand_in
from support.wait import until

LOG = logging.getLogger("test")
NODE = 'listen.proxy = ["127.0.0.1:3128"]'
WEB = {"egress": {"domains": ["a.test"]}, "env_vars": {"http_proxy": "http://own"}}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in(monkeypatch)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return import_module("jobgate.integrations.ray.plugin")


def context() -> SimpleNamespace:
    return SimpleNamespace(env_vars={"http_proxy": "http://own"})


async def test_policy_goes_from_its_first_user_to_its_last(
    plugin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control_api(tmp_path, NODE) as api:
        monkeypatch.setenv("JOBGATE_CONTROL", api.control)
        monkeypatch.setattr("sys.argv", ["agent", "--gcs-address=192.0.2.1:6379"])
        ray = plugin.EgressPlugin()
        assert (ray.name, ray.priority) == ("egress", 5)
        ray.validate(WEB)
        uris = ray.get_uris(WEB)
        assert await ray.create(uris[0], WEB, context(), LOG) > 10 * 1024**3  # Ray's cap of its cache
        for _ in range(2):  # the second time on a hit of Ray's cache
            here = context()
            own = here.env_vars
            ray.modify_context(uris, WEB, here, LOG)
            assert own == {"http_proxy": "http://own"}  # Ray's agent installs with these
            assert here.env_vars["http_proxy"].startswith("http://ray-")
            assert "192.0.2.1" in here.env_vars["no_proxy"].split(",")
        assert ray.delete_uri(uris[0], LOG) == plugin.SIZE_BYTES
        await until(lambda: not api.world.gate.jobs)
        ray._leases._renewing.cancel()


async def test_network_of_the_node_leaves_the_worker_as_it_is(
    plugin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control_api(tmp_path, 'node.networks = ["full"]') as api:
        monkeypatch.setenv("JOBGATE_CONTROL", api.control)
        ray, asked, here = plugin.EgressPlugin(), {"egress": {"network": "full"}}, context()
        await ray.create(*ray.get_uris(asked), asked, here, LOG)
        ray.modify_context(ray.get_uris(asked), asked, here, LOG)
        assert here.env_vars == {"http_proxy": "http://own"}
        ray._leases._renewing.cancel()


async def test_worker_without_a_gateway_is_not_started(
    plugin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBGATE_CONTROL", str(tmp_path / "nobody.sock"))
    ray = plugin.EgressPlugin()
    with pytest.raises(Unavailable) as caught:
        await ray.create(ray.get_uris(WEB)[0], WEB, context(), LOG)
    # Ray prints all of this for whoever sent the job: one error, by the shortest way.
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
    assert [frame.name for frame in traceback.extract_tb(caught.tb)][1:] == ["create"]
    with pytest.raises(KeyError):
        ray.modify_context(ray.get_uris(WEB), WEB, context(), LOG)


def test_wrong_field_is_refused_by_validate_and_has_no_uri(plugin: ModuleType) -> None:
    wrong = {"egress": {"network": "web"}}
    with pytest.raises(ValueError, match=r"egress\.network"):
        plugin.EgressPlugin.validate(wrong)
    assert plugin.EgressPlugin().get_uris(wrong) == []
    assert plugin.EgressPlugin().get_uris({}) == []


def test_Ry9_agent_with_proxies_of_its_own_may_install(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = WEB | {"pip": ["x"], "env_vars": {}}
    with pytest.raises(ValueError, match="pip: Ray's agent"):
        plugin.EgressPlugin.validate(env)
    monkeypatch.setenv("HTTP_PROXY", "http://agent")
    with pytest.raises(ValueError, match="pip: Ray's agent"):
        plugin.EgressPlugin.validate(env)
    monkeypatch.setenv("https_proxy", "http://agent")
    plugin.EgressPlugin.validate(env)


def test_wrong_option_stops_the_agent(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBGATE_RAY_LEASE_S", "0")
    with pytest.raises(ValueError, match="JOBGATE_RAY_LEASE_S"):
        plugin.EgressPlugin()


def test_token_of_the_control_api_is_read_from_its_file(plugin: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    options = plugin.read_options({"JOBGATE_CONTROL": "127.0.0.1:9", "JOBGATE_CONTROL_TOKEN_FILE": str(path)})
    assert plugin.open_gateway(options)._transport._headers == {"Authorization": "Bearer 0123456789abcdef"}
