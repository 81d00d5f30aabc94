"""Rates and quotas that change while connections wait, in virtual time."""

from __future__ import annotations

import math
from itertools import repeat

import pytest

from support.lanes import Job

RATE = 1_250_000.0
BURST = 65_536
CHUNK = 32_768


def nobody() -> None:
    """A callback for requests whose grant does not matter."""


def drained(rate: float = RATE) -> Job:
    """A job whose first burst is spent."""
    job = Job(rate)
    assert job.queue.lane().request(job.burst, nobody)
    return job


# Without a rate


def test_unlimited_queue_grants_everything_at_once_and_counts() -> None:
    job = Job(math.inf)
    first, second = job.queue.lane(), job.queue.lane()
    for _ in range(100):
        assert first.request(CHUNK, pytest.fail)
        assert second.request(10**9, pytest.fail)
    assert job.queue.supply.quota.moved_bytes == 100 * (CHUNK + 10**9)
    assert (job.queue.waiting, job.queue.waited_s, job.clock.pending) == (0, 0.0, [])
    assert repr(job.queue) == "<FairQueue 0 waiting, unlimited>"


@pytest.mark.parametrize("n", [0, -1], ids=str)
def test_unlimited_queue_refuses_impossible_sizes(n: int) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        Job(math.inf).queue.lane().request(n, nobody)


def test_give_back_to_an_unlimited_queue_is_not_counted() -> None:
    job = Job(math.inf)
    lane = job.queue.lane()
    assert lane.request(100, nobody)
    lane.give_back(40)
    assert job.queue.supply.quota.moved_bytes == 60


# Changes of rate


def test_waiting_requests_of_a_job_made_unlimited_are_granted_soon_and_not_at_once() -> None:
    job = drained(1_000.0)
    grants: list[float] = []
    for _ in range(10):
        job.queue.lane().request(CHUNK, lambda: grants.append(job.clock.now))
    job.queue.set_rate(math.inf, 1)
    assert grants == []
    job.clock.advance(0.0011)
    assert len(grants) == 10
    assert job.queue.waiting == 0
    assert job.clock.pending == []


def test_request_behind_waiting_ones_keeps_its_turn_when_the_rate_ends() -> None:
    job = drained(1_000.0)
    grants: list[str] = []
    job.queue.lane().request(100, lambda: grants.append("first"))
    job.queue.set_rate(math.inf, 1)
    assert not job.queue.lane().request(100, lambda: grants.append("second"))
    job.clock.advance(0.0011)
    assert sorted(grants) == ["first", "second"]


def test_busy_job_made_limited_is_at_its_rate_with_the_next_byte() -> None:
    job = Job(math.inf)
    connections = [job.connect(repeat(CHUNK), 0.001) for _ in range(4)]
    job.clock.advance(0.1)
    job.queue.set_rate(RATE, BURST)
    before = job.got
    job.clock.advance(1.0)
    assert job.got - before <= RATE * 1.0
    assert job.got - before == pytest.approx(RATE * 1.0, abs=2 * CHUNK)
    assert all(connection.lane.waited_s > 0.9 for connection in connections)


def test_changing_often_makes_no_tokens() -> None:
    job = drained()
    for _ in range(100):
        job.queue.set_rate(math.inf, 1)
        job.queue.set_rate(RATE, BURST)
    assert job.bucket.level(job.clock.now) == 0.0


def test_idle_job_made_limited_waits_for_its_first_bytes_alone() -> None:
    job = Job(math.inf)
    job.queue.set_rate(8_000.0, BURST)
    lane = job.queue.lane()
    assert not lane.request(800, nobody)
    job.clock.advance(0.102)
    assert lane.waited_s == pytest.approx(0.1, abs=0.0011)


@pytest.mark.parametrize("burst", [1, 1_000, CHUNK - 1], ids=str)
def test_piece_held_while_the_burst_shrinks_below_it_is_granted(burst: int) -> None:
    job = drained()
    grants: list[float] = []
    big, small = job.queue.lane(), job.queue.lane()
    big.request(CHUNK, lambda: grants.append(job.clock.now))
    small.request(100, lambda: grants.append(job.clock.now))
    job.queue.set_rate(RATE, burst)
    job.clock.advance(0.2)
    assert len(grants) == 2
    # What was released beyond the burst is a debt, paid before anything else goes.
    assert grants[-1] - 100.0 >= (CHUNK + 100 - burst) / RATE - 0.001


