"""Requests per second: granted or refused at once, on both loops."""

from __future__ import annotations

import asyncio

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given
from hypothesis import strategies as st

from jobgate.ratelimit import RequestLimiter


@pytest.fixture
async def frozen(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The running loop's time as a list of one number, which the test moves."""
    now = [1000.0]
    monkeypatch.setattr("aiolimiter.AsyncLimiter._loop", FrozenLoop(now))
    return now


class FrozenLoop:
    """What aiolimiter uses of a loop when nobody waits."""

    def __init__(self, now: list[float]) -> None:
        self._now = now

    def time(self) -> float:
        return self._now[0]


async def test_take_grants_one_second_worth_then_names_the_wait(frozen: list[float]) -> None:
    limiter = RequestLimiter(20.0)
    assert [limiter.take() for _ in range(20)] == [0.0] * 20
    assert limiter.take() == pytest.approx(0.05)


async def test_take_grants_again_after_the_wait(frozen: list[float]) -> None:
    limiter = RequestLimiter(20.0)
    while (wait_s := limiter.take()) == 0.0:
        pass
    frozen[0] += wait_s + 1e-6
    assert limiter.take() == 0.0
    assert limiter.take() > 0.0


async def test_take_over_ten_seconds_grants_rate_times_time_and_one_burst(frozen: list[float]) -> None:
    limiter = RequestLimiter(20.0)
    granted = 0
    for _ in range(1000):
        granted += limiter.take() == 0.0
        frozen[0] += 0.01
    assert granted == pytest.approx(20 + 200, abs=2)


async def test_take_below_one_per_second_grants_one_at_a_time(frozen: list[float]) -> None:
    limiter = RequestLimiter(0.5)
    assert limiter.take() == 0.0
    assert limiter.take() == 2.0
    frozen[0] += 2.0
    assert limiter.take() == 0.0


async def test_take_on_the_running_loop_needs_no_task_and_no_timer() -> None:
    limiter = RequestLimiter(3.0)
    before = asyncio.all_tasks()
    waits = [limiter.take() for _ in range(4)]
    assert waits[:3] == [0.0] * 3
    assert waits[3] == pytest.approx(1 / 3)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("per_s", [0.5, 3.0, 200.0])
async def test_take_grants_what_acquire_would(frozen: list[float], per_s: float) -> None:
    """It changes the library's own count: a release that counts otherwise shows here."""
    limiter, other = RequestLimiter(per_s), AsyncLimiter(max(1.0, per_s), max(1.0, 1.0 / per_s))
    for number in range(1000):
        expected = other.has_capacity()
        if expected:
            await other.acquire()
        assert (limiter.take() == 0.0) is expected
        frozen[0] += (number % 7) * 0.4 / per_s


@given(st.floats(0.1, 300.0), st.lists(st.tuples(st.integers(1, 40), st.floats(0.0, 3.0) | st.just(0.001))))
def test_take_at_any_times_grants_what_acquire_would(per_s: float, turns: list[tuple[int, float]]) -> None:
    """Several in one moment of the loop's clock, too: what leaks meanwhile is looked at once."""
    now, burst = [0.0], max(1.0, per_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aiolimiter.AsyncLimiter._loop", FrozenLoop(now))
        limiter, other = RequestLimiter(per_s), AsyncLimiter(burst, burst * (1.0 / per_s))
        for count, pause_s in turns:
            for _ in range(count):
                expected = other.has_capacity()
                if expected:
                    other._level += 1.0
                assert (limiter.take() == 0.0) is expected
            now[0] += pause_s


def test_take_without_a_limit_needs_no_loop() -> None:
    limiter = RequestLimiter(0)
    assert [limiter.take() for _ in range(1000)] == [0.0] * 1000


@pytest.mark.parametrize("per_s", [-1.0, float("nan")], ids=["negative", "nan"])
def test_rate_out_of_range_is_an_error(per_s: float) -> None:
    with pytest.raises(ValueError, match="expected 0"):
        RequestLimiter(per_s)


@pytest.mark.parametrize(("per_s", "granted"), [(5.0, 5), (40.0, 40), (0.5, 1)], ids=["less", "more", "rare"])
async def test_set_rate_grants_at_the_new_rate(frozen: list[float], per_s: float, granted: int) -> None:
    limiter = RequestLimiter(20.0)
    while limiter.take() == 0.0:
        pass
    limiter.set_rate(per_s)
    assert limiter.per_s == per_s
    assert [limiter.take() for _ in range(granted)] == [0.0] * granted
    assert limiter.take() == pytest.approx(1.0 / per_s)


async def test_set_rate_to_and_from_no_limit(frozen: list[float]) -> None:
    limiter = RequestLimiter(1.0)
    limiter.set_rate(0.0)
    assert [limiter.take() for _ in range(1000)] == [0.0] * 1000
    limiter.set_rate(1.0)
    assert limiter.take() == 0.0
    assert limiter.take() == 1.0
