"""The first process of the job's PID namespace: its end is the end of every process in it.

It finishes the isolation from inside, starts the job once the launcher says so,
passes signals on, reaps, and ends with the job's exit code.
"""

from __future__ import annotations

import os
import select
import signal
import socket

from . import linux
from .errors import EXIT_FAILED, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_SIGNAL, SetupError
from .handshake import await_begin, receive_signals, send_failed, send_ready, send_stopped
from .lockdown import lock_down
from .namespaces import arrange_mounts, bind_proxy, raise_loopback
from .plan import Plan
from .process import exit_code, fork
from .signals import SignalMask, first_fatal, restore_for_exec


def run_init(plan: Plan, control: socket.socket, filter_program: bytes, mask: SignalMask) -> int:
    """Be pid 1 of the job from the first to the last moment; returns the job's exit code."""
    try:
        proxy = _isolate(plan, filter_program)
    except SetupError as error:
        send_failed(control, error)
        return EXIT_FAILED
    # Last: the changes of credentials before it would have undone it. A launcher that
    # ended earlier shows as the end of file on the control socket.
    linux.set_parent_death_signal(signal.SIGKILL)
    send_ready(control, proxy)
    if proxy is not None:
        proxy.close()
    if not await_begin(control):
        return EXIT_FAILED
    early = first_fatal(signal.sigpending())
    if early is not None:
        return EXIT_SIGNAL + early
    return watch(fork(lambda: _become_job(plan, mask)), control)


def _isolate(plan: Plan, filter_program: bytes) -> socket.socket | None:
    raise_loopback()
    proxy = bind_proxy() if plan.proxy else None
    arrange_mounts(keep_run=plan.keep_run, read_only=os.geteuid() == 0)
    lock_down(filter_program)
    linux.forbid_tracing()
    return proxy


def _become_job(plan: Plan, mask: SignalMask) -> int:
    """Become the job, with the standard streams and nothing else open."""
    linux.close_from(3)
    return execute(plan, mask)


def execute(plan: Plan, mask: SignalMask) -> int:
    """Exec the command in this process; returns the exit code, and says why, if that fails."""
    restore_for_exec(mask)
    program = plan.command[0]
    try:
        os.execvpe(program, plan.command, plan.environment)
    except (FileNotFoundError, NotADirectoryError):
        code, problem = EXIT_NOT_FOUND, "no such program"
    except OSError as error:
        code, problem = EXIT_NOT_EXECUTABLE, os.strerror(error.errno or 0)
    os.write(2, os.fsencode(f"jobgate: cannot run {program!a}: {problem}\n"))
    return code


def watch(job_pid: int, control: socket.socket) -> int:
    """Pass on signals and reap until the job has ended; returns its exit code."""
    children = linux.open_signal_descriptor([signal.SIGCHLD])
    poll = select.poll()
    poll.register(children, select.POLLIN)
    poll.register(control, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == children:
                linux.read_signals(children)
                code = _reap(job_pid, control)
                if code is not None:
                    return code
            else:
                numbers = receive_signals(control)
                if numbers is None:
                    return EXIT_FAILED
                for number in numbers:
                    os.kill(job_pid, number)


def _reap(job_pid: int, control: socket.socket) -> int | None:
    """Collect every child that has ended; returns the job's exit code if it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if pid != job_pid:
            continue
        if not os.WIFSTOPPED(status):
            return exit_code(status)
        send_stopped(control)
