"""docs/kubernetes.md: what it tells to run, on a cluster that is played (tests/support/kubernetes_api.py)."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from jobgate.config.load import load_text
from support.docker_engine import ROOT
from support.kubernetes_api import played_api
from support.kustomize import DEPLOY, OVERLAYS, Resource, containers, one, pod_specs
from support.pages import Step, run_steps, steps_of

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()


def test_page_applies_every_overlay_and_no_other() -> None:
    applied = re.findall(r"^\$ kubectl apply -k (\S+)", PAGE, re.M)
    assert set(applied) == {f"deploy/kubernetes/{overlay}" for overlay in OVERLAYS}
    assert "kubectl apply -f deploy/kubernetes/jobs/probe.yaml" in PAGE
    built = re.findall(r"^\$ docker build .*-f (\S+)", PAGE, re.M)
    assert built == ["deploy/kubernetes/lockdown.Dockerfile"]
    assert all((ROOT / path).exists() for path in built)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: it makes tokens")
def test_commands_of_the_page_give_gateway_and_jobs_one_token_each(tmp_path: Path) -> None:
    """First the jobs of a node, then Ray, as the page has it."""
    shutil.copytree(DEPLOY, tmp_path / "deploy" / "kubernetes")
    edits = re.findall(r"^\$ (token=.*)\n\$ (sed -i .*)$", PAGE, re.M)
    (ray,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    found = {}
    config = tmp_path / "deploy" / "kubernetes" / "gateway" / "jobgate.toml"
    for overlay, edit, added in zip(("jobs", "kuberay"), edits, ("", f"\n{ray}"), strict=True):
        config.write_text(config.read_text() + added)
        subprocess.run(["sh", "-e", "-c", "\n".join(edit)], cwd=tmp_path, check=True)
        text = (config.parent.parent / overlay / "kustomization.yaml").read_text()
        (literal,) = yaml.safe_load(text)["secretGenerator"][0]["literals"]
        found[overlay] = literal.removeprefix("token=")
    tokens = tomllib.loads(config.read_text())["job"]
    assert {job["id"]: job["token"] for job in tokens} == {"train": found["jobs"], "ray": found["kuberay"]}
    assert len(set(found.values())) == 2
    assert [job.id for job in load_text(config.read_text()).jobs] == ["train", "ray"]


def page_steps() -> list[Step]:
    """All that the page tells to run but the builds of images: its blocks, then what stands in its prose."""
    (ray,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    steps = [step for step in steps_of(ROOT / "docs/kubernetes.md") if not step.command.startswith("docker ")]
    *_, second = (number for number, step in enumerate(steps) if step.command.startswith("token="))
    steps.insert(second, Step(f"cat >> deploy/kubernetes/gateway/jobgate.toml <<'END'\n\n{ray}END", []))
    inline = re.findall(r"`((?:kubectl --|sed )[^`]*)`", PAGE)
    assert len(inline) > 4
    inline.sort(key=lambda command: " delete " in command)
    return [*steps, *(Step(" ".join(command.split()), []) for command in inline)]


def test_kubectl_takes_every_command_of_the_page(tmp_path: Path) -> None:
    """Flags, files, kinds, names, namespaces and containers are those that were applied before."""
    if shutil.which("openssl") is None or not kubectl_knows_sort_options():
        pytest.skip("needs openssl, and kubectl 1.27 or later")
    copied = Step(f"cp -r {ROOT}/deploy .", [])
    steps = [copied, *page_steps()]
    asked = [step._replace(command=f"{step.command}\necho $?") for step in steps]
    with played_api() as (api, url):
        (tmp_path / ".kube").mkdir()
        (tmp_path / ".kube" / "config").write_text(json.dumps(cluster_at(url)))
        outputs = run_steps(asked, tmp_path)
    refused = [step.command for step, output in zip(steps, outputs, strict=True) if output[-1] != "0"]
    assert len(refused) == 1, outputs
    assert " exec " in refused[0]  # played, it gets as far as the container
    assert api.commands[-1] == ("jobgate-x", "gateway", ["jobgate", "jobs", "list"])
    assert ("default", "jobs", "probe") in api.objects

    def secret(namespace: str, name: str, key: str) -> str:
        return base64.b64decode(api.objects[namespace, "secrets", name]["data"][key]).decode()

    tokens = [secret("jobs", "train-gate", "token"), secret("ray", "ray-gate", "token")]
    served = tomllib.loads(secret("jobgate", "jobgate-config", "jobgate.toml"))
    assert [job["token"] for job in served["job"]] == tokens


def kubectl_knows_sort_options() -> bool:
    """Whether it is here, and as new as the page asks for."""
    if shutil.which("kubectl") is None:
        return False
    command = ["kubectl", "version", "--client", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["clientVersion"]["minor"].rstrip("+")) >= 27


def cluster_at(url: str) -> Resource:
    """The configuration of kubectl for a cluster there."""
    return {
        "current-context": "played",
        "contexts": [{"name": "played", "context": {"cluster": "played"}}],
        "clusters": [{"name": "played", "cluster": {"server": url}}],
    }


def probe() -> Resource:
    """The job that asks whether the policy of the others is enforced."""
    found: Resource = yaml.safe_load((DEPLOY / "jobs" / "probe.yaml").read_text())
    return found


@pytest.mark.parametrize("version", ["1.26", kubernetes_validate.latest_version()])
def test_probe_is_valid_and_may_run_where_the_jobs_are(version: str) -> None:
    kubernetes_validate.validate(probe(), version, strict=True)
    assert probe()["metadata"]["namespace"] == one("jobs", "NetworkPolicy")["metadata"]["namespace"]
    (spec,) = pod_specs(probe())
    assert spec["securityContext"] == one("jobs", "Job")["spec"]["template"]["spec"]["securityContext"]
    (mine,), (theirs,) = containers(probe()), containers(one("jobs", "Job"))
    assert (mine["image"], mine["securityContext"]) == (theirs["image"], theirs["securityContext"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("listens", [True, False], ids=["open", "closed"])
def test_probe_says_whether_the_api_server_can_be_reached(listens: bool) -> None:
    """Whatever answers on its port, without a name server and past a proxy."""
    (container,) = containers(probe())
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        environ |= {"PATH": os.environ["PATH"], "https_proxy": "http://127.0.0.1:9"}
        if not listens:
            server.close()
        command = [*container["command"], *container["args"]]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as asking:
            if listens:
                connection, _ = server.accept()
                connection.close()  # before any answer: it was reached all the same
            assert asking.stdout is not None
            said = asking.stdout.read()
    assert (said.partition(":")[0], asking.returncode) == ("open" if listens else "closed", int(listens))
