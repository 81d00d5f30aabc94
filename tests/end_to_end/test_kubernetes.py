"""The pod and the gateway of deploy/kubernetes, played without a cluster: commands, users, variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.kustomize import Resource, environment, named, one
from support.netns import needs_namespaces
from support.ordinary_user import ordinary
from support.pod import INTERFACE, OUTSIDE4, Pod, needs_nft, pod

pytestmark = [needs_namespaces, needs_nft]

ORIGIN = f'[node]\nallow_addresses = ["{OUTSIDE4}"]\n[dns.hosts]\n"www.example.com" = ["{OUTSIDE4}"]\n'
FETCH = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.reason)
except OSError as error:
    print("no way:", getattr(error, "reason", error))
"""


@pytest.fixture
def made() -> Iterator[Pod]:
    with pod() as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can read."""
    with TemporaryDirectory(prefix="jobgate-pod-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def command(made: Pod, container: Resource, argv: list[str]) -> list[str]:
    """The command line of a container, as its user, in the pod's network."""
    return made.inside.command(*ordinary(argv, container["securityContext"]["runAsUser"]))


def jobgate(*args: str) -> list[str]:
    return [sys.executable, "-m", "jobgate", *args]


@contextmanager
def running(argv: list[str], env: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """A gate, from its `ready` line on, which is what is yielded."""
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "the gate did not start"
            yield json.loads(line)
        finally:
            process.terminate()
            process.stdout.read()


def fetch(made: Pod, job: Resource, env: Mapping[str, str], url: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    argv = command(made, job, [sys.executable, "-c", FETCH, url])
    done = subprocess.run(argv, env={**clean, **env}, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_pod_with_a_gate_in_the_order_of_its_steps(made: Pod, folder: Path) -> None:
    spec = one("sidecar", "Job")["spec"]["template"]["spec"]
    lockdown, gate, job = (named(spec, name) for name in ("lockdown", "gate", "job"))
    config = folder / "gate.toml"
    config.write_text(ORIGIN)
    env = {**environment(gate), "JOBGATE_CONFIG": str(config)}
    start = command(made, gate, jobgate(*gate["args"]))
    probe = command(made, gate, jobgate(*gate["startupProbe"]["exec"]["command"][1:]))

    # Without its first step the second one does not start.
    refused = subprocess.run(start, env={**os.environ, **env}, capture_output=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 1

    assert made.jobgate("lockdown", *lockdown["args"]).returncode == 0
    with running(start, env) as ready:
        assert ready["listen"] == {"train": "127.0.0.1:3128"}
        assert subprocess.run(probe, timeout=60, check=False).returncode == 0
        assert fetch(made, job, environment(job), "http://www.example.com:8080/") == "outside"
        assert fetch(made, job, environment(job), "http://example.com:8080/") == (
            "403 Forbidden (jobgate: not-listed)"
        )
        # Around the gate: the addresses of the outside, without the variables.
        assert fetch(made, job, {}, f"http://{OUTSIDE4}:8080/").startswith("no way: [Errno 111]")


def test_gateway_serves_who_has_the_token(made: Pod, folder: Path) -> None:
    """On the address of its service, where the pod of the job finds it."""
    spec = one("gateway", "DaemonSet")["spec"]["template"]["spec"]
    gateway = {**named(spec, "gateway"), "securityContext": spec["securityContext"]}
    pod_of_job = one("jobs", "Job")["spec"]["template"]["spec"]
    job = {**named(pod_of_job, "job"), "securityContext": pod_of_job["securityContext"]}
    args = [str(folder / "jobgate.toml") if "/" in word else word for word in gateway["args"]]
    text = (Path(__file__).parents[2] / "deploy/kubernetes/gateway/jobgate.toml").read_text()
    (folder / "jobgate.toml").write_text(
        f"{ORIGIN}{text}".replace("REPLACE ME", "0123456789abcdef").replace("/run/jobgate", str(folder))
    )
    folder.chmod(0o777)
    service = one("gateway", "Service")["spec"]
    made.inside.run("ip", "address", "add", f"{service['clusterIP']}/32", "dev", INTERFACE)
    start = command(made, gateway, jobgate(*args))
    probe = command(made, gateway, jobgate(*gateway["readinessProbe"]["exec"]["command"][1:]))
    with running(start, {}) as ready:
        assert ready["proxy"] == ["0.0.0.0:3128"]
        assert subprocess.run(probe, timeout=60, check=False).returncode == 0
        env = environment(job, JOBGATE_TOKEN="0123456789abcdef")
        assert fetch(made, job, env, "http://www.example.com:8080/") == "outside"
        assert fetch(made, job, env, "http://example.com:8080/") == "403 Forbidden (jobgate: not-listed)"
        wrong = environment(job, JOBGATE_TOKEN="fedcba9876543210")
        assert fetch(made, job, wrong, "http://www.example.com:8080/").startswith("407 ")
