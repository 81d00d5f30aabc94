from __future__ import annotations

import weakref

import pytest

from jobgate.proxy.errors import Reason
from jobgate.proxy.lifetime import CHECK_S, Clocks, Lifetime
from support.clock import VirtualClock

NOW = 1_795_181_107.0


class Rig:
    """A lifetime between a wall clock that may jump and a monotonic one that has the timers."""

    def __init__(self) -> None:
        self.wall = VirtualClock(NOW)
        self.monotonic = VirtualClock(50.0)
        self.ends: list[Reason | None] = []
        clocks = Clocks(
            self.wall.time,
            self.monotonic.time,
            lambda delay_s, callback: self.monotonic.call_at(self.monotonic.now + delay_s, callback),
        )
        self.lifetime = Lifetime(clocks, lambda: self.ends.append(self.lifetime.over()))

    def set(
        self, expires_at: float | None = None, max_duration_s: float = 0.0, started_at: float = NOW
    ) -> None:
        self.lifetime.set(expires_at=expires_at, started_at=started_at, max_duration_s=max_duration_s)

    def pass_(self, seconds: float) -> None:
        """Let both clocks run; timers see the wall clock of their own time."""
        for _ in range(round(seconds * 10)):
            self.wall.now += 0.1
            self.monotonic.advance(0.1)


ENDS: dict[str, tuple[float | None, float, float, Reason]] = {
    "expires": (NOW + 10.0, 0.0, 10.0, Reason.EXPIRED),
    "expires-late": (NOW + 3 * CHECK_S, 0.0, 3 * CHECK_S, Reason.EXPIRED),
    "duration": (None, 10.0, 10.0, Reason.QUOTA),
    "duration-long": (None, 3 * CHECK_S, 3 * CHECK_S, Reason.QUOTA),
    "expires-first": (NOW + 10.0, 20.0, 10.0, Reason.EXPIRED),
    "duration-first": (NOW + 20.0, 10.0, 10.0, Reason.QUOTA),
}


@pytest.mark.parametrize(("expires_at", "max_duration_s", "after_s", "reason"), ENDS.values(), ids=ENDS)
def test_end_comes_once_and_in_time(
    expires_at: float | None, max_duration_s: float, after_s: float, reason: Reason
) -> None:
    rig = Rig()
    rig.set(expires_at, max_duration_s)
    rig.pass_(after_s - 0.5)
    assert (rig.ends, rig.lifetime.over()) == ([], None)
    rig.pass_(0.6)
    assert (rig.ends, rig.lifetime.over()) == ([reason], reason)
    rig.pass_(100.0)
    assert rig.ends == [reason]
    assert rig.monotonic.pending == []


def test_without_an_end_there_is_no_timer() -> None:
    rig = Rig()
    rig.set()
    assert (rig.monotonic.pending, rig.lifetime.over()) == ([], None)


@pytest.mark.parametrize(
    ("expires_at", "max_duration_s", "reason"),
    [(NOW - 1.0, 0.0, Reason.EXPIRED), (NOW, 0.0, Reason.EXPIRED), (None, 60.0, Reason.QUOTA)],
    ids=["past", "now", "used-up"],
)
def test_end_that_has_come_already_is_seen_at_once_and_called_for_nobody(
    expires_at: float | None, max_duration_s: float, reason: Reason
) -> None:
    rig = Rig()
    rig.set(expires_at, max_duration_s, started_at=NOW - 60.0)
    assert rig.lifetime.over() is reason
    assert (rig.ends, rig.monotonic.pending) == ([], [])


def test_wall_clock_that_is_set_forward_is_noticed_within_a_minute() -> None:
    rig = Rig()
    rig.set(NOW + 86_400.0)
    rig.wall.now += 90_000.0
    rig.monotonic.advance(CHECK_S)
    assert rig.ends == [Reason.EXPIRED]


def test_wall_clock_that_is_set_back_delays_the_date_alone() -> None:
    rig = Rig()
    rig.set(NOW + 10.0, 20.0)
    rig.wall.now -= 3600.0
    rig.pass_(19.0)
    assert rig.ends == []
    rig.pass_(1.5)
    assert rig.ends == [Reason.QUOTA]


def test_start_in_the_future_does_not_lengthen_the_duration() -> None:
    rig = Rig()
    rig.set(None, 10.0, started_at=NOW + 3600.0)
    rig.pass_(10.1)
    assert rig.ends == [Reason.QUOTA]


def test_set_replaces_and_stop_forgets() -> None:
    rig = Rig()
    rig.set(NOW + 1.0)
    rig.set(NOW + 100.0)
    rig.pass_(2.0)
    assert rig.ends == []
    assert len(rig.monotonic.pending) == 1
    rig.lifetime.stop()
    assert rig.monotonic.pending == []


def test_closed_lifetime_has_no_timer_and_holds_nobody() -> None:
    class Told:
        def __call__(self) -> None: ...

    told = Told()
    clock = VirtualClock(NOW)
    lifetime = Lifetime(Clocks(clock.time, clock.time, clock.call_at), told)
    lifetime.set(expires_at=NOW + 1.0, started_at=NOW, max_duration_s=0.0)
    held = weakref.ref(told)
    del told
    assert held() is not None
    lifetime.close()
    assert held() is None
    assert clock.pending == []
