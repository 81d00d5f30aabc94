"""Start a gate in a process of its own: its memory is its own, and an abort of it is seen."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cattrs

import jobgate

from .gate_child import Report

TESTS = Path(__file__).parents[1]
_PATHS = [str(Path(jobgate.__file__).parents[1]), str(TESTS)]
_STOP_S = 10.0
_PAUSE_S = 0.02


class GateProcess:
    """The process; every method may block for a moment.

    Attributes:
        ports: Job to the port of its listener.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._turn = threading.Lock()
        self._pause = threading.Event()
        self.ports: dict[str, int] = json.loads(self._line())

    @property
    def port(self) -> int:
        """Port of the first job."""
        return next(iter(self.ports.values()))

    def report(self, command: str = "report") -> Report:
        """Ask how it is; ``collect`` and ``close`` as ``gate_child`` describes.

        Raises:
            RuntimeError: The process has ended.
        """
        with self._turn:
            stdin = self._process.stdin
            assert stdin is not None
            try:
                stdin.write(command + "\n")
                stdin.flush()
            except BrokenPipeError:
                raise RuntimeError(f"the gate ended with {self._process.wait(_STOP_S)}") from None
            return cattrs.structure(json.loads(self._line()), Report)

    def until(
        self, condition: Callable[[Report], bool], *, command: str = "report", deadline_s: float = 15.0
    ) -> Report:
        """Wait until a report is as wanted, and return it.

        Raises:
            TimeoutError: It did not become so.
        """
        deadline = time.monotonic() + deadline_s
        while not condition(report := self.report(command)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still {report}")
            self._pause.wait(_PAUSE_S)
        return report

    async def until_later(self, condition: Callable[[Report], bool], *, command: str = "report") -> Report:
        """Do the same while this loop goes on."""
        return await asyncio.to_thread(self.until, condition, command=command)

    def _line(self) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the gate ended with {self._process.wait(_STOP_S)}")
        return line


@contextmanager
def gate_process(configuration: str, folder: Path, loop: str) -> Iterator[GateProcess]:
    """Serve a configuration (TOML) until the context is left; the process must end well.

    Args:
        configuration: Of any number of jobs.
        folder: For the file.
        loop: ``asyncio`` or ``uvloop``.
    """
    path = folder / "gate.toml"
    path.write_text(configuration)
    process = subprocess.Popen(
        [sys.executable, "-m", "support.gate_child", loop, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        gate = GateProcess(process)
        yield gate
        errors = gate.report().errors
    finally:
        code = _stop(process)
    assert code == 0
    assert errors == []


def _stop(process: subprocess.Popen[str]) -> int:
    if process.stdin is not None and not process.stdin.closed:
        with suppress(BrokenPipeError):  # it may have ended by itself
            process.stdin.close()
    try:
        return process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def environment() -> dict[str, str]:
    """Return the environment of a process that imports this very jobgate, and these tests' support."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS)}


def loop_name() -> str:
    """Return which loop runs this test, so that the gate can have the same."""
    return "uvloop" if type(asyncio.get_running_loop()).__module__.startswith("uvloop") else "asyncio"


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def node(*, limits: str = "", timeouts: str = "", tables: str = "") -> str:
    """Return the configuration of a node: every port but 80 open to tunnels, ``ok.test`` is this machine.

    No cap is low, and a name that is not configured has no server to be asked of.

    Args:
        limits: Further lines of ``[limits]``.
        timeouts: Lines of ``[timeouts]``.
        tables: Further tables.
    """
    return f"""
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["81-65535"]
http_ports = ["1-65535"]
[dns]
servers = ["127.0.0.1:9"]
hosts = {{ "ok.test" = ["127.0.0.1"] }}
[limits]
max_connections_per_job = 4000
requests_per_s_per_job = 0
{limits}
[timeouts]
{timeouts}
{tables}
"""


def job(name: str = "job", *, rate: str = "unlimited", tls: str = "any", more: str = "") -> str:
    """Return the configuration of a job for ``.ok.test``.

    Args:
        name: Its id.
        rate: In both directions.
        tls: ``require`` or ``any``.
        more: Further lines.
    """
    return f"""
[[job]]
id = "{name}"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
rate_up = "{rate}"
rate_down = "{rate}"
tls = "{tls}"
max_connections = 4000
{more}
"""
