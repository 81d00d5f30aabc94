"""One wait after the other and its deadline, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from jobgate.proxy.alarms import Alarm, Alarms
from jobgate.proxy.waiting import Waiting


class FakeLoop:
    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


class FakeAlarm:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeAlarms:
    """Keeps what was set, with its time."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.all: list[tuple[float, FakeAlarm]] = []

    def at(self, when: float, call: Callable[[], None]) -> Alarm:
        self.all.append((when, FakeAlarm(call)))
        return cast(Alarm, self.all[-1][1])

    @property
    def set_for(self) -> list[float]:
        return [when for when, alarm in self.all if not alarm.is_cancelled]

    def advance(self, now: float) -> None:
        self.loop.now = now
        for entry in [entry for entry in self.all if entry[0] <= now and not entry[1].is_cancelled]:
            self.all.remove(entry)
            entry[1].call()


@pytest.fixture
def alarms() -> FakeAlarms:
    return FakeAlarms()


@pytest.fixture
def waiting(alarms: FakeAlarms) -> Waiting:
    return Waiting(cast(Alarms, alarms))


async def test_wake_ends_the_wait(waiting: Waiting) -> None:
    waiting.wake()  # nobody waits
    wait = waiting.until(5.0)
    waiting.wake()
    await wait


async def test_deadline_ends_the_wait(alarms: FakeAlarms, waiting: Waiting) -> None:
    wait = waiting.until(5.0)
    alarms.advance(4.0)
    assert not wait.done()
    alarms.advance(5.0)
    with pytest.raises(TimeoutError):
        await wait
    waiting.wake()
    assert alarms.set_for == []


async def test_one_alarm_stays_over_many_waits_and_moves_on_when_it_comes(
    alarms: FakeAlarms, waiting: Waiting
) -> None:
    for n in range(5):
        wait = waiting.until(5.0 + n)
        waiting.wake()
        await wait
    assert alarms.set_for == [5.0]
    wait = waiting.until(10.0)
    alarms.advance(5.0)
    assert (wait.done(), alarms.set_for) == (False, [10.0])
    alarms.advance(10.0)
    with pytest.raises(TimeoutError):
        await wait


async def test_nearer_deadline_takes_the_place_of_a_later_one(alarms: FakeAlarms, waiting: Waiting) -> None:
    waiting.until(10.0)
    waiting.wake()
    wait = waiting.until(5.0)
    assert alarms.set_for == [5.0]
    alarms.advance(5.0)
    with pytest.raises(TimeoutError):
        await wait


async def test_alarm_that_nobody_waits_for_is_not_set_again(alarms: FakeAlarms, waiting: Waiting) -> None:
    waiting.until(5.0).cancel()
    alarms.advance(5.0)
    assert alarms.set_for == []


async def test_forgotten_alarm_does_not_come(alarms: FakeAlarms, waiting: Waiting) -> None:
    wait = waiting.until(5.0)
    waiting.forget_alarm()
    waiting.forget_alarm()
    alarms.advance(5.0)
    assert (wait.done(), alarms.set_for) == (False, [])
