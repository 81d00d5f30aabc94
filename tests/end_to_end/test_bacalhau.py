"""The image as Bacalhau's gateway: its executor's sequence on a real Docker engine, group E.

The engine's network namespace is the node's host; another one beyond it is the world, with an address
that the guard of addresses takes for a public one.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from support.bacalhau_executor import (
    GATEWAY_IMAGE,
    GatewayFailedError,
    destroy,
    execution,
    leftovers,
    run_job,
)
from support.docker_engine import BASE_IMAGE, NAME_SERVER, ROOT, Engine, engine_or_skip, run
from support.netns import namespace

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PUBLIC, HOST = "93.184.215.14", "172.17.0.1"
DATA = ROOT / "tests/data/bacalhau"
PAGE = ROOT / "docs/bacalhau.md"
CERTIFICATES = ROOT / "src/jobgate/cli/demo_data"
ORIGIN = "host.docker.internal"
URL = f"http://{ORIGIN}:8000/hello.txt"
CURL = ("curl", "--silent", "--show-error", "--max-time", "20")
SERVICES = [sys.executable, str(DATA / "host.py"), PUBLIC, HOST, str(CERTIFICATES / "origin.pem")]
API_SERVED = "served: 1234 /\n"
SQUID_TEXT = "ERROR: The requested URL could not be retrieved"


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine_or_skip("jobgate") as started:
        started.docker("tag", "jobgate", GATEWAY_IMAGE)
        yield started


@pytest.fixture(scope="module", autouse=True)
def world(docker: Engine) -> Iterator[None]:
    """An origin beyond the host, reached by a cable that the engine's containers are routed to."""
    with namespace() as beyond:
        peer = ("peer", "name", "world", "netns", str(beyond.pid))
        docker.host("ip", "link", "add", "world", "type", "veth", *peer)
        docker.host("ip", "address", "add", "93.184.215.1/24", "dev", "world")
        docker.host("ip", "link", "set", "world", "up")
        beyond.run("ip", "address", "add", f"{PUBLIC}/24", "dev", "world")
        beyond.run("ip", "link", "set", "world", "up")
        with serving(beyond.command(*SERVICES, PUBLIC)):
            yield


@pytest.fixture(scope="module", autouse=True)
def host(docker: Engine) -> Iterator[list[str]]:
    """Services of the host; yields what was asked of them."""
    with docker.host_process([*SERVICES, NAME_SERVER], "serving") as lines:
        yield lines


