"""``jobgate docker run`` with real engines, and docs/docker.md as it is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.docker_engine import NAME_SERVER, ROOT
from support.docker_page import Step, shape, steps_of
from support.docker_world import PYTHON_IMAGE, WEB, World, docker_world
from support.wait import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PAGE = ROOT / "docs/docker.md"
MARK = "=== step"
JOB = f"--volume={ROOT}/tests/data/container/job.py:/job.py:ro"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode().strip())"
VSOCK = """
import socket
try:
    with socket.socket(socket.AF_VSOCK) as sock:
        sock.settimeout(3)
        sock.connect((socket.VMADDR_CID_HOST, 1))
except OSError as error:
    print(type(error).__name__, error.errno)
"""
WAITING = """
import signal
signal.signal(signal.SIGTERM, lambda *ignored: exit(42))
print("up", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with docker_world() as started:
        yield started


@dataclass(frozen=True, slots=True)
class Client:
    """One of the engines, and how it is told to ``jobgate docker run``."""

    name: str
    options: tuple[str, ...]
    world: World

    def words(self, *job: str, options: tuple[str, ...] = ("--domain", ".example.com")) -> list[str]:
        return ["jobgate", "docker", "run", *self.options, *options, "--", *job]

    def run(self, *job: str, content: str = "") -> subprocess.CompletedProcess[str]:
        return self.world.run(*self.words(*job), content=content)

    def python(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(PYTHON_IMAGE, "python3", "-c", code, *arguments)

    def attempt(self, *words: str) -> str:
        return self.run(JOB, PYTHON_IMAGE, "python3", "/job.py", *words).stdout.strip()

    def containers(self) -> list[str]:
        return self.world.run(self.name, "ps", "--all", "--quiet").stdout.split()


@pytest.fixture(scope="module", params=["docker", "podman"])
def client(world: World, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Client:
    if request.param == "docker":
        return Client("docker", (), world)
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    saved = tmp_path_factory.mktemp("images") / "images.tar"
    world.engine.docker("save", "--output", str(saved), "jobgate", PYTHON_IMAGE)
    world.podman("load", "--input", str(saved))
    saved.unlink()
    tried = world.run("podman", "run", "--rm", "--network=none", PYTHON_IMAGE, "true")
    if tried.returncode != 0:
        pytest.skip(f"podman runs no container here: {tried.stderr.strip()}")
    return Client("podman", ("--engine", "podman", "--gate-image", "jobgate"), world)


def test_listed_origin_is_reached_and_counted(client: Client) -> None:
    done = client.python(FETCH, "https://www.example.com/")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert re.search(r"reached  www\.example\.com:443  1 request", done.stderr)
    assert client.containers() == []


def test_unlisted_origin_is_refused_with_what_would_allow_it(client: Client) -> None:
    done = client.python(FETCH, "https://www.example.org/")
    assert done.returncode == 1
    assert "403 Forbidden (jobgate: not-listed)" in done.stderr
    assert "--domain www.example.org" in done.stderr


@pytest.mark.parametrize(
    ("address", "port"),
    [(WEB, "443"), (NAME_SERVER, "53"), ("172.17.0.1", "8099"), ("169.254.169.254", "80")],
    ids=["origin", "name server", "host", "metadata"],
)
def test_nothing_is_reached_directly(client: Client, address: str, port: str) -> None:
    assert client.attempt("connect", address, port).startswith("failed:")


def test_services_of_that_test_are_real(world: World) -> None:
    for address, port in [(WEB, "443"), ("172.17.0.1", "8099")]:
        reached = world.engine.docker(
            "run", "--rm", JOB, PYTHON_IMAGE, "python3", "/job.py", "connect", address, port
        )
        assert reached == "connected"


def test_engine_carries_no_name_out(client: Client) -> None:
    assert client.attempt("resolve", "leak.example.org").startswith("failed:")
    assert client.attempt("query", NAME_SERVER, "leak.example.org").startswith("failed:")
    assert "leak.example.org" not in "".join(client.world.asked)


def test_only_loopback_is_there(client: Client) -> None:
    assert client.python("import os; print(os.listdir('/sys/class/net'))").stdout == "['lo']\n"


def test_hypervisor_is_not_reached(client: Client) -> None:
    # Blocked by a filter, or nothing there: never a connection, nor an answer.
    shown = client.python(VSOCK).stdout
    assert shown.startswith(("PermissionError", "OSError 38", "OSError 97", "OSError 19")), shown


def test_job_without_a_domain_has_no_network(client: Client) -> None:
    words = client.words(JOB, PYTHON_IMAGE, "python3", "/job.py", "connect", "127.0.0.1", "3128", options=())
    done = client.world.run(*words)
    assert (done.stdout, done.stderr) == ("failed: [Errno 111] Connection refused\n", "")


def test_input_output_and_exit_code_pass_through(client: Client) -> None:
    done = client.run("-i", PYTHON_IMAGE, "sh", "-c", "cat; echo oops >&2; exit 7", content="hello\n")
    assert (done.returncode, done.stdout) == (7, "hello\n")
    assert done.stderr.startswith("oops\n")


def test_name_of_the_job_is_what_it_was_given(client: Client) -> None:
    assert client.run("--hostname", "box", PYTHON_IMAGE, "hostname").stdout == "box\n"


def test_variables_of_the_gate_beat_all_others(client: Client, tmp_path: Path) -> None:
    (tmp_path / "job.env").write_text("http_proxy=http://evil.test\nOTHER=1\n")
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpsProxy": "http://evil.test"}}}')
    job = ["--env-file", f"{tmp_path}/job.env", "-e", "no_proxy=*", PYTHON_IMAGE, "env"]
    environment = [f"DOCKER_CONFIG={tmp_path}", "HTTPS_PROXY=http://evil.test"]
    done = client.world.run("env", *environment, *client.words(*job))
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found["http_proxy"] == found["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert (found["no_proxy"], found["OTHER"]) == ("localhost,127.0.0.1,::1", "1")


def test_terminal_passes_through(client: Client) -> None:
    words = client.words("-it", PYTHON_IMAGE, "sh", "-c", "test -t 0 && test -t 1 && echo yes")
    command = " ".join(f"'{word}'" for word in words)
    typed = ("script", "--quiet", "--return", "--command", command, "/dev/null")
    # Kept open: at an end of the input Podman 4.3 may throw the output away, without jobgate, too.
    with client.world.start(*typed, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        shown = process.stdout.read()
    assert (process.returncode, "yes" in shown) == (0, True), shown


def test_log_names_what_was_decided(client: Client, tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    options = ("--domain", ".example.com", "--log", str(log))
    words = client.words(PYTHON_IMAGE, "python3", "-c", FETCH, "http://www.example.net/", options=options)
    client.world.run(*words)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["host"], line["reason"]) for line in lines if line["event"] == "decision"] == [
        ("www.example.net", "not-listed")
    ]


def started(client: Client) -> subprocess.Popen[str]:
    """Start a job that waits to be told, and wait until it does."""
    process = client.world.start(*client.words(PYTHON_IMAGE, "python3", "-c", WAITING))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_signal_reaches_the_job(client: Client) -> None:
    with started(client) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (process.returncode, client.containers()) == (42, [])


def test_killed_launcher_leaves_nothing(client: Client) -> None:
    with started(client) as process:
        process.kill()
        process.communicate(timeout=60)
        wait_until(lambda: client.containers() == [], 60)


def test_next_run_removes_what_was_left(client: Client) -> None:
    with started(client) as process:
        assert len(client.containers()) == 2
        process.send_signal(signal.SIGSTOP)  # so that it starts no other remover
        remover, folder = remover_of(process.pid)
        os.kill(remover, signal.SIGKILL)
        process.kill()
        # The client goes on, and would remove the job at its end.
        assert client.containers()
        assert folder.exists()
        done = client.run(PYTHON_IMAGE, "true")
        assert done.returncode == 0, done.stderr
        assert client.containers() == []
        assert not folder.exists()
        process.communicate(timeout=60)


def remover_of(launcher: int) -> tuple[int, Path]:
    """The shell that waits for the launcher's end, and the folder that it would remove."""
    for task in Path("/proc").glob("[0-9]*"):
        try:
            words = (task / "cmdline").read_bytes().split(b"\0")
            parent = int((task / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == launcher and b"jobgate-remover" in words:
            return int(task.name), Path(os.fsdecode(words[-2]))
    raise AssertionError("there is no remover")


def test_image_that_is_not_there_is_named(client: Client) -> None:
    done = client.world.run(*client.words("x", options=("--gate-image", "absent", "--domain", "a.example")))
    assert done.returncode == 125
    remedy = f"build it ({client.name} build -t jobgate . in a checkout)"
    assert done.stderr.startswith(f'jobgate: no image "absent" to hold the network: {remedy}')


def test_page_is_true(world: World, tmp_path: Path, client: Client) -> None:
    if client.name == "docker":
        pytest.skip("with Podman, in its turn")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    check_steps(world, steps_of(PAGE), f"cd {tmp_path}")


def test_five_minutes_of_the_readme_are_true(world: World, tmp_path: Path) -> None:
    """From the file of the gateway to its end; ``/run`` and ``/var/lib`` are the test's own."""
    section = (ROOT / "README.md").read_text().split("In five minutes")[1].split("A job is known by")[0]
    (tmp_path / "page.md").write_text(section.replace("$ jobgate top ", "$ jobgate top --once "))
    (configuration,) = re.findall("```toml\n(.*?)```", section, re.S)
    (tmp_path / "jobgate.toml").write_text(configuration)
    (tmp_path / "Dockerfile").write_text(f'FROM {PYTHON_IMAGE}\nENTRYPOINT ["curl"]\n')
    world.engine.docker("build", "--network=none", "--tag=curlimages/curl", str(tmp_path))
    own = " && ".join(f"mount -t tmpfs none {place}" for place in ("/run", "/var/lib"))
    steps = steps_of(tmp_path / "page.md")
    assert len(steps) > 10
    check_steps(world, steps, f"trap 'kill $(jobs -p)' EXIT; cd {tmp_path} && {own}")


def check_steps(world: World, steps: Sequence[Step], before: str) -> None:
    """Run the commands of a page in one shell; each has to succeed and to print the lines below it."""
    parts = [f"echo '{MARK}'\n{step.command}\necho \"{MARK} $?\"" for step in steps]
    done = world.run("bash", "-c", "\n".join([before, "exec 2>&1", *parts]))
    outputs = re.findall(f"{MARK}\n(.*?){MARK} ([0-9]+)\n", done.stdout, re.S)
    assert len(outputs) == len(steps), done.stdout
    for step, (output, exit_code) in zip(steps, outputs, strict=True):
        assert exit_code == "0", f"{step.command}: {output}"
        lines = [shape(line) for line in output.splitlines()]
        assert [line for line in map(shape, step.output) if line not in lines] == [], output


COMPOSE = ("docker", "compose", "-f", str(ROOT / "deploy/compose-gateway.yaml"))


@pytest.fixture
def gateway(world: World, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs a Python program as one of two jobs behind a gateway."""
    tokens = {"JOB_A_TOKEN": "a" * 16, "JOB_B_TOKEN": "b" * 16}
    configuration = (ROOT / "deploy/gateway.toml").read_text()
    for name, token in tokens.items():
        configuration = configuration.replace(name, token)
    folder = tmp_path / "gateway"  # the gate is no root, and pytest's folder is for nobody else
    folder.mkdir()
    (folder / "jobgate.toml").write_text(configuration)
    given = {"JOB_IMAGE": PYTHON_IMAGE, "GATEWAY_CONFIG": str(folder), **tokens}
    variables = ["env", *(f"{name}={value}" for name, value in given.items())]

    def attempt(job: str, *words: str, options: Sequence[str] = ()) -> str:
        command = [*COMPOSE, "run", "--rm", "-T", *options, JOB, job, "python3", *words]
        done = world.run(*variables, *command)
        return done.stdout.strip() or done.stderr

    if not world.engine.isolates_gateways:
        for number in "12":
            world.engine.host("iptables", "-I", "INPUT", "-i", f"jobgate{number}", "-j", "DROP")
    yield attempt
    world.run(*variables, *COMPOSE, "down", "--timeout", "1")


def test_jobs_of_one_gateway_are_apart(gateway: Callable[..., str]) -> None:
    fetch = ("-c", FETCH, "http://www.example.org/")
    assert gateway("job-b", *fetch) == "hello"
    assert "jobgate: not-listed" in gateway("job-a", *fetch)
    # Its neighbour's token is worth nothing on its own network, and the neighbour's listener is not there.
    stolen = ["-e", f"http_proxy=http://job-b:{'b' * 16}@172.30.97.2:3128"]
    assert "jobgate: unknown-job" in gateway("job-a", *fetch, options=stolen)
    for address, port in [("172.30.96.2", "3128"), ("172.30.97.1", "8099"), (WEB, "80")]:
        assert gateway("job-a", "/job.py", "connect", address, port).startswith("failed:")
