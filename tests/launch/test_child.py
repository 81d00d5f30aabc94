"""The process between the launcher and pid 1."""

from __future__ import annotations

import os
import signal

from jobgate.launch.child import run_child
from jobgate.launch.errors import EXIT_FAILED
from jobgate.launch.handshake import connected_pair
from jobgate.launch.plan import Plan
from jobgate.launch.process import exit_code, fork
from support.jobs import only_child, read_line, read_to_end, running

JOB = ("--", "sh", "-c", "setsid sleep 1000 & echo started; exec sleep 1000")


def test_killing_the_child_leaves_nothing(identity: str) -> None:
    with running(identity, *JOB) as process:
        assert read_line(process) == "started"
        os.kill(only_child(process.pid), signal.SIGKILL)
        assert read_to_end(process) == b""
        assert process.wait() == 128 + signal.SIGKILL


def test_child_of_a_launcher_that_is_gone_starts_nothing() -> None:
    """Its parent is not the launcher that it was told about."""
    ours, theirs = connected_pair()
    with ours, theirs:
        pid = fork(lambda: run_child(Plan(("true",), {}, proxy=False), theirs, b"", set(), launcher_pid=1))
        assert exit_code(os.waitpid(pid, 0)[1]) == EXIT_FAILED
        theirs.close()
        assert ours.recv(64) == b""
