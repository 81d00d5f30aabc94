"""The sampler of the loop's lateness, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jobgate.gateway.lag import BOUNDS_S, EVERY_S, LoopLag


class LateTimer:
    """A loop that runs each timer as late as it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self._call: tuple[float, Callable[[], None]] | None = None

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> LateTimer:
        self._call = (self.now + delay_s, callback)
        return self

    def cancel(self) -> None:
        self._call = None

    @property
    def armed(self) -> bool:
        return self._call is not None

    def fire(self, late_s: float) -> None:
        assert self._call is not None
        due, callback = self._call
        self._call = None
        self.now = due + late_s
        callback()


@pytest.fixture
def timer() -> LateTimer:
    return LateTimer()


@pytest.fixture
def lag(timer: LateTimer) -> LoopLag:
    lag = LoopLag(lambda: timer.now, timer.call_later)
    lag.start()
    return lag


def test_no_sample_fills_no_bucket(lag: LoopLag) -> None:
    assert (lag.samples, lag.total_s, lag.buckets) == (0, 0.0, [0] * (len(BOUNDS_S) + 1))


@pytest.mark.parametrize(
    ("late_s", "bucket"),
    [(0.0, 0), (0.0009, 0), (0.0011, 1), (0.03, 5), (0.9, 8), (7.0, 9), (-0.0004, 0)],
    ids=["punctual", "below first", "above first", "middle", "last bound", "beyond", "early"],
)
def test_sample_is_counted_from_its_bucket_on(
    lag: LoopLag, timer: LateTimer, late_s: float, bucket: int
) -> None:
    timer.fire(late_s)
    assert lag.buckets == [0] * bucket + [1] * (len(BOUNDS_S) + 1 - bucket)
    assert lag.last_s == pytest.approx(max(0.0, late_s))


def test_samples_add_up_and_go_on(lag: LoopLag, timer: LateTimer) -> None:
    for late_s in (0.002, 0.02, 0.2):
        timer.fire(late_s)
    assert lag.samples == lag.buckets[-1] == 3
    assert lag.total_s == pytest.approx(0.222)
    assert timer.armed


def test_stopped_sampler_leaves_no_timer_and_keeps_its_counts(lag: LoopLag, timer: LateTimer) -> None:
    timer.fire(0.01)
    lag.stop()
    lag.stop()
    assert (timer.armed, lag.samples) == (False, 1)


async def test_sampler_of_a_real_loop_sees_it_blocked() -> None:
    ticks = iter([10.0, 10.0 + EVERY_S + 0.2, 11.0])
    sampled = asyncio.Event()

    def call_soon(_delay_s: float, callback: Callable[[], None]) -> asyncio.Handle:
        sampled.set()
        return asyncio.get_running_loop().call_soon(callback)

    lag = LoopLag(lambda: next(ticks), call_soon)
    lag.start()
    await sampled.wait()
    await asyncio.sleep(0)
    lag.stop()
    assert lag.last_s == pytest.approx(0.2)
