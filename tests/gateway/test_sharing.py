from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.gateway.sharing import EVERY_S, Apportionment, Load, Wish, parts

IDLE = Wish(0.0, 0, False)
RATE = 1000.0


@pytest.mark.parametrize(
    ("rate", "wishes", "expected"),
    [
        pytest.param(math.inf, [IDLE, Wish(500.0, 3, False)], [0.5, 0.5], id="no-limit"),
        pytest.param(RATE, [IDLE] * 4, [0.25] * 4, id="nobody"),
        pytest.param(RATE, [Wish(500.0, 1, True), Wish(500.0, 1, True)], [0.5, 0.5], id="both-held-back"),
        pytest.param(RATE, [Wish(500.0, 3, True), Wish(500.0, 1, True)], [0.75, 0.25], id="by-jobs"),
        pytest.param(RATE, [Wish(500.0, 1, True), IDLE], [0.95, 0.05], id="the-other-is-idle"),
        pytest.param(RATE, [Wish(500.0, 1, True), Wish(100.0, 1, False)], [0.85, 0.15], id="one-is-small"),
        pytest.param(RATE, [Wish(900.0, 1, True), Wish(600.0, 2, False)], [1 / 3, 2 / 3], id="both-want-all"),
        pytest.param(RATE, [Wish(100.0, 1, False)] * 2, [0.5, 0.5], id="room-for-all"),
    ],
)
def test_parts_are_by_what_is_wanted(rate: float, wishes: list[Wish], expected: list[float]) -> None:
    assert parts(rate, wishes) == pytest.approx(expected)


wishes = st.builds(Wish, st.floats(0.0, 1e9), st.integers(0, 1000), st.booleans())


@given(st.floats(1.0, 1e9), st.lists(wishes, min_size=1, max_size=20))
def test_parts_are_all_there_is_and_nobody_has_nothing(rate: float, wishes: list[Wish]) -> None:
    found = parts(rate, wishes)
    assert sum(found) == pytest.approx(1.0)
    assert all(part > 0.0 for part in found)


def load(job: str, worker: int, moved: int, waiting: int = 0) -> Load:
    return Load(job, worker, (moved, 0), (waiting, 0))


def test_busy_worker_gets_what_the_idle_one_leaves_and_gives_it_back() -> None:
    sharing = Apportionment(2, 0.0)
    assert not sharing.look(EVERY_S / 2, (RATE, math.inf), [], [(0, 0)] * 2)
    assert sharing.look(1.0, (RATE, math.inf), [load("a", 0, 0), load("b", 1, 0)], [(0, 0)] * 2)
    assert sharing.parts == [(0.5, 0.5)] * 2
    assert sharing.look(2.0, (RATE, math.inf), [load("a", 0, 500), load("b", 1, 0)], [(0, 0)] * 2)
    assert [up for up, _ in sharing.parts] == pytest.approx([0.95, 0.05])
    assert [down for _, down in sharing.parts] == [0.5, 0.5]
    both = [load("a", 0, 1400), load("b", 1, 550)]
    assert sharing.look(3.0, (RATE, math.inf), both, [(0, 0)] * 2)
    assert sharing.parts == [(0.5, 0.5)] * 2


def test_job_that_the_rate_holds_back_counts_though_nothing_moved() -> None:
    sharing = Apportionment(2, 0.0)
    assert sharing.look(1.0, (RATE, RATE), [load("a", 0, 0, 1), load("b", 1, 0)], [(1, 0), (0, 0)])
    assert sharing.parts[0][0] == pytest.approx(0.95)


def test_new_job_with_counters_of_before_has_moved_nothing() -> None:
    sharing = Apportionment(2, 0.0)
    assert sharing.look(1.0, (RATE, RATE), [load("a", 0, 10**9)], [(0, 0)] * 2)
    assert sharing.parts == [(0.5, 0.5)] * 2
