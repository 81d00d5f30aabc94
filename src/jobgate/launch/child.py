"""The launcher's child: it makes the namespaces, starts pid 1 in them, and waits.

It stays outside the PID namespace, which only its own children enter.
"""

from __future__ import annotations

import os
import signal
import socket

from . import linux
from .errors import EXIT_FAILED, SetupError
from .handshake import send_failed
from .init import run_init
from .namespaces import enter, needs_user_namespace
from .plan import Plan
from .process import exit_code, fork
from .signals import SignalMask


def run_child(
    plan: Plan, control: socket.socket, filter_program: bytes, mask: SignalMask, launcher_pid: int
) -> int:
    """Live between the launcher and pid 1; returns the exit code of the job."""
    try:
        enter(user_namespace=needs_user_namespace())
    except SetupError as error:
        send_failed(control, error)
        return EXIT_FAILED
    # After the change of credentials, which would undo it; a launcher that ended before
    # this line shows as another parent.
    linux.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != launcher_pid:
        return EXIT_FAILED
    init_pid = fork(lambda: run_init(plan, control, filter_program, mask))
    linux.close_from(3)
    _, status = os.waitpid(init_pid, 0)
    return exit_code(status)
