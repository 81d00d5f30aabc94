"""What can go wrong before a job runs, and the exit codes for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

EXIT_FAILED = 125
"""jobgate itself failed, as ``docker run`` says it."""
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL = 128
"""Plus the signal's number."""


class LaunchError(Exception):
    """A job that was not started; the message is one line for the user."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Step(StrEnum):
    """A part of the isolation; its value is what a message calls it."""

    USER_NAMESPACE = "user namespace"
    ID_MAP = "user and group id of the namespace"
    NAMESPACES = "network, PID, mount and IPC namespaces"
    LOOPBACK = "loopback interface"
    PROXY = "address 127.0.0.1:3128 for the proxy"
    MOUNTS = "private mounts"
    PROC = "fresh /proc"
    RUN = "empty /run"
    DIRECTORY = "working directory"
    CAPABILITIES = "empty capability sets"
    FILTER = "system call filter"


class SetupError(Exception):
    """A step that the system refused."""

    def __init__(self, step: Step, number: int) -> None:
        super().__init__(f"{step}: errno {number}")
        self.step = step
        self.number = number


@contextmanager
def during(step: Step) -> Iterator[None]:
    """Name the step in which a system call fails."""
    try:
        yield
    except OSError as error:
        raise SetupError(step, error.errno or 0) from error
