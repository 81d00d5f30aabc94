from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from jobgate.cli import call
from support.fake_docker import FakeClient, fake_client
from support.serve import COMMAND, ENVIRONMENT


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = fake_client(tmp_path, monkeypatch)
    # What is found of the hypervisor differs between machines; any of them can close it here.
    monkeypatch.setenv("FAKE_VSOCK", "closed")
    return client


def run(client: FakeClient, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own: signals and descriptors are the process's."""
    command = [*COMMAND, "docker", "run", "--engine", client.path, *words]
    variables = {**ENVIRONMENT, **os.environ, **environment}
    variables["PYTHONPATH"] = ENVIRONMENT["PYTHONPATH"]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, env=variables, check=False)


def variables_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def job_call(client: FakeClient) -> list[str]:
    """What started the job."""
    return [call for call in client.calls if call[0] == "run"][-1]


def test_job_runs_with_the_variables_of_its_gate_and_nothing_is_left(client: FakeClient) -> None:
    words = ["--domain", ".example.com", "--", "-e", "http_proxy=evil", "alpine", "env"]
    done = run(client, *words)
    assert done.returncode == 0, done.stderr
    found = variables_of(done)
    assert found["http_proxy"] == found["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert "-Dhttps.proxyPort=3128" in found["JAVA_TOOL_OPTIONS"]
    assert client.containers == []
    assert done.stderr.startswith("jobgate: ")
    assert "--env=http_proxy=evil" not in job_call(client)


def test_variables_of_the_file_reach_the_job_without_showing_in_a_command_line(
    client: FakeClient, tmp_path: Path
) -> None:
    config = tmp_path / "jobgate.toml"
    config.write_text('[env]\nPIP_INDEX_URL = "https://user:secret@mirror.example/simple"\n')
    done = run(client, "--config", str(config), "--domain", ".example.com", "--", "alpine", "env")
    assert variables_of(done)["PIP_INDEX_URL"] == "https://user:secret@mirror.example/simple"
    assert "secret" not in json.dumps(client.calls)


def test_exit_code_of_the_job_is_ours(client: FakeClient) -> None:
    assert run(client, "--domain", "example.com", "--", "alpine", "sh", "-c", "exit 7").returncode == 7
    assert run(client, "--", "alpine", "sh", "-c", "exit 8").returncode == 8


def test_without_a_domain_there_is_no_gate_and_no_summary(client: FakeClient) -> None:
    done = run(client, "--", "alpine", "env")
    assert (done.returncode, done.stderr) == (0, "")
    assert not any("env-file" in word for word in job_call(client))
    assert any(word.startswith("--network=container:") for word in job_call(client))


@pytest.mark.parametrize("options", [["--domain", ".example.com"], []], ids=["http", "none"])
def test_service_manager_of_the_host_is_kept_from_the_client(client: FakeClient, options: list[str]) -> None:
    given = dict.fromkeys(("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"), "1")
    done = run(client, *options, "--", "alpine", "env", **given)
    assert done.returncode == 0, done.stderr
    assert given.keys() & variables_of(done).keys() == set()


def test_network_full_is_the_client_itself(client: FakeClient) -> None:
    done = run(client, "--network", "full", "--", "--privileged", "alpine", "sh", "-c", "exit 9")
    assert (done.returncode, done.stderr) == (9, "")
    assert client.calls == [["run", "--privileged", "alpine", "sh", "-c", "exit 9"]]


def test_no_summary_is_silent(client: FakeClient) -> None:
    done = run(client, "--no-summary", "--domain", "example.com", "--", "alpine", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_options_come_from_the_environment_too(client: FakeClient) -> None:
    done = run(client, "alpine", "true", JOBGATE_DOMAIN="example.com example.net", JOBGATE_SUMMARY="false")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--privileged", "--net", "host", "alpine"], "--privileged: a privileged container owns the host"),
        (["--unheard-of", "alpine"], "--unheard-of: not an option that jobgate knows of docker run"),
        (["--rm"], "no image: write [OPTIONS] IMAGE [COMMAND]"),
    ],
)
def test_options_that_would_undo_the_isolation_are_usage_errors(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["docker", "run", "--domain", "example.com", "--", *words]) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith(f"jobgate: {message}")
    assert all(line.startswith("jobgate: --net: the only network") for line in rest)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--engine", "no-such-engine", "--", "x"], 125, "jobgate: no-such-engine is not installed"),
        (["--log", "-", "--", "x"], 2, "jobgate: --log: standard output belongs to the job: name a file"),
        (["--network", "none", "--domain", "a.example", "--", "x"], 2, "jobgate: --domain has no meaning"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["docker", "run", *words]) == code
    assert capsys.readouterr().err.startswith(message)


def test_engine_that_fails_is_our_failure(client: FakeClient) -> None:
    client.fail("run", "docker: no such image")
    done = run(client, "--domain", "example.com", "--", "alpine")
    assert (done.returncode, client.containers) == (125, [])
    remedy = "build it (docker build -t jobgate . in a checkout)"
    assert done.stderr.startswith(f'jobgate: no image "jobgate" to hold the network: {remedy}')


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["docker", "run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example: jobgate docker run" in shown
    assert "[DOCKER OPTIONS] IMAGE [CMD]..." in shown
