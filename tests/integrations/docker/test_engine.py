from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobgate.integrations.docker import engine
from jobgate.integrations.docker.commands import NO_PROFILE, Run
from jobgate.integrations.docker.engine import ask, find_engine, held_network, removed_at_the_end, sweep
from jobgate.integrations.docker.options import parse
from jobgate.integrations.docker.owner import Owner
from jobgate.launch.errors import LaunchError
from support.fake_docker import FakeClient, fake_client
from support.wait import wait_until

LINE = parse(["alpine"])
OPEN = "def vsock_leads_out() -> bool:\n    return True\n\n\ndef _unused"
CLOSED = OPEN.replace("True", "False")
PROBE = "def vsock_leads_out"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    return fake_client(tmp_path, monkeypatch)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own folder: its path may be longer than that of a socket can be.
    with tempfile.TemporaryDirectory(prefix="jobgate-") as name:
        yield Path(name)


@pytest.fixture
def run(client: FakeClient) -> Run:
    return Run(client.path, secrets.token_hex(8), str(Owner.this_process()))


def probing(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Let the holders, one after the other, find AF_VSOCK open or closed."""
    text = Path(engine.__file__).with_name("holder.py").read_text()
    programs = iter([text.replace(PROBE, answer) for answer in answers])
    monkeypatch.setattr(engine, "holder_program", lambda: next(programs))


def test_held_network_gives_a_bound_socket_that_children_do_not_inherit(
    run: Run, folder: Path, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    probing(monkeypatch, CLOSED)
    with held_network(run, "jobgate", LINE, folder) as (same, proxy):
        assert (same, proxy.getsockname()[0]) == (run, "127.0.0.1")
        assert not proxy.get_inheritable()
        assert client.containers == [run.holder]
        proxy.listen()
        socket.create_connection(proxy.getsockname()).close()


def test_open_vsock_is_closed_by_a_profile(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probing(monkeypatch, OPEN, CLOSED)
    place = tmp_path / "seccomp.json"
    place.write_text('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}')
    monkeypatch.setattr(engine, "PLACES", (str(place),))
    with held_network(run, "jobgate", LINE, folder) as (closed, _):
        assert (closed.profile != NO_PROFILE, closed.holder != run.holder) == (True, True)
        assert "SCMP_CMP_EQ" in closed.profile.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "reach the hypervisor by AF_VSOCK, past every network: update the engine"),
        ("{}", "seccomp.json: has no form that is known"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}', "AF_VSOCK stays open"),
    ],
    ids=["no profile", "bad profile", "no use"],
)
def test_vsock_that_cannot_be_closed_is_a_failure(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, message: str
) -> None:
    probing(monkeypatch, OPEN, OPEN)
    place = tmp_path / "seccomp.json"
    if text is not None:
        place.write_text(text)
    monkeypatch.setattr(engine, "PLACES", (str(place),))
    with pytest.raises(LaunchError, match=message), held_network(run, "jobgate", LINE, folder):
        pytest.fail("a job could be started")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("docker: Error response from daemon: No such image: jobgate:latest.", 'no image "jobgate" to hold'),
        ("Error: jobgate: image not known", 'no image "jobgate" to hold'),
        ("first\nCannot connect to the Docker daemon.", "docker run: Cannot connect to the Docker daemon."),
        (
            "docker: what went wrong\n\nRun 'docker run --help' for more",
            "docker run: docker: what went wrong",
        ),
        ("", "docker run: exit code 1"),
    ],
)
def test_engine_that_refuses_is_quoted(
    run: Run, folder: Path, client: FakeClient, said: str, message: str
) -> None:
    client.fail("run", said or "\n")
    with pytest.raises(LaunchError, match=message), held_network(run, "jobgate", LINE, folder):
        pytest.fail("a job could be started")


def test_holder_that_never_comes_is_explained(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "HANDOVER_S", 0.01)
    monkeypatch.setattr(engine, "holder_program", lambda: "")
    with (
        pytest.raises(LaunchError, match="the engine must run on this machine"),
        held_network(run, "x", LINE, folder),
    ):
        pytest.fail("a job could be started")


def test_holder_that_gives_no_socket_is_an_error(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import socket, sys; socket.socket(1, socket.SOCK_SEQPACKET).connect(sys.argv[1])"
    monkeypatch.setattr(engine, "holder_program", lambda: program)
    with pytest.raises(LaunchError, match="the holder gave no socket"), held_network(run, "x", LINE, folder):
        pytest.fail("a job could be started")


def test_containers_of_a_run_are_removed_at_its_end(run: Run, client: FakeClient) -> None:
    client.left_behind(run.id, run.owner)
    client.left_behind("other", run.owner)
    with removed_at_the_end(run) as private:
        assert client.containers == [run.id, "other"]
        assert private.stat().st_mode & 0o777 == 0o700
        (private / "file").touch()
    assert client.containers == ["other"]
    assert not private.exists()


def test_containers_of_a_run_are_removed_when_the_launcher_is_killed(
    run: Run, client: FakeClient, tmp_path: Path
) -> None:
    client.left_behind(run.id, run.owner)
    link = tmp_path / "link"
    program = f"""
import os, signal
from jobgate.integrations.docker.commands import Run
from jobgate.integrations.docker.engine import removed_at_the_end
with removed_at_the_end(Run({run.engine!r}, {run.id!r}, {run.owner!r})) as private:
    os.symlink(private, {str(link)!r})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, timeout=20, check=False)
    assert killed.returncode == -9
    wait_until(lambda: not client.containers)
    assert (link.is_symlink(), link.exists()) == (True, False)


def test_sweep_removes_what_dead_launchers_left_and_nothing_else(
    run: Run, client: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Owner.this_process()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "jobgate-docker-0a1b"  # held by nobody
    folder.mkdir()
    child = subprocess.Popen(["true"])
    child.wait()
    client.left_behind("dead", str(replace(here, pid=child.pid)))
    client.left_behind("alive", str(here))
    client.left_behind("elsewhere", str(replace(here, boot="other", pid=child.pid)))
    client.left_behind("strange", "what is this")
    sweep(run.engine, here)
    assert client.containers == ["alive", "elsewhere", "strange"]
    assert not folder.exists()


def test_container_that_goes_away_during_the_sweep_is_no_error(run: Run, client: FakeClient) -> None:
    client.left_behind("gone", "x")
    client.fail("inspect", "no such object")
    sweep(run.engine, Owner.this_process())


def test_engine_that_is_not_installed_is_named() -> None:
    with pytest.raises(LaunchError, match="no-such-engine is not installed"):
        find_engine("no-such-engine")


def test_client_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="Permission denied"):
        ask(str(tmp_path), "ps")
