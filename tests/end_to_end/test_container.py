"""The image and deploy/compose.yaml on a real Docker engine: a job that sees its gate and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import pytest

from support.docker_engine import BASE_IMAGE, NAME_SERVER, ROOT, Engine, engine_or_skip, run

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

IMAGE = "jobgate-test"
DATA = ROOT / "tests" / "data" / "container"
GATE, GATE_OUTSIDE = "172.30.99.2", "172.30.98.2"
LISTED, UNLISTED = "172.30.98.10", "172.30.98.11"
HOST_ON_JOB_NETWORK, HOST_ON_EGRESS, HOST_ON_DEFAULT = "172.30.99.1", "172.30.98.1", "172.17.0.1"
HOST_PORT = "8099"
MAX_ADDED_BYTES = 60_000_000

Job = Callable[..., str]


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine_or_skip(IMAGE) as started:
        yield started


@pytest.fixture(scope="module")
def host(docker: Engine) -> Iterator[list[str]]:
    """Services of the host; yields what its name server was asked."""
    with docker.host_process([sys.executable, str(DATA / "host.py")], "serving") as lines:
        yield lines


@pytest.fixture(scope="module")
def compose(docker: Engine, host: list[str]) -> Iterator[Callable[..., str]]:
    files = ["--file", str(ROOT / "deploy/compose.yaml"), "--file", str(DATA / "compose.yaml")]
    environment = {
        **docker.environment,
        "JOBGATE_IMAGE": IMAGE,
        "JOB_IMAGE": BASE_IMAGE,
        "JOB_DOMAINS": "allowed.demo.test",
        "DATA": str(DATA),
        "CERTIFICATES": str(ROOT / "src/jobgate/cli/demo_data"),
    }

    def command(*args: str) -> str:
        return run("docker-compose", "--project-name", "jobgate", *files, *args, env=environment)

    command("up", "--detach")
    yield command
    command("down", "--timeout", "1")


@pytest.fixture(scope="module")
def job(compose: Callable[..., str], docker: Engine) -> Job:
    """Makes one attempt inside the job's container; old engines get the INPUT rule of the compose file."""

    def attempt(*args: str) -> str:
        return compose("exec", "-T", "job", "python3", "/data/job.py", *args).strip()

    if not docker.isolates_gateways:
        # That it is reached now shows that the attempts below would succeed without the rule.
        assert attempt("connect", HOST_ON_JOB_NETWORK, HOST_PORT) == "connected"
        docker.host("iptables", "-I", "INPUT", "-i", "jobgate0", "-j", "DROP")
    return attempt


def test_listed_origin_is_reached(job: Job) -> None:
    assert job("fetch", "https://allowed.demo.test/") == "200 hello"


def test_unlisted_origin_is_refused(job: Job) -> None:
    assert "403 Forbidden (jobgate: not-listed)" in job("fetch", "https://refused.demo.test/")


@pytest.mark.parametrize(
    ("address", "port"),
    [
        (LISTED, "443"),
        (UNLISTED, "443"),
        (GATE_OUTSIDE, "3128"),
        (HOST_ON_JOB_NETWORK, HOST_PORT),
        (HOST_ON_EGRESS, HOST_PORT),
        (HOST_ON_DEFAULT, HOST_PORT),
        (NAME_SERVER, "53"),
    ],
    ids=[
        "listed origin",
        "other container",
        "gate's other leg",
        "gateway",
        "egress",
        "default",
        "name server",
    ],
)
def test_nothing_is_reached_directly(job: Job, address: str, port: str) -> None:
    assert job("connect", address, port).startswith("failed:")


def test_gate_itself_is_reached_directly(job: Job) -> None:
    assert job("connect", GATE, "3128") == "connected"


def test_host_service_of_that_test_is_real(docker: Engine, host: list[str]) -> None:
    code = (
        f"import socket; print(socket.create_connection(('{HOST_ON_DEFAULT}', {HOST_PORT})).recv(9).decode())"
    )
    assert docker.docker("run", "--rm", BASE_IMAGE, "python3", "-c", code) == "host"


