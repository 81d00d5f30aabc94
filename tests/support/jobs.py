"""``jobgate run`` as a process: started as root or as an ordinary user, watched, ended."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import pytest

from .ordinary_user import CHECKOUT, ordinary

#: Far above what a job needs on a busy machine, far below the limit of a test.
DEADLINE_S = 30.0
COMMAND = [sys.executable, "-m", "jobgate"]
IDENTITIES = ("user", "root")


class Findings(TypedDict):
    """What ``support/probe.py`` prints from inside a job."""

    status: dict[str, str]
    status_of_pid_1: dict[str, str]
    ids: list[int]
    descriptors: list[int]
    pids: list[int]
    own_pid: int
    run: list[str]
    interfaces: list[str]
    namespaces: dict[str, str]
    sockets: dict[str, str]
    reached: dict[str, str]
    launcher: dict[str, str]
    nested: dict[str, str]
    writes: dict[str, str]
    terminal: str
    signals: dict[str, list[int]]


def environment(**extra: str) -> dict[str, str]:
    """Ours without any ``JOBGATE_*``, and with the checkout's sources importable."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBGATE_")}
    paths = [str(CHECKOUT / "src"), inherited.get("PYTHONPATH", "")]
    return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), **extra}


def as_identity(identity: str, command: Sequence[str]) -> list[str]:
    """The command line under that identity; skips the test where the tests cannot have it."""
    if identity == "user":
        return ordinary(list(command))
    if os.geteuid() != 0:
        pytest.skip("the tests do not run as root")
    return list(command)


def run(
    identity: str, *arguments: str, content: bytes | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``jobgate run`` with these arguments to its end; what is not UTF-8 is escaped."""
    done = subprocess.run(
        as_identity(identity, [*COMMAND, "run", *arguments]),
        input=content,
        stdin=subprocess.DEVNULL if content is None else None,
        capture_output=True,
        timeout=DEADLINE_S,
        env=environment(**(variables or {})),
        check=False,
    )
    stdout, stderr = os.fsdecode(done.stdout), os.fsdecode(done.stderr)
    return subprocess.CompletedProcess(done.args, done.returncode, stdout, without_warning(stderr))


def without_warning(text: str) -> str:
    """Standard error less the warning to root."""
    return "".join(line for line in text.splitlines(keepends=True) if "running as root" not in line)


@contextlib.contextmanager
def running(identity: str, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``jobgate run``; leaving kills what is left of it.

    Its pid is that of the launcher; standard output and standard input are pipes.
    """
    process = subprocess.Popen(
        as_identity(identity, [*COMMAND, "run", *arguments]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
        bufsize=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def read_line(process: subprocess.Popen[bytes]) -> str:
    """The next line of its standard output, without the newline; empty at the end."""
    return read_until(process, b"\n").decode().removesuffix("\n")


def read_until(process: subprocess.Popen[bytes], marker: bytes) -> bytes:
    """Standard output up to and with the marker, or to its end."""
    assert process.stdout is not None
    return read_descriptor(process.stdout.fileno(), marker)


def read_to_end(process: subprocess.Popen[bytes]) -> bytes:
    """Standard output to its end: when every process that holds it has ended."""
    return read_until(process, b"")


def read_descriptor(descriptor: int, marker: bytes) -> bytes:
    """What comes up to the marker (an empty one never comes) or to the end.

    Raises:
        TimeoutError: Neither came.
    """
    deadline = time.monotonic() + DEADLINE_S
    received = b""
    while not (marker and received.endswith(marker)):
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"after {received!r}")
        try:
            piece = os.read(descriptor, 1 if marker else 65536)
        except OSError:  # EIO: a terminal whose other side is closed
            return received
        if not piece:
            return received
        received += piece
    return received


def children(pid: int) -> list[int]:
    """The processes that this one started and has not reaped."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if int(_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
    return found


def state(pid: int) -> str:
    """``R`` running, ``S`` waiting, ``T`` stopped, ``Z`` ended and not reaped; ``Z`` too once it is gone."""
    try:
        return _stat(pid)[0]
    except FileNotFoundError:
        return "Z"


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/pid/stat`` from the state on; before it is a name that may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def only_child(pid: int) -> int:
    """The one child of a process, waiting until there is one."""
    wait_for(lambda: bool(children(pid)))
    return children(pid)[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        select.select([], [], [], 0.005)


@contextlib.contextmanager
def common_folder() -> Iterator[Path]:
    """A new folder that every user may enter and write to (``tmp_path`` is for its owner alone)."""
    folder = Path(tempfile.mkdtemp(prefix="jobgate-test-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