@pytest.mark.parametrize("is_elastic", [False, True], ids=["held", "elastic"])
def test_large_piece_that_waits_while_the_rate_falls_holds_nobody_up_where_less_will_do(
    is_elastic: bool,
) -> None:
    job = drained(1.25e9)
    big, small = job.queue.lane(), job.queue.lane()
    assert not big.request(1 << 19, nobody, elastic=is_elastic)
    job.queue.set_rate(RATE / 10, BURST)
    assert not small.request(1_000, nobody)
    job.clock.advance(1.0)
    assert not big.waiting
    assert small.waiting is not is_elastic
    assert big.granted_bytes == (job.queue.supply.bulk_bytes if is_elastic else 1 << 19)


def test_quota_of_now_bounds_an_elastic_piece_that_waits() -> None:
    job = drained(1.25e9)
    lane = job.queue.lane()
    assert not lane.request(1 << 19, nobody, elastic=True)
    job.queue.set_quota(job.queue.supply.quota.moved_bytes + (1 << 17))
    job.clock.advance(1.0)
    assert (lane.waiting, job.exhausted) == (False, 0)


def test_piece_follows_the_rate() -> None:
    job = Job(RATE)
    lane = job.queue.lane()
    pieces = [lane.piece_bytes]
    for rate, burst in ((1_000.0, 4_096), (math.inf, 1), (RATE, BURST)):
        job.queue.set_rate(rate, burst)
        pieces.append(lane.piece_bytes)
    assert pieces == [CHUNK, 512, 65_536, CHUNK]


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (math.nan, 1), (1.0, 0)], ids=str)
def test_rate_that_is_none_changes_nothing(rate: float, burst: int) -> None:
    job = Job(RATE)
    with pytest.raises(ValueError, match=r"rate is|burst is"):
        job.queue.set_rate(rate, burst)
    assert job.queue.lane().piece_bytes == CHUNK
    assert job.bucket.rate_bytes_per_s == RATE


def test_change_from_a_callback_applies_to_the_next_grant() -> None:
    job = drained()
    grants: list[float] = []

    def slow_down() -> None:
        grants.append(job.clock.now)
        job.queue.set_rate(RATE / 100, BURST)

    for callback in (slow_down, lambda: grants.append(job.clock.now)):
        job.queue.lane().request(1_250, callback)
    job.clock.advance(0.2)
    assert grants == [pytest.approx(100.001, abs=0.0011), pytest.approx(100.101, abs=0.0021)]


# Quota


@pytest.mark.parametrize("rate", [RATE, math.inf], ids=["limited", "unlimited"])
def test_quota_is_never_exceeded_and_its_end_is_told_once_and_later(rate: float) -> None:
    job = Job(rate, max_bytes=200_000)
    connections = [job.connect(repeat(CHUNK)) for _ in range(3)]
    assert job.exhausted == 0
    job.clock.advance(1.0)
    assert 200_000 - CHUNK < job.got <= 200_000
    assert job.got == job.queue.supply.quota.moved_bytes
    assert job.exhausted == 1
    assert all(connection.lane.waiting for connection in connections)
    assert job.clock.pending == []


@pytest.mark.parametrize("rate", [RATE, math.inf], ids=["limited", "unlimited"])
def test_request_after_the_quota_is_spent_is_not_granted_however_small(rate: float) -> None:
    job = Job(rate, max_bytes=1_000)
    assert not job.queue.lane().request(1_001, pytest.fail)
    late = job.queue.lane()
    assert not late.request(1, pytest.fail)
    job.clock.advance(10.0)
    assert (job.exhausted, late.waiting) == (1, True)
    late.cancel()
    assert job.queue.waiting == 1


def test_quota_used_to_the_byte_has_not_been_exceeded() -> None:
    job = Job(math.inf, max_bytes=1_000)
    lane = job.queue.lane()
    assert lane.request(1_000, nobody)
    job.clock.advance(1.0)
    assert job.exhausted == 0
    assert not lane.request(1, nobody)
    job.clock.advance(1.0)
    assert job.exhausted == 1


@pytest.mark.parametrize("max_bytes", [300_000, 0], ids=["larger", "none"])
def test_larger_quota_lets_the_waiting_go_on(max_bytes: int) -> None:
    job = Job(RATE, max_bytes=100_000)
    connection = job.connect(iter([CHUNK] * 5))
    job.clock.advance(1.0)
    assert not connection.done
    job.queue.set_quota(max_bytes)
    job.clock.advance(1.0)
    assert connection.got == 5 * CHUNK
    assert job.exhausted == 1


def test_smaller_quota_ends_what_waits() -> None:
    job = Job(RATE)
    job.connect(repeat(CHUNK))
    job.clock.advance(0.5)
    before = job.got
    job.queue.set_quota(before - 1)
    job.clock.advance(1.0)
    assert (job.got, job.exhausted) == (before, 1)
    assert job.clock.pending == []