@contextmanager
def serving(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serving\n"
            yield
        finally:
            process.kill()


def test_job_without_a_network_reaches_nothing_e1(docker: Engine) -> None:
    done = run_job(docker, "none", *CURL, URL)
    assert (done.code, done.out) == (6, "")
    assert done.err


def test_job_with_the_full_network_reaches_the_origin_e2(docker: Engine) -> None:
    options = [f"--add-host={ORIGIN}:host-gateway"]
    done = run_job(docker, "bridge", *CURL, URL, options=options)
    assert (done.code, done.out) == (0, "/hello.txt")


@pytest.mark.parametrize(
    "domains", [[ORIGIN], [ORIGIN, "bacalhau.org"]], ids=["E3-one-domain", "E4-two-domains"]
)
def test_listed_origin_is_reached(docker: Engine, domains: list[str]) -> None:
    with execution(docker, domains) as job:
        done = job.run(*CURL, "--fail-with-body", URL)
        assert (done.code, done.out) == (0, "/hello.txt")


def test_refusal_over_http_shows_the_text_that_upstream_looks_for_e5(docker: Engine) -> None:
    with execution(docker, ["bacalhau.org"]) as job:
        done = job.run(*CURL, "--fail-with-body", URL)
        assert done.code == 22
        assert SQUID_TEXT in done.out


def test_refusal_over_https_fails_without_output_e6(docker: Engine) -> None:
    with execution(docker, [ORIGIN]) as job:
        done = job.run(*CURL, "https://www.bacalhau.org")
        assert (done.code, done.out) == (56, "")


def test_origin_is_told_the_id_of_the_job_e7(docker: Engine) -> None:
    with execution(docker, [ORIGIN], job_id="j-e7") as job:
        done = job.run(*CURL, "--header", "X-Bacalhau-Job-ID: spoof", f"http://{ORIGIN}:8000/job")
        assert (done.code, done.out) == (0, "j-e7")


def test_variables_of_the_executor_work_as_they_are_e8(docker: Engine) -> None:
    """Lower case, without a scheme, and after the user's own."""
    with execution(docker, [ORIGIN]) as job:
        done = job.run("env", options=["--env=http_proxy=http://192.0.2.1:1"])
        proxies = {line for line in done.out.splitlines() if "proxy" in line.lower()}
        assert proxies == {f"http_proxy={job.address}:8080", f"https_proxy={job.address}:8080"}
        assert job.run(*CURL, URL, options=["--env=http_proxy=http://192.0.2.1:1"]).out == "/hello.txt"


DIRECT = ("curl", "--silent", "--connect-timeout", "3", "--noproxy", "*")


def test_world_is_not_reached_past_the_proxy_e9(docker: Engine) -> None:
    with execution(docker, ["example.com", PUBLIC]) as job:
        done = job.run(*DIRECT, f"http://{PUBLIC}/")
        assert (done.code in (7, 28), done.out) == (True, "")
        assert job.run(*CURL, f"http://{PUBLIC}/by-proxy").out == "/by-proxy"


def test_host_is_closed_by_the_rule_of_the_page(docker: Engine) -> None:
    """On the job's own network the host has an address, which no proxy can close."""
    (rule,) = re.findall(r"# (iptables .*)", PAGE.read_text())
    with execution(docker, [ORIGIN]) as job:
        format_ = "{{(index .IPAM.Config 0).Gateway}}"
        host = docker.docker("network", "inspect", "--format", format_, f"{job.name}-network")
        assert job.run(*DIRECT, f"http://{host}:1234/").out == "/"
        docker.host(*rule.split())
        assert job.run(*DIRECT, f"http://{host}:1234/").code == 28
        assert job.run(*CURL, URL).out == "/hello.txt"


def test_public_origin_is_reached_by_its_name(docker: Engine) -> None:
    with execution(docker, ["example.com", "allowed.demo.test"]) as job:
        assert job.run(*CURL, "http://example.com/a").out == "/a"
        done = job.run(
            *CURL,
            "--cacert",
            "/certificates/ca.pem",
            "https://allowed.demo.test/b",
            options=[f"--volume={CERTIFICATES}:/certificates:ro"],
        )
        assert (done.code, done.out) == (0, "/b")


REFUSED = {
    "S5-api-of-the-host": (f"http://{ORIGIN}:1234/", "denied"),
    "S3-private-address-from-dns": ("http://inside.example.com:8000/", "address"),
    "address-of-the-host": (f"http://{HOST}:8000/", "not-listed"),
}


@pytest.mark.parametrize(("url", "reason"), REFUSED.values(), ids=REFUSED)
def test_inside_is_refused(docker: Engine, host: list[str], url: str, reason: str) -> None:
    with execution(docker, [ORIGIN, ".example.com"]) as job:
        before = host.count(API_SERVED)
        done = job.run(*CURL, "--include", url)
        assert done.out.startswith(f"HTTP/1.1 403 Forbidden (jobgate: {reason})")
        assert host.count(API_SERVED) == before


def test_health_passes_through_starting_to_healthy_c6(
    docker: Engine, record_property: Callable[[str, object], None]
) -> None:
    with execution(docker, [ORIGIN]) as job:
        assert set(job.statuses) <= {"starting", "healthy"}
        assert job.statuses[-1] == "healthy"
        record_property("seconds from start to healthy", healthy_after_s(docker, f"{job.name}-gateway"))


def healthy_after_s(docker: Engine, container: str) -> float:
    """What the engine's own record says; for the report, judged by nobody."""
    state = json.loads(docker.docker("inspect", "--format", "{{json .State}}", container))
    good = next(probe for probe in state["Health"]["Log"] if probe["ExitCode"] == 0)
    times = (re.sub(r"(\.[0-9]{6})[0-9]*", r"\1", text) for text in (state["StartedAt"], good["End"]))
    started, ended = (datetime.fromisoformat(text) for text in times)
    return (ended - started).total_seconds()


START_ERRORS = {
    "C1-no-domain": ([], [], "jobgate: BACALHAU_HTTP_DOMAINS: empty: "),
    "C3-no-job": (["a.test"], ["--env=BACALHAU_JOB_ID="], "jobgate: BACALHAU_JOB_ID: missing: "),
    "S4-newline": (
        ["e.com\nother.test"],
        [],
        'jobgate: BACALHAU_HTTP_DOMAINS: "e.com\\nother.test": line break',
    ),
}


@pytest.mark.parametrize(("domains", "options", "message"), START_ERRORS.values(), ids=START_ERRORS)
def test_bad_configuration_is_unhealthy_and_says_why(
    docker: Engine, domains: list[str], options: list[str], message: str
) -> None:
    with pytest.raises(GatewayFailedError) as error, execution(docker, domains, options=options):
        pass
    assert str(error.value).startswith(message)
    assert leftovers(docker) == ""


def test_no_capability_and_no_tc_are_needed_c5(docker: Engine) -> None:
    options = ["--cap-drop=ALL", "--read-only", "--security-opt=no-new-privileges:true"]
    with execution(docker, [ORIGIN], options=options) as job:
        assert job.run(*CURL, URL).out == "/hello.txt"
        assert docker.docker("exec", f"{job.name}-gateway", "id", "-u") == "65532"


def test_lists_that_overlap_start_d21_d23(docker: Engine) -> None:
    with execution(docker, ["www.example.com", "example.com", ".example.com", ORIGIN]) as job:
        assert job.run(*CURL, "http://example.com/").out == "/"


def test_other_containers_are_no_clients_g20(docker: Engine) -> None:
    with execution(docker, [ORIGIN]) as job:
        outside = docker.docker(
            "inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", f"{job.name}-gateway"
        )
        done = run_job(docker, "bridge", *CURL, "--include", "--proxy", f"{outside}:8080", URL)
        assert done.out.startswith("HTTP/1.1 403 Forbidden (jobgate: unknown-job)")


def test_log_has_the_requests_of_the_job_and_no_probe_g27(docker: Engine) -> None:
    with execution(docker, [ORIGIN], job_id="j-g27") as job:
        job.run(*CURL, URL)
        job.run(*CURL, "http://other.example/")
        ready, *lines = job.log()
        assert ready["event"] == "ready"
        decided = [
            (line["job"], line["host"], line["decision"]) for line in lines if line["event"] == "decision"
        ]
        assert decided == [("j-g27", ORIGIN, "allow"), ("j-g27", "other.example", "deny")]


def test_kill_of_the_gateway_ends_the_network_and_leaves_nothing(docker: Engine) -> None:
    with execution(docker, [ORIGIN]) as job:
        docker.docker("kill", "--signal=KILL", f"{job.name}-gateway")
        done = job.run(*CURL, URL)
        assert (done.code, done.out) != (0, "/hello.txt")
        assert done.out == ""
    assert leftovers(docker) == ""


def test_cleanup_during_a_job_leaves_nothing(docker: Engine) -> None:
    with execution(docker, [ORIGIN]) as job:
        network = f"--network={job.name}-network"
        command = ["sh", "-c", "echo up; exec sleep 600"]
        running = docker.client("run", *job.labels, *job.variables, network, BASE_IMAGE, *command)
        with running:
            assert running.stdout is not None
            assert running.stdout.readline() == "up\n"
            destroy(docker, job.labels[2].rpartition("=")[2])
            running.communicate(timeout=60)
    assert leftovers(docker) == ""


def test_image_with_a_wrong_file_is_not_built(docker: Engine, tmp_path: Path) -> None:
    """Every job of the node would fail, and Bacalhau would not say why."""
    shutil.copytree(ROOT / "deploy/bacalhau", tmp_path, dirs_exist_ok=True)
    (tmp_path / "jobgate.toml").write_text('[node]\ndeny = ["*.requester.example"]\n')
    build = docker.client("build", "--tag=wrong", str(tmp_path))
    output, errors = build.communicate(timeout=120)
    assert build.returncode != 0
    assert 'node.deny[0]: "*.requester.example": write ".requester.example"' in output + errors


# --- the page, as it is written


def commands_of(page: str) -> list[str]:
    """The shell commands of a page; each may go over several lines."""
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def test_commands_of_the_page_run_as_written(docker: Engine) -> None:
    """Another image with curl stands for curl's own; the gate's is built already, from a local index."""
    commands = commands_of(PAGE.read_text())
    docker.docker("tag", BASE_IMAGE, "curlimages/curl")
    script = "\n".join(
        [
            "set -euo pipefail",
            f"cd {ROOT}",
            *(line for line in commands if line != "docker build -t jobgate ."),
        ]
    )
    assert "docker build -t jobgate ." in commands
    printed = run("bash", "-c", script, env=docker.environment)
    for expected in (
        "deny   https://requester.example/  denied: ",
        "deny   http://requester.example:1234/  denied: ",
        "exit code 1",
        "healthy",
        "HTTP/1.1 200 OK",
        "www.example.com:80 is not in this job's domains.",
        SQUID_TEXT,
        "HTTP/1.1 403 Forbidden (jobgate: denied)",
        '"event":"close"',
    ):
        assert expected in printed, expected
