"""Which signals of the launcher reach the job, and how.

The launcher, its child, pid 1 and the job share one process group, so that a key
at the terminal (Ctrl-C, Ctrl-Z, a new window size) reaches the job without us. A
signal that somebody sends to the launcher is passed on. All of them are blocked
in the launcher and read from a descriptor: nothing runs in a handler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from signal import Signals

from . import linux

FORWARDED = (
    Signals.SIGHUP,
    Signals.SIGINT,
    Signals.SIGQUIT,
    Signals.SIGTERM,
    Signals.SIGUSR1,
    Signals.SIGUSR2,
    Signals.SIGWINCH,
    Signals.SIGCONT,
    Signals.SIGTSTP,
)
FATAL = (Signals.SIGHUP, Signals.SIGINT, Signals.SIGQUIT, Signals.SIGTERM)
"""Forwarded signals that end the launcher instead while there is no job yet."""
_TERMINAL_STOPS = (Signals.SIGTSTP, Signals.SIGTTIN, Signals.SIGTTOU)
FROM_TERMINAL = (Signals.SIGINT, Signals.SIGQUIT, Signals.SIGWINCH, *_TERMINAL_STOPS)
"""Sent by the kernel, these went to the whole foreground process group."""
_BLOCKED = {*FORWARDED, *_TERMINAL_STOPS, Signals.SIGCHLD}
# Python ignores these; a program started from it should not.
_IGNORED_BY_PYTHON = (Signals.SIGPIPE, Signals.SIGXFSZ)

SignalMask = set[int]


def block() -> SignalMask:
    """Block what this module owns; returns the mask that the job is to have."""
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)}


def restore(mask: SignalMask) -> None:
    """Go back to the mask that ``block`` found."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def restore_for_exec(mask: SignalMask) -> None:
    """Leave dispositions and mask as the launcher found them, for a program started now."""
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    restore(mask)


def for_the_job(records: Iterable[linux.SignalRecord]) -> list[Signals]:
    """Of the signals that the launcher received, those that the job has not received by itself."""
    return [
        Signals(record.number)
        for record in records
        if record.number in FORWARDED
        and not (record.code == linux.SI_KERNEL and record.number in FROM_TERMINAL)
    ]


def first_fatal(numbers: Iterable[int]) -> Signals | None:
    """The first signal that ends a launcher without a job."""
    return next((Signals(number) for number in numbers if number in FATAL), None)


def stop_with_the_job() -> None:
    """Stop as the job has stopped, so that the shell takes its terminal back.

    Where no shell watches (an orphaned process group) the kernel drops this stop.
    """
    # Sent while blocked, a stop that is pending already and ours become one.
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
