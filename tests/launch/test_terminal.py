"""Job control on a real terminal: keys reach the job once, a stopped job stops its launcher."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from jobgate.launch.terminal import Foreground
from support import shell, signals_job
from support.jobs import (
    COMMAND,
    DEADLINE_S,
    as_identity,
    children,
    environment,
    only_child,
    read_descriptor,
    read_line,
)

CTRL_C, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x1a", b"\x1c"


class Terminal:
    """A shell on a terminal, with one job in its foreground.

    Attributes:
        keys: What is written here was typed.
        resume: A byte here continues the stopped job.
    """

    def __init__(self, keys: int, resume: int, process: subprocess.Popen[bytes]) -> None:
        self.keys = keys
        self.resume = resume
        self.process = process

    @property
    def launcher_pid(self) -> int:
        return only_child(self.process.pid)

    def type(self, keys: bytes) -> None:
        os.write(self.keys, keys)

    def expect(self, line: str) -> None:
        """The next line shown is this one, but for the echo of a key before it."""
        shown = read_descriptor(self.keys, b"\r\n").decode()
        assert shown.lstrip("^CZ\\").strip() == line, shown

    def go_on(self) -> None:
        os.write(self.resume, b"x")


@contextmanager
def on_terminal(identity: str, *job: str) -> Iterator[Terminal]:
    keys, screen = pty.openpty()
    reader, writer = os.pipe()
    command = [sys.executable, shell.__file__, str(reader), *COMMAND, "run", "--", *job]
    process = subprocess.Popen(
        as_identity(identity, command),
        stdin=screen,
        stdout=screen,
        stderr=screen,
        env=environment(),
        pass_fds=(reader,),
    )
    os.close(screen)
    os.close(reader)
    try:
        yield Terminal(keys, writer, process)
    finally:
        for pid in children(process.pid):  # the launcher would outlive its shell
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait(DEADLINE_S)
        os.close(keys)
        os.close(writer)


@pytest.fixture
def terminal(identity: str) -> Iterator[Terminal]:
    with on_terminal(identity, sys.executable, signals_job.__file__) as running:
        if os.geteuid() == 0 and identity == "root":
            read_descriptor(running.keys, b"\r\n")  # the warning to root
        running.expect("ready")
        yield running


@pytest.mark.parametrize(
    ("key", "name"), [(CTRL_C, "SIGINT"), (CTRL_BACKSLASH, "SIGQUIT")], ids=["ctrl-c", "ctrl-backslash"]
)
def test_key_reaches_the_job_once(terminal: Terminal, key: bytes, name: str) -> None:
    terminal.type(key)
    terminal.expect(name)
    os.kill(terminal.launcher_pid, signal.SIGUSR1)
    terminal.expect("SIGUSR1")  # and not the key's again
    os.kill(terminal.launcher_pid, signal.SIGTERM)
    terminal.expect("SIGTERM")
    terminal.expect("ended 4 in place")


def test_new_window_size_reaches_the_job_once(terminal: Terminal) -> None:
    fcntl.ioctl(terminal.keys, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    terminal.expect("SIGWINCH")
    os.kill(terminal.launcher_pid, signal.SIGTERM)
    terminal.expect("SIGTERM")


def test_stopped_job_stops_the_launcher_and_both_go_on(terminal: Terminal) -> None:
    terminal.type(CTRL_Z)
    terminal.expect(f"stopped {signal.SIGTSTP.value}")
    terminal.go_on()
    # The shell continues the whole group; the launcher passes its own on as well.
    terminal.expect("SIGCONT")
    os.kill(terminal.launcher_pid, signal.SIGTERM)
    shown = read_descriptor(terminal.keys, b"ended 4 in place\r\n").split()
    assert set(shown[:-4]) <= {b"SIGCONT", b"SIGTERM"}


def test_stop_sent_to_the_launcher_stops_the_job_and_then_the_launcher(terminal: Terminal) -> None:
    os.kill(terminal.launcher_pid, signal.SIGTSTP)
    terminal.expect(f"stopped {signal.SIGTSTP.value}")
    terminal.go_on()
    terminal.expect("SIGCONT")


def test_stop_without_a_shell_that_watches_changes_nothing() -> None:
    """In a session of its own, where nobody could continue the launcher."""
    command = as_identity("user", [*COMMAND, "run", "--", sys.executable, signals_job.__file__])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(), bufsize=0, start_new_session=True
    ) as process:
        try:
            assert read_line(process) == "ready"
            process.send_signal(signal.SIGTSTP)
            process.send_signal(signal.SIGTERM)
            assert read_line(process) == "SIGTERM"
            assert process.wait(DEADLINE_S) == 4
        finally:
            process.kill()


def test_interrupted_job_that_does_not_handle_it_ends_with_its_signal(identity: str) -> None:
    with on_terminal(identity, "sh", "-c", "echo started; exec sleep 1000") as running:
        read_descriptor(running.keys, b"started\r\n")
        running.type(CTRL_C)
        running.expect("ended 130 in place")


def test_terminal_comes_back_from_a_job_with_job_control(identity: str) -> None:
    """The job made its own foreground group, and ended without giving the terminal back."""
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
        "os.setpgid(0, 0)\n"
        "os.tcsetpgrp(0, os.getpgrp())\n"
        "print('taken', flush=True)\n"
    )
    with on_terminal(identity, sys.executable, "-c", script) as running:
        read_descriptor(running.keys, b"taken\r\n")
        running.expect("ended 0 in place")


def test_terminal_of_another_session_is_left_alone(identity: str) -> None:
    keys, screen = pty.openpty()
    try:
        command = as_identity(identity, [*COMMAND, "run", "--", "test", "-t", "0"])
        done = subprocess.run(
            command, stdin=screen, stderr=screen, env=environment(), start_new_session=True, check=False
        )
    finally:
        os.close(screen)
        os.close(keys)
    assert done.returncode == 0


def test_without_a_terminal_nothing_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal(descriptor: int) -> int:
        raise OSError(errno.ENOTTY, "no terminal")

    taken: list[int] = []
    monkeypatch.setattr(os, "tcgetpgrp", no_terminal)
    monkeypatch.setattr(os, "tcsetpgrp", lambda descriptor, group: taken.append(descriptor))
    Foreground().take_back()
    assert taken == []
