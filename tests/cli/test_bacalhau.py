from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import jobgate
from jobgate import probe
from jobgate.cli import bacalhau, call
from jobgate.integrations.bacalhau.settings import IPV4_ANY
from support.bacalhau import variables
from support.netns import Namespace, namespace, needs_namespaces

PYTHONPATH = str(Path(jobgate.__file__).parents[1])
NAMES = ("BACALHAU_HTTP_DOMAINS", "BACALHAU_HTTP_CLIENTS", "BACALHAU_JOB_ID")


def called(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[str]]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    code = call(["bacalhau"])
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err.splitlines()


ERRORS = {
    "C1-no-domain": ({"BACALHAU_HTTP_DOMAINS": "[]"}, "jobgate: BACALHAU_HTTP_DOMAINS: empty: "),
    "C2-not-json": ({"BACALHAU_HTTP_DOMAINS": "not json"}, "jobgate: BACALHAU_HTTP_DOMAINS: not JSON"),
    "C2-null": (
        {"BACALHAU_HTTP_DOMAINS": "null"},
        "jobgate: BACALHAU_HTTP_DOMAINS: not a JSON list of texts",
    ),
    "C2-text": (
        {"BACALHAU_HTTP_DOMAINS": '"a.b"'},
        "jobgate: BACALHAU_HTTP_DOMAINS: not a JSON list of texts",
    ),
    "C3-no-job": ({"BACALHAU_JOB_ID": ""}, "jobgate: BACALHAU_JOB_ID: missing: "),
    "C4-no-client": ({"BACALHAU_HTTP_CLIENTS": "[]"}, "jobgate: BACALHAU_HTTP_CLIENTS: empty: "),
    "S4-newline": (
        {"BACALHAU_HTTP_DOMAINS": '["e.com\\nother.test"]'},
        'jobgate: BACALHAU_HTTP_DOMAINS: "e.com\\nother.test": line break',
    ),
    "no file": ({"JOBGATE_CONFIG": "/nonexistent.toml"}, "jobgate: /nonexistent.toml: cannot be read"),
}


@pytest.mark.parametrize(("changed", "message"), ERRORS.values(), ids=ERRORS)
def test_start_that_cannot_be_ends_with_the_cause_and_exit_2(
    changed: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, lines = called({**variables(), **changed}, monkeypatch, capsys)
    assert code == 2
    assert [line.startswith(message) for line in lines] == [True]


def test_configuration_that_does_not_go_with_it_is_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobgate.toml"
    path.write_text('[state]\npath = "/s"\n[[job]]\nid = "a"\n')
    code, lines = called({**variables(), "JOBGATE_CONFIG": str(path)}, monkeypatch, capsys)
    assert (code, len(lines)) == (2, 2)
    assert all("has no meaning for jobgate bacalhau" in line for line in lines)


def test_without_ipv6_of_the_kernel_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("jobgate.cli.bacalhau.socket.socket", refuse)
    assert str(bacalhau.every_address()) == "0.0.0.0:8080"


def test_without_a_hosts_file_no_name_is_known_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bacalhau, "HOSTS_PATH", tmp_path / "hosts")
    assert bacalhau.read_hosts() == ""
    (tmp_path / "hosts").write_bytes(b"10.0.0.1 \xff\n10.0.0.2 a.test\n")
    assert "10.0.0.2 a.test" in bacalhau.read_hosts()


# --- as a process, in a network namespace where nobody else has the port


@contextmanager
def started(place: Namespace, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The process after its ready line."""
    command = place.command("env", "PATH=/nonexistent", sys.executable, "-m", "jobgate", "bacalhau")
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, **environ}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert (ready["event"], ready["listen"]) == ("ready", {"job-123": "[::]:8080"})
            yield process
        finally:
            process.kill()


URL = "http://other.test/"
CURL_OF_UPSTREAM = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"]


@needs_namespaces
def test_valid_configuration_is_healthy_once_ready_c5_c6_g21() -> None:
    """No program is on the path: neither tc nor iptables, whatever the kernel has."""
    with namespace() as place, started(place, variables(clients=["10.0.0.0/8"])) as process:
        program = place.command(
            "env", "-i", "BACALHAU_HTTP_DOMAINS=[]", sys.executable, "-IS", probe.__file__
        )
        assert subprocess.run(program, check=False, timeout=20).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""  # no line of a probe


@needs_namespaces
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "localhost"])
def test_health_check_of_upstream_is_satisfied_g21(address: str) -> None:
    ask = [*CURL_OF_UPSTREAM, "-H", "Docker-Health-Check: true", f"{address}:8080"]
    with namespace() as place, started(place, variables(clients=["10.0.0.0/8"])):
        try:
            status = place.run(*ask)
        except FileNotFoundError:
            pytest.skip("curl is not installed")
    assert status == "400"


@needs_namespaces
def test_client_of_either_family_is_known_by_its_own_address_s7() -> None:
    ask = [*CURL_OF_UPSTREAM, "--proxy"]
    with namespace() as place, started(place, variables(clients=["127.0.0.0/8"])) as process:
        try:
            statuses = [
                place.run(*ask, f"{host}:8080", "http://other.test/") for host in ("127.0.0.1", "[::1]")
            ]
        except FileNotFoundError:
            pytest.skip("curl is not installed")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert statuses == ["403", "403"]
    decided = [line for line in lines if line["event"] == "decision"]
    assert [(line["job"], line["reason"]) for line in decided] == [
        ("job-123", "not-listed"),
        ("", "unknown-job"),
    ]
    assert decided[0]["client"].startswith("127.0.0.1:")


@needs_namespaces
def test_taken_port_is_exit_1_with_the_cause() -> None:
    with namespace() as place, started(place, variables()):
        second = subprocess.run(
            place.command(sys.executable, "-m", "jobgate", "bacalhau"),
            env={**os.environ, "PYTHONPATH": PYTHONPATH, **variables()},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("jobgate: cannot listen on [::]:8080: Address already in use")


def test_probe_and_port_agree() -> None:
    assert str(IPV4_ANY).replace("0.0.0.0", "127.0.0.1") == probe.BACALHAU_ADDRESS


@pytest.mark.parametrize("command", ["run", "sidecar", "serve"])
def test_other_commands_load_nothing_of_it(command: str) -> None:
    program = (
        f"import sys, jobgate.cli.{command}\n"
        "print([name for name in sys.modules if name == 'aiohttp' or 'integrations' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "[]\n"
