from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from jobgate.integrations.ray.guard import (
    JOB_CONFIG,
    Gate,
    NotGated,
    as_submission,
    ask_gate,
    find_gate,
    require_gate,
    submission_of,
)
from support.gate import FakeResolver, running_gate
from support.messages import ok
from support.net import closed_port
from support.origin import Origin, answer_and_close

URL = "http://ray-0a1b2c3d-4.02000000:s3cret@127.0.0.1:3128"
NAMES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
NODE = """
listen.proxy = ["127.0.0.1:3128"]
[[job]]
id = "ray-0a1b2c3d-4"
network = "http"
domains = ["a.test"]
token = "s3cret"
max_members = 2
"""


def environ(url: str = URL, **more: str) -> dict[str, str]:
    return {**dict.fromkeys(NAMES, url), **more}


def test_what_the_plugin_sets_is_found() -> None:
    assert find_gate(environ()) == Gate("127.0.0.1", 3128, "ray-0a1b2c3d-4.02000000", "s3cret")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({}, "the proxy variables are not those of a gate", id="Ry8-nothing"),
        pytest.param({"http_proxy": URL}, "the proxy variables are not", id="one-of-four"),
        pytest.param(
            environ(https_proxy="http://other:3128"), "the proxy variables are not", id="two-proxies"
        ),
        pytest.param(
            environ("http://127.0.0.1:3128"), "the proxy is none that the plugin", id="no-credentials"
        ),
        pytest.param(environ("http://127.0.0.1:9"), 'egress is of network "none"', id="network-none"),
        pytest.param(
            environ("http://ray-0a1b2c3d-4.${RAY_JOB_ID}:s@127.0.0.1:1"), "the proxy is none", id="unexpanded"
        ),
        pytest.param(environ("http://ray-0a1b2c3d-4.1:s@127.0.0.1:x"), "the proxy is none", id="bad-port"),
        pytest.param(environ("http://[::1"), "the proxy is none", id="no-url"),
    ],
)
def test_anything_else_is_no_gate(variables: dict[str, str], said: str) -> None:
    with pytest.raises(NotGated, match=said):
        find_gate(variables)


async def ask(port: int, token: str = "s3cret", job_id: str = "ray-0a1b2c3d-4.02000000") -> None:  # noqa: S107
    await asyncio.get_running_loop().run_in_executor(
        None, partial(ask_gate, Gate("127.0.0.1", port, job_id, token))
    )


async def test_gate_that_knows_the_job_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_gate(NODE, resolver=FakeResolver({})) as gate:
        (port,) = gate.shared_ports
        await ask(port)
        assert gate.decisions[-1]["job"] == "ray-0a1b2c3d-4.02000000"
        for name, url in environ(URL.replace("3128", str(port))).items():
            monkeypatch.setenv(name, url)
        await asyncio.get_running_loop().run_in_executor(None, require_gate)


async def test_gate_that_does_not_know_the_job_is_none() -> None:
    async with running_gate(NODE, resolver=FakeResolver({})) as gate:
        with pytest.raises(NotGated, match=r"refuses ray-0a1b2c3d-4\.02000000: auth"):
            await ask(gate.shared_ports[0], "wrong")


async def test_nobody_and_somebody_else_are_no_gate() -> None:
    with pytest.raises(NotGated, match=r"no gate answers at 127\.0\.0\.1"):
        await ask(closed_port())
    for content in (b"<html>", b"{}"):
        async with Origin(answer_and_close(ok(content))) as origin:
            with pytest.raises(NotGated, match="is no gate of jobgate"):
                await ask(origin.port)
    async with Origin(answer_and_close(b"garbage\r\n\r\n")) as origin:
        with pytest.raises(NotGated, match="no gate answers"):
            await ask(origin.port)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (json.dumps({"metadata": {"job_submission_id": "raysubmit_AbC"}}), "raysubmit_AbC"),
        (json.dumps({"metadata": {"job_submission_id": "a/b"}}), None),
        (json.dumps({"metadata": {"job_submission_id": 5}}), None),
        (json.dumps({"metadata": None}), None),
        ("[]", None),
        ("", None),
    ],
    ids=["id", "no-name", "number", "null", "list", "nothing"],
)
def test_driver_knows_its_submission(config: str, found: str | None) -> None:
    assert submission_of({JOB_CONFIG: config}) == found


def test_drivers_are_told_apart_by_their_submission() -> None:
    config = json.dumps({"metadata": {"job_submission_id": "raysubmit_AbC"}})
    before = environ(A="//ray-0a1b2c3d-4.02000000:", **{JOB_CONFIG: config})
    after = as_submission(before)
    assert {after[name] for name in NAMES} == {"http://ray-0a1b2c3d-4.raysubmit_AbC:s3cret@127.0.0.1:3128"}
    assert after["A"] == before["A"]
    assert as_submission(environ()) == environ()