@pytest.mark.parametrize("server", [HOST_ON_JOB_NETWORK, NAME_SERVER, HOST_ON_DEFAULT])
def test_name_server_of_the_host_is_not_reached(job: Job, host: list[str], server: str) -> None:
    assert job("query", server, "direct.example.org").startswith("failed:")
    assert not [line for line in host if "direct.example.org" in line]


def test_names_are_not_carried_out_by_the_engine(
    job: Job, compose: Callable[..., str], host: list[str]
) -> None:
    assert job("resolve", "leak.example.org").startswith("failed:")
    look_up = "import socket\ntry: socket.getaddrinfo('control.example.org', 1)\nexcept OSError: pass"
    compose("exec", "-T", "listed", "python3", "-c", look_up)
    asked = "".join(host)
    assert "control.example.org" in asked
    assert "leak.example.org" not in asked


def test_log_of_the_gate_tells_it_all(job: Job, docker: Engine) -> None:
    job("fetch", "https://refused.demo.test/last")
    lines = [json.loads(line) for line in docker.docker("logs", "jobgate_gate_1").splitlines()]
    assert lines[0]["listen"] == {"job": f"{GATE}:3128"}
    refused = [line for line in lines if line.get("host") == "refused.demo.test"]
    assert {(line["decision"], line["reason"]) for line in refused} == {("deny", "not-listed")}
    assert "bad-request" not in {line.get("reason") for line in lines}  # of the health check, once a second


def test_gate_is_no_root_and_healthy(compose: Callable[..., str], docker: Engine) -> None:
    assert docker.docker("exec", "jobgate_gate_1", "id", "-u") == "65532"
    assert docker.docker("inspect", "--format", "{{.State.Health.Status}}", "jobgate_gate_1") == "healthy"


def test_second_job_has_its_gate_on_a_network_of_its_own(compose: Callable[..., str], docker: Engine) -> None:
    environment = {
        **docker.environment,
        "JOBGATE_IMAGE": IMAGE,
        "JOB_IMAGE": BASE_IMAGE,
        "JOB_DOMAINS": "allowed.demo.test",
        "JOB_NETWORK": "172.30.95",
        "JOB_BRIDGE": "jobgate5",
    }
    command = ("docker-compose", "--project-name=second", f"--file={ROOT}/deploy/compose.yaml")
    attempt = ("curl", "--silent", "http://refused.demo.test/")
    try:
        shown = run(*command, "run", "--rm", "-T", "job", *attempt, env=environment)
        assert shown.startswith("refused.demo.test:80 is not in this job's domains.")
        assert compose("exec", "-T", "job", *attempt) == shown
    finally:
        run(*command, "down", "--timeout=1", env=environment)


def test_image_adds_little_to_its_base(docker: Engine) -> None:
    sizes = docker.docker("image", "inspect", "--format", "{{.Size}}", IMAGE, BASE_IMAGE).split()
    assert int(sizes[0]) - int(sizes[1]) < MAX_ADDED_BYTES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "jobgate: sidecar needs at least one domain: add --domain"),
        (["--env=JOBGATE_DOMAIN=*.example.com"], 'jobgate: --domain: "*.example.com": write'),
    ],
    ids=["no domain", "bad domain"],
)
def test_wrong_configuration_ends_at_once_with_the_cause(
    docker: Engine, arguments: list[str], message: str
) -> None:
    gate = docker.client("run", "--rm", *arguments, IMAGE)
    output, errors = gate.communicate(timeout=60)
    assert (gate.returncode, output) == (2, "")
    assert errors.startswith(message)


def test_stop_after_ready_is_prompt_and_clean(docker: Engine) -> None:
    options = ["--rm", "--name=stopped", "--env=JOBGATE_DOMAIN=example.com"]
    gate = docker.client("run", *options, IMAGE)
    with gate:
        assert gate.stdout is not None
        assert json.loads(gate.stdout.readline())["event"] == "ready"
        docker.docker("stop", "--time=60", "stopped")
        assert gate.wait(30) == 0


def test_recipe_names_no_index(docker: Engine) -> None:
    assert "127.0.0.1:8000" not in docker.docker("history", "--no-trunc", IMAGE)
