"""``serve`` and ``sidecar`` as processes: what the service manager and the operator see."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

import jobgate
from jobgate.cli import call
from jobgate.cli.running import open_log, reopen_log
from jobgate.probe import probe

PYTHONPATH = str(Path(jobgate.__file__).parents[1])
SIDECAR = ("sidecar", "--listen", "127.0.0.1:0", "--domain", ".example.com", "--advisory")


@contextmanager
def started(
    *args: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process after its ready line, and where it listens; killed if it is still there at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobgate", *args],
        env={**os.environ, "PYTHONPATH": PYTHONPATH, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["event"] == "ready"
            yield process, ready["listen"]
        finally:
            process.kill()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sidecar_serves_until_the_signal(loop: str, number: signal.Signals) -> None:
    with started(*SIDECAR, "--loop", loop, "--job", "train") as (process, listen):
        assert probe(listen["train"], 5.0) == ""
        process.send_signal(number)
        assert process.wait(20) == 0


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_signals_that_come_again_and_again_make_no_failure_of_the_end(loop: str) -> None:
    with started(*SIDECAR, "--loop", loop) as (process, _):
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 0


def test_options_come_from_the_environment() -> None:
    environment = {
        "JOBGATE_LISTEN": "127.0.0.1:0",
        "JOBGATE_DOMAIN": ".example.com",
        "JOBGATE_ADVISORY": "1",
        "JOBGATE_JOB": "train",
        "JOBGATE_LOOP": "asyncio",
    }
    with started("sidecar", environment=environment) as (_, listen):
        assert probe(listen["train"], 5.0) == ""


def test_service_manager_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.settimeout(20)
        with started(*SIDECAR, environment={"NOTIFY_SOCKET": f"{tmp_path}/notify"}) as (process, _):
            assert manager.recv(100) == b"MAINPID=%d\nREADY=1" % process.pid
            process.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"


def test_service_manager_is_told_of_a_reload(tmp_path: Path) -> None:
    configuration = tmp_path / "jobgate.toml"
    configuration.write_text(f'[listen]\ncontrol = "{tmp_path}/control.sock"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.settimeout(20)
        environment = {"NOTIFY_SOCKET": f"{tmp_path}/notify"}
        with started("serve", "--config", str(configuration), environment=environment) as (process, _):
            assert manager.recv(100).endswith(b"READY=1")
            before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            process.send_signal(signal.SIGHUP)
            state, _, since = manager.recv(100).decode().partition("\nMONOTONIC_USEC=")
            assert state == "RELOADING=1"
            assert before_us <= int(since) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert manager.recv(100) == b"READY=1"


#: What a sidecar loads besides the whole of ``proxy`` and ``ratelimit``: each costs it memory and time.
SIDECAR_LOADS = {
    "cli": "loading options running sidecar",
    "config": "address_rule endpoints gateway gateway_readers host members networks pattern policy ports "
    "rates readers rule rules settings upstream",
    "gateway": "alone draining inherited listeners notify places process registry roster routes service "
    "store stored turns views workers",
}
#: Of ``proxy`` what only a gateway of several processes needs.
SIDECAR_LACKS = {"jobgate.proxy.peeking"}
#: Of the standard library what only some gates need, and what is large.
SIDECAR_SPARES = {"_hashlib", "_ssl", "ctypes", "http", "pydoc", "secrets", "sqlite3", "ssl", "tomllib"}


def test_sidecar_loads_these_modules_and_no_other() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\nfrom jobgate.cli import cli\n"
        "cli.get_command(None, 'sidecar')\nprint(*set(sys.modules) - before)"
    )
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    ours = {
        "jobgate",
        "jobgate.interrupts",
        "jobgate.without_tls",
        *(f"jobgate.{package}" for package in (*SIDECAR_LOADS, "proxy", "ratelimit")),
    }
    for package, names in SIDECAR_LOADS.items():
        ours |= {f"jobgate.{package}.{name}" for name in names.split()}
    for package in ("proxy", "ratelimit"):
        files = (Path(jobgate.__file__).parent / package).glob("[!_]*.py")
        ours |= {f"jobgate.{package}.{path.stem}" for path in files}
    assert {name for name in loaded if name.partition(".")[0] == "jobgate"} == ours - SIDECAR_LACKS
    others = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"jobgate"}
    assert {name for name in others if "cython" not in name} == {"aiolimiter", "click", "httptools", "uvloop"}
    assert loaded & SIDECAR_SPARES == set()


def test_state_that_cannot_be_used_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = tmp_path / "jobgate.toml"
    configuration.write_text(f'[listen]\ncontrol = "{tmp_path}/c"\n[state]\npath = "{tmp_path}/missing/db"\n')
    assert call(["serve", "--config", str(configuration)]) == 1
    assert capsys.readouterr().err == (
        f"jobgate: cannot open {tmp_path}/missing/db: No such file or directory\n"
    )


def test_log_goes_on_in_a_new_file_after_a_hangup(tmp_path: Path) -> None:
    log = tmp_path / "decisions"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    command = [sys.executable, "-m", "jobgate", *SIDECAR, "--log", str(log)]
    with (
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PYTHONPATH}) as process,
        open(reader) as old,
    ):
        select.select([reader], [], [], 20)
        assert json.loads(old.readline())["event"] == "ready"
        log.rename(tmp_path / "rotated")
        process.send_signal(signal.SIGHUP)
        # The end of the old file shows that the new one is in use.
        os.set_blocking(reader, True)
        assert old.read() == ""
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert log.is_file()


def test_address_in_use_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert call([*SIDECAR, "--listen", listen]) == 1
    assert capsys.readouterr().err == f"jobgate: job job: cannot listen on {listen}: Address already in use\n"


def test_worker_that_cannot_be_started_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.gateway.spawn._PROGRAM", "raise SystemExit(3)")
    file = tmp_path / "jobgate.toml"
    file.write_text(f'[listen]\ncontrol = "unix:{tmp_path}/c.sock"\nworkers = 2\n')
    assert call(["serve", "--config", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jobgate: worker 1 does not start: ")
    assert line.endswith("(it ended with exit code 3)")
    assert not (tmp_path / "c.sock").exists()


def test_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=rf"^cannot write the log to {tmp_path}: Is a directory$"):
        open_log(str(tmp_path))


def test_log_that_cannot_be_opened_anew_is_reported_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = open_log(str(folder / "decisions"))
    folder.rename(tmp_path / "moved")
    reopen_log(writer)
    writer.write(b"{}\n")
    writer.close()
    assert (tmp_path / "moved" / "decisions").read_bytes() == b"{}\n"
    assert capsys.readouterr().err == "jobgate: cannot open the log anew: No such file or directory\n"
