from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobgate.launch import linux
from jobgate.launch.process import exit_code, fork

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def descriptor() -> Iterator[int]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    opened = linux.open_signal_descriptor(NUMBERS)
    yield opened
    linux.read_signals(opened)
    os.close(opened)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_signal_descriptor_yields_what_was_sent_and_by_whom() -> None:
    """In a process of one thread: a signal to the process may reach a thread that does not block it."""

    def child() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
        opened = linux.open_signal_descriptor(NUMBERS)
        for number in NUMBERS:
            os.kill(os.getpid(), number)
        sent = sorted(linux.read_signals(opened)) == [(number, 0) for number in sorted(NUMBERS)]
        return 0 if sent and linux.read_signals(opened) == [] else 1

    _, status = os.waitpid(fork(child), 0)
    assert exit_code(status) == 0


def test_signal_descriptor_is_not_inherited(descriptor: int) -> None:
    assert not os.get_inheritable(descriptor)


def test_failed_call_is_an_os_error_that_names_it() -> None:
    with pytest.raises(OSError, match="mount") as caught:
        linux.mount("none", "/nonexistent", "tmpfs", 0)
    assert caught.value.errno in (errno.ENOENT, errno.EPERM)
    assert caught.value.filename == "mount"


def test_close_from_closes_all_but_the_first() -> None:
    reader, writer = os.pipe()
    high = os.dup2(writer, 200)

    def body() -> int:
        linux.close_from(3)
        try:
            os.fstat(high)
        except OSError:
            return 0
        return 1

    assert exit_code(os.waitpid(fork(body), 0)[1]) == 0
    for opened in (reader, writer, high):
        os.close(opened)


def test_parent_death_signal_ends_an_orphan() -> None:
    """A grandchild that holds a pipe ends with its parent, not with us."""
    reader, writer = os.pipe()

    def grandchild() -> int:
        linux.set_parent_death_signal(signal.SIGKILL)
        os.write(writer, b"x")
        signal.pause()
        return 0

    def child() -> int:
        os.close(reader)
        fork(grandchild)
        signal.pause()
        return 0

    pid = fork(child)
    os.close(writer)
    assert os.read(reader, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_setns_names_itself_where_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    opened = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="setns") as caught:
            linux.setns(opened, linux.CLONE_NEWNET)
    finally:
        os.close(opened)
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "setns")
