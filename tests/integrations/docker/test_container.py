from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobgate.integrations.docker.container import ContainerJob
from jobgate.launch.errors import EXIT_SIGNAL, LaunchError
from jobgate.launch.launcher import wait_for

#: Says when it can be sent a signal, and by which one it was ended.
LISTENING = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
open(sys.argv[1], "w").close()
sys.exit(signal.sigwait([signal.SIGTERM, signal.SIGUSR1]))
"""


def ended(command: Sequence[str]) -> int:
    with ContainerJob(command) as job:
        job.begin()
        return wait_for(job)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", EXIT_SIGNAL + 9)],
    ids=["0", "7", "killed"],
)
def test_exit_code_is_that_of_the_client(script: str, code: int) -> None:
    assert ended(["/bin/sh", "-c", script]) == code


def test_signal_sent_to_us_reaches_the_client(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    with ContainerJob([sys.executable, "-c", LISTENING, str(tmp_path / "ready")]) as job:
        job.begin()
        (tmp_path / "ready").read_bytes()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        assert wait_for(job) == signal.SIGUSR1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_before_the_beginning_ends_it_without_a_client(number: signal.Signals, tmp_path: Path) -> None:
    with ContainerJob(["/bin/sh", "-c", f"touch {tmp_path}/started"]) as job:
        signal.pthread_kill(threading.get_ident(), number)
        with pytest.raises(LaunchError, match=f"{number.name} before the job began") as caught:
            job.begin()
    assert caught.value.exit_code == EXIT_SIGNAL + number
    assert not (tmp_path / "started").exists()


def test_client_that_cannot_be_started_is_an_error() -> None:
    with (
        ContainerJob(["/nonexistent"]) as job,
        pytest.raises(LaunchError, match="/nonexistent: No such file"),
    ):
        job.begin()


def test_client_finds_signals_as_we_were_given_them() -> None:
    script = """
import os, signal, sys
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
ignored = [s for s in signal.valid_signals() if signal.getsignal(s) is signal.SIG_IGN]
# Python itself ignores these two.
sys.exit(0 if not blocked and set(ignored) <= {signal.SIGPIPE, signal.SIGXFSZ} else 1)
"""
    assert ended([sys.executable, "-c", script]) == 0


def test_leaving_early_kills_the_client_and_restores_the_signals() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with ContainerJob(["/bin/sh", "-c", "exec sleep 60"]) as job:
        job.begin()
    assert job.exit_code == EXIT_SIGNAL + signal.SIGKILL
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
