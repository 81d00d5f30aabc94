"""A state file that cannot be written: the gateway serves what it knows, refuses changes, and recovers."""

from __future__ import annotations

import resource
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from support.killing import ControlConnection, gateway
from support.serve import COMMAND, ENVIRONMENT, Served

CONFIGURATION = """
[listen]
control = "{folder}/control.sock"
[state]
path = "{folder}/state.db"
[[job]]
id = "filed"
network = "http"
listen = "127.0.0.1:0"
domains = ["a.test"]
"""
DOCUMENT = {
    "network": "http",
    "domains": ["a.test"],
    "listen": "127.0.0.1:0",
    "labels": {f"size-{number}": "x" * 200 for number in range(100)},
}


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "jobgate.toml"
    path.write_text(CONFIGURATION.format(folder=tmp_path))
    return path


@contextmanager
def full_disk(served: Served, _: Path) -> Iterator[None]:
    """No file of the process may grow."""
    before = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def lock(_: Served, state: Path) -> Iterator[None]:
    """Another process holds the file."""
    with closing(sqlite3.connect(state, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def refused(listen: str) -> str:
    """Ask a job's listener for what it does not have: the status line."""
    host, _, port = listen.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n")
        return sock.recv(4096).decode().partition("\r\n")[0]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(full_disk, "cannot be read or written"), (lock, "another process keeps it locked")],
    ids=["full disk", "locked"],
)
def test_gateway_goes_on_without_its_state_file_and_recovers(
    configuration: Path, trouble: Callable[[Served, Path], AbstractContextManager[None]], words: str
) -> None:
    folder = configuration.parent
    with gateway(configuration, folder / "control.sock") as (served, control):
        assert control.ask("PUT", "/v1/jobs/before", DOCUMENT)[0] == 201
        with trouble(served, folder / "state.db"):
            status, answer = control.ask("PUT", "/v1/jobs/during", DOCUMENT)
            assert (status, answer["reason"]) == (503, "store")
            assert f"cannot write {folder}/state.db: " in str(answer["detail"])
            assert words in str(answer["detail"])
            assert control.ask("DELETE", "/v1/jobs/before")[0] == 503
            assert control.ask("GET", "/v1/jobs/during")[0] == 404
            _, before = control.ask("GET", "/v1/jobs/before")
            for listen in (served.listeners["filed"], str(before["listen"])):
                assert refused(listen) == "HTTP/1.1 403 Forbidden (jobgate: not-listed)"
            assert words in str(served.line_with(event="state")["problem"])
        served.line_with(event="state", problem=None)
        assert control.ask("PUT", "/v1/jobs/after", DOCUMENT)[0] == 201
    with gateway(configuration, folder / "control.sock") as (_, control):
        assert sorted(jobs(control)) == ["after", "before", "filed"]


def jobs(control: ControlConnection) -> list[str]:
    _, page = control.ask("GET", "/v1/jobs")
    listed = page["jobs"]
    assert isinstance(listed, list)
    return [job["id"] for job in listed]


def test_file_that_is_damaged_refuses_the_start(configuration: Path) -> None:
    state = configuration.parent / "state.db"
    state.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    done = subprocess.run(
        [*COMMAND, "serve", "--config", str(configuration)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"jobgate: cannot open {state}: it is no database: name another file in [state]")
