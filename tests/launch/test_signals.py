from __future__ import annotations

import signal
from signal import Signals

import pytest

from jobgate.launch import signals
from jobgate.launch.linux import SI_KERNEL, SignalRecord

SI_USER, SI_QUEUE = 0, -1


@pytest.mark.parametrize("number", [Signals.SIGINT, Signals.SIGQUIT, Signals.SIGTSTP, Signals.SIGWINCH])
def test_what_the_terminal_sent_has_reached_the_job_by_itself(number: Signals) -> None:
    assert signals.for_the_job([SignalRecord(number, SI_KERNEL)]) == []


@pytest.mark.parametrize("code", [SI_USER, SI_QUEUE])
@pytest.mark.parametrize("number", signals.FORWARDED)
def test_what_somebody_sent_to_the_launcher_is_passed_on(number: Signals, code: int) -> None:
    assert signals.for_the_job([SignalRecord(number, code)]) == [number]


def test_hang_up_is_passed_on_whoever_sent_it() -> None:
    """The kernel sends it to the leader of the session alone, which may be the launcher."""
    assert signals.for_the_job([SignalRecord(signal.SIGHUP, SI_KERNEL)]) == [signal.SIGHUP]


def test_order_is_kept() -> None:
    records = [SignalRecord(number, SI_USER) for number in (Signals.SIGUSR2, Signals.SIGUSR1)]
    assert signals.for_the_job(records) == [Signals.SIGUSR2, Signals.SIGUSR1]


def test_first_fatal_skips_what_ends_nothing() -> None:
    assert signals.first_fatal([Signals.SIGWINCH, Signals.SIGTERM, Signals.SIGINT]) is Signals.SIGTERM
    assert signals.first_fatal([Signals.SIGCONT, Signals.SIGUSR1]) is None


def test_block_returns_the_mask_that_restore_brings_back() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    mask = signals.block()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signals.restore(mask)
    assert set(signals.FORWARDED) <= blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
