"""The pod of deploy/kubernetes/sidecar as containers of a real engine that share one network namespace.


Users, capabilities, read-only root, no new privileges and the arguments are the manifest's;
the system call filter is the engine's default, as `RuntimeDefault` is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.docker_engine import ADMIN_PATH, BASE_IMAGE, Engine, EngineError, engine_or_skip
from support.kustomize import DEPLOY, Resource, environment, named, one

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

IMAGE, LOCKDOWN_IMAGE = "jobgate-test", "jobgate-lockdown-test"
ORIGIN = "172.30.97.10"
SPEC: Resource = one("sidecar", "Job")["spec"]["template"]["spec"]
CONFIG = f'[node]\nallow_addresses = ["{ORIGIN}"]\n[dns.hosts]\n"www.example.com" = ["{ORIGIN}"]\n'
FETCH = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=30).status)
except urllib.error.HTTPError as error:
    print(error.code, error.reason)
except OSError as error:
    print("no way:", getattr(error, "reason", error))
"""
AS_IT_IS: Mapping[str, object] = {}
BECOME = "import os, sys; os.setgid(65532); os.setuid(65532)\n"


def options(container: Resource, changes: Mapping[str, object] = AS_IT_IS) -> list[str]:
    """What the engine is told of a container's security context."""
    context = {**SPEC["securityContext"], **container["securityContext"], **changes}
    found = [f"--user={context['runAsUser']}:{context['runAsGroup']}", "--network=container:pause"]
    capabilities = context["capabilities"]
    assert isinstance(capabilities, dict)
    found += [f"--cap-drop={name}" for name in capabilities.get("drop", ())]
    found += [f"--cap-add={name}" for name in capabilities.get("add", ())]
    if not context["allowPrivilegeEscalation"]:
        found.append("--security-opt=no-new-privileges")
    if context["readOnlyRootFilesystem"]:
        found.append("--read-only")
    return found


def build_lockdown(started: Engine) -> None:
    """Build lockdown.Dockerfile with this machine's nft: the images are of the same distribution."""
    program = shutil.which("nft", path=ADMIN_PATH)
    if program is None:
        raise EngineError("needs nft")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    with TemporaryDirectory(prefix="jobgate-nft-") as folder:
        for path in [program, *re.findall(r"=> (/\S+)", linked)]:
            copy = Path(folder, "nft", path.lstrip("/"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        recipe = (DEPLOY / "lockdown.Dockerfile").read_text()
        changed = re.sub(
            r"^RUN apt-get(.*\\\n)*.*$", "COPY nft/usr /usr\nCOPY nft/lib /lib", recipe, flags=re.M
        )
        assert changed != recipe
        Path(folder, "Dockerfile").write_text(changed)
        started.docker("build", f"--build-arg=BASE={IMAGE}", f"--tag={LOCKDOWN_IMAGE}", folder)


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine_or_skip(IMAGE) as started:
        build_lockdown(started)
        yield started


@pytest.fixture(scope="module")
def pod(docker: Engine) -> Iterator[Engine]:
    """The namespace of a pod, with a way out, and an origin at its end."""
    docker.docker("network", "create", "--subnet=172.30.97.0/24", "outside")
    docker.docker("run", "--detach", "--network=outside", "--name=pause", BASE_IMAGE, "sleep", "infinity")
    network = ["--network=outside", f"--ip={ORIGIN}", "--name=origin"]
    with docker.client("run", *network, BASE_IMAGE, "python3", "-u", "-m", "http.server", "8080") as origin:
        assert origin.stdout is not None
        assert origin.stdout.readline().startswith("Serving HTTP")
        yield docker
        docker.docker("rm", "--force", "origin", "pause")


def fetch(
    pod: Engine,
    url: str,
    env: Mapping[str, str],
    *,
    code: str = FETCH,
    changes: Mapping[str, object] = AS_IT_IS,
) -> str:
    """A request of the job's container."""
    variables = [f"--env={name}={value}" for name, value in env.items()]
    container = [*options(named(SPEC, "job"), changes), *variables, BASE_IMAGE, "python3", "-c", code, url]
    return pod.docker("run", "--rm", *container)


@pytest.fixture(scope="module")
def locked(pod: Engine) -> Iterator[Engine]:
    """After the first two steps."""
    with TemporaryDirectory(prefix="jobgate-pod-") as folder:
        Path(folder).chmod(0o755)
        Path(folder, "gate.toml").write_text(CONFIG)
        gate = named(SPEC, "gate")
        env = {**environment(gate), "JOBGATE_CONFIG": "/config/gate.toml"}
        start = [*options(gate), f"--volume={folder}:/config:ro"]
        start += [f"--env={name}={value}" for name, value in env.items()]

        # Nothing is locked yet.
        assert fetch(pod, f"http://{ORIGIN}:8080/", {}) == "200"
        early = pod.client("run", "--rm", *start, IMAGE, *gate["args"])
        assert "(no lockdown: eth0 (IPv4) is open to every user)" in early.communicate(timeout=60)[1]
        assert early.returncode == 1

        lockdown = named(SPEC, "lockdown")
        pod.docker("run", "--rm", *options(lockdown), LOCKDOWN_IMAGE, *lockdown["args"])
        running = pod.client("run", "--name=gate", *start, IMAGE, *gate["args"])
        with running:
            assert running.stdout is not None
            assert '"event":"ready"' in running.stdout.readline()
            yield pod
            pod.docker("rm", "--force", "gate")


def test_probe_of_the_gate_succeeds(locked: Engine) -> None:
    locked.docker("exec", "gate", *named(SPEC, "gate")["startupProbe"]["exec"]["command"])


def test_job_reaches_what_is_listed_and_nothing_else(locked: Engine) -> None:
    env = environment(named(SPEC, "job"))
    assert fetch(locked, "http://www.example.com:8080/", env) == "200"
    assert fetch(locked, "http://example.com:8080/", env) == "403 Forbidden (jobgate: not-listed)"
    assert fetch(locked, f"http://{ORIGIN}:8080/", {}) == "no way: [Errno 111] Connection refused"


def test_root_without_capabilities_is_held_too(locked: Engine) -> None:
    root = {"runAsUser": 0, "runAsGroup": 0}
    assert fetch(locked, f"http://{ORIGIN}:8080/", {}, changes=root).startswith("no way")
    assert "PermissionError" in fetch_fails(locked, BECOME + FETCH, root)


def test_root_that_may_become_the_gates_user_is_not(locked: Engine) -> None:
    """Why the manifest drops every capability: the engine's default has SETUID."""
    root = {"runAsUser": 0, "runAsGroup": 0, "capabilities": {}}
    assert fetch(locked, f"http://{ORIGIN}:8080/", {}, changes=root).startswith("no way")
    assert fetch(locked, f"http://{ORIGIN}:8080/", {}, code=BECOME + FETCH, changes=root) == "200"


def fetch_fails(pod: Engine, code: str, changes: Mapping[str, object]) -> str:
    """What a container that fails says."""
    argv = [
        *options(named(SPEC, "job"), changes),
        BASE_IMAGE,
        "python3",
        "-c",
        code,
        f"http://{ORIGIN}:8080/",
    ]
    return pod.client("run", "--rm", *argv).communicate(timeout=60)[1]
