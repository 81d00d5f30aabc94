"""Processes on a core of their own, and what ``/proc`` says of them.

CPU time is user and system time of a process and of all its descendants, those that
have ended and were waited for included; memory is the sum of resident set sizes.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: Fields of /proc/PID/stat behind the command (proc(5)), counted from "state".
_PPID, _UTIME, _STIME, _CUTIME, _CSTIME, _RSS = 1, 11, 12, 13, 14, 21


def two_cores() -> tuple[int, int]:
    """Return a core for the proxy and one for everything else.

    Raises:
        RuntimeError: This process may use one core only.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise RuntimeError("two cores are needed: one for the proxy, one for load and origin")
    return cores[0], cores[1]


def on_core(core: int) -> Callable[[], None]:
    """Return what a new process does to stay on a core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def running(
    command: Sequence[str],
    core: int,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: Path = Path(os.devnull),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on a core, in a folder, while the context is entered; its output goes to a file."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            preexec_fn=on_core(core),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stat(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def _tree(root: int) -> list[list[str]]:
    """Return the ``stat`` of a process and of its living descendants."""
    stats: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = _stat(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    wanted = {root}
    while more := {pid for pid, stat in stats.items() if int(stat[_PPID]) in wanted} - wanted:
        wanted |= more
    return [stats[pid] for pid in wanted if pid in stats]


def cpu_s(root: int) -> float:
    """Return the CPU seconds used so far, in steps of 10 ms."""
    fields = (_UTIME, _STIME, _CUTIME, _CSTIME)
    return sum(int(stat[field]) for stat in _tree(root) for field in fields) / _TICKS_PER_S


def rss_bytes(root: int) -> int:
    """Return the resident memory."""
    return sum(int(stat[_RSS]) for stat in _tree(root)) * _PAGE_BYTES


def wall_s(command: Sequence[str], environment: Mapping[str, str] | None = None, *, core: int) -> float:
    """Return how long a command takes on a core.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, preexec_fn=on_core(core))
    return time.perf_counter() - started
