"""Many deadlines behind one timer, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from jobgate.proxy.alarms import GRAIN_S, Alarms, own_alarms


class Timer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A clock, and the timers that were set; each fires early by as much as uvloop's may."""

    EARLY_S = 0.001

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    @property
    def running(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, until: float) -> int:
        """Move on; say how many timers have fired."""
        fired = 0
        while due := [timer for timer in self.running if timer.when - self.EARLY_S <= until]:
            first = min(due, key=lambda timer: timer.when)
            self.now = max(self.now, first.when - self.EARLY_S)
            self.timers.remove(first)
            fired += 1
            first.call()
        self.now = until
        return fired


def alarms() -> tuple[Alarms, Loop]:
    loop = Loop()
    return Alarms(cast(asyncio.AbstractEventLoop, loop)), loop


def test_alarm_comes_once_not_early_and_within_a_grain() -> None:
    found, loop = alarms()
    heard: list[float] = []
    for n in range(100):
        found.at(1000.0 + n / 97, lambda: heard.append(loop.now))
    loop.advance(1002.0)
    assert len(heard) == 100
    for n, at in enumerate(sorted(heard)):
        assert 0.0 <= at + Loop.EARLY_S - (1000.0 + n / 97) <= GRAIN_S
    assert (len(found), loop.running) == (0, [])


def test_one_timer_serves_all_and_an_earlier_alarm_moves_it() -> None:
    found, loop = alarms()
    heard: list[str] = []
    found.at(1060.0, lambda: heard.append("late"))
    found.at(1010.0, lambda: heard.append("early"))
    assert len(loop.running) == 1
    loop.advance(1011.0)
    assert heard == ["early"]
    assert len(loop.running) == 1
    loop.advance(1061.0)
    assert heard == ["early", "late"]


def test_cancelled_alarm_does_not_come_and_leaves_nothing() -> None:
    found, loop = alarms()
    alarm = found.at(1001.0, lambda: pytest.fail("it was cancelled"))
    alarm.cancel()
    alarm.cancel()
    assert len(found) == 0
    assert loop.advance(1100.0) == 1, "the timer was there already; it finds nothing and is not set again"
    assert loop.running == []


def test_alarm_may_cancel_and_set_others() -> None:
    found, loop = alarms()
    heard: list[str] = []

    def first() -> None:
        heard.append("first")
        others.discard(next(iter(others)))
        for alarm in others:
            alarm.cancel()
        found.at(loop.now, lambda: heard.append("new"))

    others = {found.at(1005.0, first), found.at(1005.0, first)}
    loop.advance(1005.2)
    assert heard[0] == "first"
    assert heard[-1] == "new"


def test_alarm_that_was_early_and_is_set_again_waits_for_another_turn_of_the_loop() -> None:
    found, loop = alarms()
    deadline = 1000.0 + GRAIN_S - 1e-6  # at the end of its grain: a timer that is early comes before it
    heard: list[float] = []

    def look() -> None:
        heard.append(loop.now)
        assert len(heard) < 10, "the clock stands still while alarms are called"
        if loop.now < deadline:
            found.at(deadline, look)

    found.at(deadline, look)
    loop.advance(1001.0)
    assert [at < deadline for at in heard] == [True, False]


def test_alarm_that_fails_keeps_no_other_from_coming() -> None:
    found, loop = alarms()
    heard: list[int] = []

    def fail() -> None:
        heard.append(0)
        raise RuntimeError("no")

    found.at(1001.0, fail)
    found.at(1001.0, lambda: heard.append(1))
    for _ in range(2):
        try:
            loop.advance(1002.0)
        except RuntimeError:
            continue
    assert sorted(heard) == [0, 1]


async def test_alarms_are_of_the_running_loop() -> None:
    assert own_alarms() is own_alarms()
    assert own_alarms().loop is asyncio.get_running_loop()
    rung = asyncio.Event()
    own_alarms().at(0.0, rung.set)
    await rung.wait()
