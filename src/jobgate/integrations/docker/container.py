"""The job's container, as the process of the client that runs it in the foreground (edge).

The client carries the streams, the terminal and the exit code. It is in our process
group, so that a key at the terminal reaches it without us; what somebody sends to us
is passed on to it, and by it to the job.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from jobgate.launch import linux, signals
from jobgate.launch.errors import EXIT_SIGNAL, LaunchError
from jobgate.launch.process import exit_code

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class ContainerJob:
    """One container from its command line to its end. Use as a context manager.

    Attributes:
        exit_code: Of the client, which is that of the job; ``None`` until it has ended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.exit_code: int | None = None
        self._command = tuple(command)
        self._mask = signals.block()
        self._signals = linux.open_signal_descriptor(signals.FORWARDED)
        self._pid: int | None = None
        self._end: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid is not None and self.exit_code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()
        linux.read_signals(self._signals)  # meant for a job that is over
        os.close(self._signals)
        if self._end is not None:
            os.close(self._end)
        signals.restore(self._mask)

    def begin(self) -> None:
        """Start the client.

        Raises:
            LaunchError: It cannot be started, or a signal that ends a program came before.
        """
        early = signals.first_fatal(record.number for record in linux.read_signals(self._signals))
        if early is not None:
            raise LaunchError(f"{early.name} before the job began", EXIT_SIGNAL + early)
        program = self._command[0]
        try:
            self._pid = os.posix_spawn(
                program, self._command, os.environ, setsigmask=self._mask, setsigdef=_IGNORED_BY_PYTHON
            )
        except OSError as error:
            raise LaunchError(f"{program}: {error.strerror}") from error
        self._end = os.pidfd_open(self._pid)

    def sources(self) -> dict[int, Callable[[], None]]:
        """What to call when a descriptor is readable, until ``exit_code`` is set."""
        return {self._signals: self._pass_on} | ({} if self._end is None else {self._end: self._reap})

    def _pass_on(self) -> None:
        for number in signals.for_the_job(linux.read_signals(self._signals)):
            if self._pid is not None and self.exit_code is None:
                os.kill(self._pid, number)

    def _reap(self) -> None:
        if self._pid is not None and self.exit_code is None:
            _, status = os.waitpid(self._pid, 0)
            self.exit_code = exit_code(status)
