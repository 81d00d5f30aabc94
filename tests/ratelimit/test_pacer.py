"""Pacer: one timer, whole milliseconds, no spinning, errors of one queue stay its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jobgate.ratelimit import FairQueue, Pacer
from support.clock import VirtualClock


class FakeQueue:
    """Becomes due at the given times; remembers when it was served."""

    def __init__(self, clock: VirtualClock, *due_at: float, slack_s: float = 0.0) -> None:
        self.slack_s = slack_s
        self.served_at: list[float] = []
        self.is_content = True
        self.on_serve: Callable[[], None] = lambda: None
        self._clock = clock
        self._due_at = list(due_at)

    def serve(self, now: float) -> float | None:
        self.served_at.append(self._clock.now)
        while self.is_content and self._due_at and self._due_at[0] <= now:
            self._due_at.pop(0)
        self.on_serve()
        return self._due_at[0] if self._due_at else None


def make(*, early_s: float = 0.0, step_s: float = 0.0) -> tuple[VirtualClock, Pacer]:
    clock = VirtualClock(10.0, early_s=early_s, step_s=step_s)
    return clock, Pacer(clock.time, clock.call_at)


def test_schedule_rounds_up_to_the_next_millisecond() -> None:
    clock, pacer = make()
    queue = FakeQueue(clock)
    pacer.schedule(queue, 10.01234)
    assert clock.pending == [10.013]
    clock.run_until(11.0)
    assert queue.served_at == [10.013]


def test_queues_due_in_the_same_millisecond_share_one_timer() -> None:
    clock, pacer = make()
    queues = [FakeQueue(clock) for _ in range(50)]
    for index, queue in enumerate(queues):
        pacer.schedule(queue, 10.0121 + index * 1e-5)
    clock.run_until(11.0)
    assert clock.fired == 1
    assert all(queue.served_at == [10.013] for queue in queues)


@pytest.mark.parametrize(
    ("slack_s", "served_at"),
    [(0.0079, 10.013), (0.008, 10.014), (float("inf"), 10.014)],
    ids=["no time to lose", "time enough", "no bucket"],
)
def test_queue_with_slack_waits_for_a_tick_that_more_share(slack_s: float, served_at: float) -> None:
    clock = VirtualClock(10.0)
    pacer = Pacer(clock.time, clock.call_at, shared_ticks=2)
    queue = FakeQueue(clock, slack_s=slack_s)
    pacer.schedule(queue, 10.01234)
    clock.run_until(11.0)
    assert queue.served_at == [served_at]


def test_queues_with_slack_share_the_timer_over_two_milliseconds() -> None:
    clock = VirtualClock(10.0)
    pacer = Pacer(clock.time, clock.call_at, shared_ticks=2)
    queues = [FakeQueue(clock, slack_s=1.0) for _ in range(20)]
    for index, queue in enumerate(queues):
        pacer.schedule(queue, 10.01201 + index * 1e-4)
    clock.run_until(11.0)
    assert clock.fired == 1
    assert all(queue.served_at == [10.014] for queue in queues)


def test_schedule_earlier_moves_the_timer_forward() -> None:
    clock, pacer = make()
    late, early = FakeQueue(clock), FakeQueue(clock)
    pacer.schedule(late, 10.5)
    pacer.schedule(early, 10.2)
    assert clock.pending == [10.2]
    clock.run_until(11.0)
    assert (early.served_at, late.served_at) == ([10.2], [10.5])


@pytest.mark.parametrize(("first", "second"), [(10.5, 10.2), (10.2, 10.5)], ids=["earlier", "later"])
def test_schedule_again_replaces_the_time_before(first: float, second: float) -> None:
    clock, pacer = make()
    queue = FakeQueue(clock)
    pacer.schedule(queue, first)
    pacer.schedule(queue, second)
    clock.run_until(11.0)
    assert queue.served_at == [second]


def test_queue_that_is_due_again_is_served_again() -> None:
    clock, pacer = make()
    queue = FakeQueue(clock, 10.1, 10.2, 10.3)
    pacer.schedule(queue, 10.1)
    clock.run_until(11.0)
    assert queue.served_at == pytest.approx([10.1, 10.2, 10.3])
    assert clock.pending == []
    assert not pacer.armed


def test_due_in_the_past_is_served_soon_and_only_once_a_millisecond() -> None:
    clock, pacer = make()
    queue = FakeQueue(clock, 9.0)
    queue.is_content = False
    pacer.schedule(queue, 9.0)
    clock.run_until(10.1)
    assert 99 <= len(queue.served_at) <= 102


@pytest.mark.parametrize("early_s", [0.0, 0.0004, 0.001, 0.005], ids=str)
@pytest.mark.parametrize("step_s", [0.0, 0.001], ids=["exact-clock", "1ms-clock"])
def test_timer_that_fires_early_does_not_spin(early_s: float, step_s: float) -> None:
    clock, pacer = make(early_s=early_s, step_s=step_s)
    queue = FakeQueue(clock, 10.0123)
    pacer.schedule(queue, 10.0123)
    clock.run_until(10.05)
    assert not pacer.armed
    assert clock.fired <= 2 + early_s / 0.001


def test_withdraw_of_the_last_queue_cancels_the_timer() -> None:
    clock, pacer = make()
    first, second = FakeQueue(clock), FakeQueue(clock)
    pacer.schedule(first, 10.1)
    pacer.schedule(second, 10.2)
    pacer.withdraw(first)
    assert pacer.armed
    pacer.withdraw(second)
    assert clock.pending == []
    clock.run_until(11.0)
    assert first.served_at == second.served_at == []


def test_withdraw_of_a_queue_that_is_not_scheduled_changes_nothing() -> None:
    clock, pacer = make()
    queue = FakeQueue(clock)
    pacer.schedule(queue, 10.1)
    pacer.withdraw(FakeQueue(clock))
    clock.run_until(11.0)
    assert queue.served_at == [10.1]


def test_queue_that_was_served_earlier_than_planned_leaves_no_timer() -> None:
    clock, pacer = make()
    queue = FakeQueue(clock)
    pacer.schedule(queue, 99.0)
    pacer.schedule(queue, 10.1)
    clock.run_until(11.0)
    assert queue.served_at == [10.1]
    assert clock.pending == []


def test_ticks_that_queues_moved_away_from_do_not_pile_up() -> None:
    clock, pacer = make()
    moved, stays = FakeQueue(clock), FakeQueue(clock)
    pacer.schedule(stays, 500.0)
    for tick in range(10_000):
        pacer.schedule(moved, 400.0 - tick * 0.01)
    assert len(pacer._ticks) == len(pacer._due) <= 70
    clock.run_until(600.0)
    assert moved.served_at == [pytest.approx(300.01)]
    assert stays.served_at == [500.0]


def test_call_soon_calls_from_the_loop_and_not_at_once() -> None:
    clock, pacer = make()
    called: list[float] = []
    pacer.call_soon(lambda: called.append(clock.now))
    assert called == []
    clock.run_until(11.0)
    assert called == [10.0]


def test_schedule_during_serve_waits_for_the_next_millisecond() -> None:
    clock, pacer = make()
    first, second = FakeQueue(clock), FakeQueue(clock)
    first.on_serve = lambda: pacer.schedule(second, clock.now)
    pacer.schedule(first, 10.1)
    clock.run_until(11.0)
    assert first.served_at == [10.1]
    assert second.served_at == [10.101]


def test_exception_in_one_queue_reaches_the_loop_and_spares_the_others() -> None:
    clock, pacer = make()
    bad, good = FakeQueue(clock, 10.1, 10.2), FakeQueue(clock)

    def fail() -> None:
        bad.on_serve = lambda: None
        raise ZeroDivisionError

    bad.on_serve = fail
    pacer.schedule(bad, 10.1)
    pacer.schedule(good, 10.1)
    with pytest.raises(ZeroDivisionError):
        clock.run_until(10.1)
    clock.run_until(11.0)
    assert good.served_at == [10.101]
    assert bad.served_at == [10.1, 10.101, 10.2]  # once more, since nobody knows what it is left with


def test_repr_shows_queues_and_next_tick() -> None:
    clock, pacer = make()
    pacer.schedule(FakeQueue(clock), 10.1)
    assert repr(pacer) == "<Pacer 1 queues, next tick 10100>"


async def test_grants_on_a_real_loop_need_one_timer_each() -> None:
    """The bytes come at the rate, and the loop is not woken more often than they do."""
    loop = asyncio.get_running_loop()
    fired = 0

    def call_at(when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        def fire() -> None:
            nonlocal fired
            fired += 1
            callback()

        return loop.call_at(when, fire)

    pacer = Pacer(loop.time, call_at)
    lane = FairQueue(1_250_000.0, 65_536, pacer).lane()
    assert lane.request(65_536, pytest.fail)
    start = loop.time()
    for _ in range(10):
        granted = asyncio.Event()
        if not lane.request(4_096, granted.set):
            await granted.wait()
    assert loop.time() - start >= 10 * 4_096 / 1_250_000.0 - 0.001
    assert fired <= 12
    assert not pacer.armed
