"""The launcher's side of a job: start it, let it run, pass signals on, learn its exit code.

``start`` forks, so it comes before any thread or event loop. The job's process
tree: launcher → child (makes namespaces, waits) → pid 1 → job. Each is killed
with its parent, and with pid 1 the kernel kills all that is left in its namespace.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NoReturn, Protocol, Self

from . import handshake, linux, signals, stdio
from .child import run_child
from .errors import EXIT_SIGNAL, LaunchError, SetupError
from .init import execute
from .plan import Plan
from .process import exit_code, fork
from .seccomp import program
from .terminal import Foreground


def run_unconfined(plan: Plan) -> NoReturn:
    """Become the command, with its network untouched; exit code, signals and terminal are its own."""
    raise SystemExit(execute(plan, {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}))


def start(plan: Plan) -> Job:
    """Fork a job that isolates itself while the caller goes on; it waits for ``Job.begin``.

    Raises:
        LaunchError: Jobs cannot be confined on this machine, or no process can be started.
    """
    try:
        return _start(plan, program(os.uname().machine))
    except ValueError as error:
        raise LaunchError(str(error)) from error
    except OSError as error:
        raise LaunchError(f"cannot start a process: {error.strerror}") from error


def _start(plan: Plan, filter_program: bytes) -> Job:
    stdio.open_missing_streams()
    foreground = Foreground()
    mask = signals.block()
    streams = stdio.StandIns()
    streams.start()
    ours, theirs = handshake.connected_pair()
    launcher_pid = os.getpid()

    def child() -> int:
        ours.close()
        streams.take_over()
        return run_child(plan, theirs, filter_program, mask, launcher_pid)

    pid = fork(child)
    theirs.close()
    streams.release()
    return Job(pid, ours, mask, streams, foreground)


class Ending(Protocol):
    """What can be waited for."""

    exit_code: int | None

    def sources(self) -> Mapping[int, Callable[[], None]]:
        """What to call when a descriptor is readable, until ``exit_code`` is set."""


def wait_for(job: Ending) -> int:
    """Wait for the end without an event loop; returns the exit code."""
    sources = job.sources()
    poll = select.poll()
    for descriptor in sources:
        poll.register(descriptor, select.POLLIN)
    while job.exit_code is None:
        for descriptor, _ in poll.poll():
            sources[descriptor]()
    return job.exit_code


class Job:
    """A job between its fork and its end. Use as a context manager: leaving kills what is left."""

    def __init__(
        self,
        pid: int,
        control: socket.socket,
        mask: signals.SignalMask,
        streams: stdio.StandIns,
        foreground: Foreground,
    ) -> None:
        self.exit_code: int | None = None
        self._pid = pid
        self._control = control
        self._mask = mask
        self._streams = streams
        self._foreground = foreground
        self._signals = linux.open_signal_descriptor(signals.FORWARDED)
        self._child = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exit_code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()
        self._foreground.take_back()
        linux.read_signals(self._signals)  # meant for a job that is over
        self._control.close()
        os.close(self._signals)
        os.close(self._child)
        signals.restore(self._mask)
        self._streams.finish()

    def ready(self) -> list[socket.socket]:
        """Wait until the job is isolated.

        Returns:
            The socket of the proxy, if one was planned (else nothing): bound inside the
            job's namespace, for the caller to listen on.

        Raises:
            LaunchError: The system refused a part of the isolation; the message says what allows it.
        """
        try:
            return handshake.receive_ready(self._control)
        except SetupError as error:
            from .refusal import explain  # rarely needed

            raise LaunchError(explain(error)) from error
        except EOFError:
            self._reap()
            raise LaunchError(f"the job's set-up ended with exit code {self.exit_code}") from None

    def begin(self) -> None:
        """Let the job run.

        Raises:
            LaunchError: A signal that ends a program came before; the exit code says which.
        """
        early = signals.first_fatal(record.number for record in linux.read_signals(self._signals))
        if early is not None:
            raise LaunchError(f"{early.name} before the job began", EXIT_SIGNAL + early)
        handshake.send_begin(self._control)

    def wait(self) -> int:
        """Wait for the job, without an event loop; returns its exit code."""
        return wait_for(self)

    def sources(self) -> dict[int, Callable[[], None]]:
        """What to call when a descriptor is readable, until ``exit_code`` is set."""
        return {self._signals: self._pass_on, self._control.fileno(): self._listen, self._child: self._reap}

    def _pass_on(self) -> None:
        numbers = signals.for_the_job(linux.read_signals(self._signals))
        if numbers:
            handshake.send_signals(self._control, numbers)

    def _listen(self) -> None:
        if handshake.receive_stopped(self._control):
            signals.stop_with_the_job()
        else:
            # The end of file: pid 1 is gone, the child follows.
            self._reap()

    def _reap(self) -> None:
        if self.exit_code is None:
            _, status = os.waitpid(self._pid, 0)
            self.exit_code = exit_code(status)
