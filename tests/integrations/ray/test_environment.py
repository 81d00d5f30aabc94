from __future__ import annotations

import os
import re

import pytest

from jobgate.integrations.ray.environment import cluster_hosts, cut_off, gated, put_over
from jobgate.launch.environment import proxy_variables

SAID = proxy_variables("127.0.0.1", 3128, credentials="ray-1:TOKEN", no_proxy=["10.0.0.0/8"])
TOKEN = "s-3_cret"


def started(env_vars: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What Ray makes of variables when it starts a worker (``ray._private.utils.update_envs``)."""
    monkeypatch.setenv("RAY_JOB_ID", "02000000")
    return {
        name: re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(text)) for name, text in env_vars.items()
    }


def test_worker_shows_the_name_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    found = started(gated(SAID, "ray-1", TOKEN, []), monkeypatch)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        assert found[name] == "http://ray-1.02000000:s-3_cret@127.0.0.1:3128"
    assert found["NODE_USE_ENV_PROXY"] == "1"


def test_cluster_is_reached_directly_by_addresses_and_networks_never_by_wildcards() -> None:
    """Ry6, Ry7: what gRPC and python-requests understand."""
    found = gated(SAID, "ray-1", TOKEN, ["192.0.2.1", "127.0.0.1", "head.example"])
    expected = "localhost,127.0.0.1,::1,10.0.0.0/8,192.0.2.1,head.example"
    assert (found["no_proxy"], found["NO_PROXY"]) == (expected, expected)


def test_without_network_every_client_finds_nobody() -> None:
    found = cut_off(["192.0.2.1"])
    assert {found[name] for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")} == {
        "http://127.0.0.1:9"
    }
    assert found["no_proxy"] == found["NO_PROXY"] == "localhost,127.0.0.1,::1,192.0.2.1"


def test_variables_of_the_gate_win_and_no_other_proxy_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    env_vars = {
        "A": "b",
        "grpc_proxy": "http://x",
        "ALL_PROXY": "http://x",
        "http_proxy": "http://x",
        "No_Proxy": "*",
    }
    env_vars = put_over(env_vars, gated(SAID, "ray-1", TOKEN, []))
    assert {name for name in env_vars if name.lower().endswith("_proxy")} == {
        *("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"),
        "NODE_USE_ENV_PROXY",
    }
    assert env_vars["A"] == "b"
    assert "x" not in env_vars["http_proxy"]


@pytest.mark.parametrize(
    ("own", "inherited", "expected"),
    [
        ({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, "-Dfrom=node", "-Xmx1g "),
        ({}, "-Dfrom=node", "-Dfrom=node "),
        ({}, None, " "),
    ],
    ids=["the-job's", "the-node's", "none"],
)
def test_what_java_is_told_already_stays(
    own: dict[str, str], inherited: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_TOOL_OPTIONS", raising=False)
    if inherited is not None:
        monkeypatch.setenv("JAVA_TOOL_OPTIONS", inherited)
    found = put_over(own, gated(SAID, "ray-1", TOKEN, []))
    assert started(found, monkeypatch)["JAVA_TOOL_OPTIONS"] == expected + SAID["JAVA_TOOL_OPTIONS"]


def test_variables_without_java_leave_java_alone() -> None:
    assert put_over({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, cut_off([]))["JAVA_TOOL_OPTIONS"] == "-Xmx1g"


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        (
            ["agent", "--node-ip-address=192.0.2.7", "--gcs-address=192.0.2.1:6379"],
            ["192.0.2.7", "192.0.2.1"],
        ),
        (["--node-ip-address=192.0.2.1", "--gcs-address=192.0.2.1:6379"], ["192.0.2.1"]),
        (["--gcs-address=head:6379"], ["head"]),
        (
            ["--gcs-address=[2001:db8::1]:6379", "--node-ip-address=2001:db8::2"],
            ["2001:db8::1", "2001:db8::2"],
        ),
        (["--gcs-address=", "--port=1"], []),
    ],
    ids=["two-nodes", "head", "name", "IPv6", "nothing"],
)
def test_hosts_of_the_cluster_are_on_the_agents_command_line(arguments: list[str], hosts: list[str]) -> None:
    assert cluster_hosts(arguments) == hosts
