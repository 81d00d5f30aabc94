"""The node's total, on top of each job's own rate: bound, fairness, work conservation."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobgate.ratelimit import NodeTotal, Pacer
from support.clock import VirtualClock
from support.lanes import Connection, Job, jain

TOTAL = 2_500_000.0
CHUNK = 32_768
#: Of the node at this rate: two pieces of a job without a rate.
BURST = 131_072


def nobody() -> None:
    """A callback for requests whose grant does not matter."""


class Node:
    """Jobs under one total, in virtual time."""

    def __init__(self, total: float, rates: Sequence[float], *, step_s: float = 0.0) -> None:
        self.clock = VirtualClock(100.0, step_s=step_s)
        self.pacer = Pacer(self.clock.time, self.clock.call_at)
        self.total = NodeTotal(total, self.pacer)
        self.jobs = [Job(rate, clock=self.clock, pacer=self.pacer) for rate in rates]
        for job in self.jobs:
            self.total.join(job.queue)

    def shares(self, seconds: float) -> list[int]:
        """Say what each job gets in so many seconds."""
        before = [job.got for job in self.jobs]
        self.clock.advance(seconds)
        return [job.got - past for job, past in zip(self.jobs, before, strict=True)]

    def excess(self, rate: float) -> float:
        """Most bytes above ``rate x t`` that all jobs together released in any window."""
        together = Job(rate, clock=self.clock, pacer=self.pacer)
        together.released = sorted(entry for job in self.jobs for entry in job.released)
        return together.excess()


def random_sizes(seed: int, most: int = CHUNK) -> Iterator[int]:
    chosen = random.Random(seed)  # noqa: S311  (sizes of a simulation)
    return iter(lambda: chosen.randint(1, most), None)


def fair_shares(rates: Sequence[float], total: float) -> list[float]:
    """Fill all rates evenly until the total is used up: the max-min fair allocation."""
    shares = [0.0] * len(rates)
    left, order = total, sorted(range(len(rates)), key=rates.__getitem__)
    for rank, index in enumerate(order):
        shares[index] = min(rates[index], left / (len(order) - rank))
        left -= shares[index]
    return shares


def test_without_a_limit_jobs_do_not_meet_here() -> None:
    node = Node(math.inf, [math.inf, TOTAL])
    free, limited = node.jobs
    assert free.queue.supply.free
    assert limited.queue.lane().request(CHUNK, nobody)
    free.connect(iter([CHUNK] * 1_000))
    assert free.got == 1_000 * CHUNK


@pytest.mark.parametrize("lanes", [[1, 1], [1, 8], [1, 16, 64]], ids=str)
def test_busy_jobs_get_equal_shares_whatever_their_number_of_connections(lanes: list[int]) -> None:
    node = Node(TOTAL, [math.inf] * len(lanes), step_s=0.001)
    for seed, (job, count) in enumerate(zip(node.jobs, lanes, strict=True)):
        for number in range(count):
            job.connect(random_sizes(seed * 100 + number))
    node.shares(1.0)
    shares = node.shares(10.0)
    assert jain(shares) >= 0.9999
    assert sum(shares) == pytest.approx(TOTAL * 10.0, rel=0.005)


def test_connections_of_one_job_share_what_it_gets() -> None:
    node = Node(TOTAL, [math.inf, math.inf])
    for job in node.jobs:
        for number in range(16):
            job.connect(random_sizes(number))
    node.shares(1.0)
    before = [connection.got for connection in node.jobs[0].connections]
    node.shares(10.0)
    after = [connection.got for connection in node.jobs[0].connections]
    assert jain([now - past for now, past in zip(after, before, strict=True)]) >= 0.98


@pytest.mark.parametrize(
    "rates",
    [
        [100_000.0, 1_250_000.0, 1_250_000.0, math.inf],
        [8_000.0, 8_000.0, math.inf],
        [400_000.0] * 5 + [4_000_000.0] * 3,
        [1_250_000.0, 1_250_000.0],
        [1_000_000.0],
    ],
    ids=["mixed", "slow-ones-and-a-free-one", "many", "exactly-the-total", "less-than-the-total"],
)
def test_what_one_job_cannot_use_goes_to_the_others(rates: list[float]) -> None:
    node = Node(TOTAL, rates, step_s=0.001)
    for job in node.jobs:
        job.connect(repeat(min(CHUNK, job.queue.supply.piece_bytes)))
        job.connect(repeat(1_460))
    node.shares(4.0)
    for got, fair in zip(node.shares(20.0), fair_shares(rates, TOTAL), strict=True):
        assert got == pytest.approx(fair * 20.0, rel=0.01, abs=2 * CHUNK)


def test_job_alone_gets_all_and_gives_way_at_once() -> None:
    node = Node(TOTAL, [math.inf, math.inf])
    node.jobs[0].connect(repeat(CHUNK))
    node.shares(1.0)
    assert node.shares(4.0)[0] == pytest.approx(TOTAL * 4.0, rel=0.01)
    node.jobs[1].connect(repeat(CHUNK))
    assert node.shares(4.0) == [pytest.approx(TOTAL * 2.0, rel=0.02)] * 2


@pytest.mark.parametrize("busy", [1, 8, 64])
def test_quiet_job_is_served_first_while_others_saturate_the_node(busy: int) -> None:
    """Quiet is who takes less than a fair share: here half of it."""
    node = Node(TOTAL, [math.inf] * busy + [TOTAL])
    for job in node.jobs[:-1]:
        job.connect(repeat(CHUNK))
    node.shares(3.0)
    answers: list[Connection] = []
    for _ in range(20):
        answers.append(node.jobs[-1].connect(iter([500, 4_000, 10_000]), 0.002))
        node.clock.advance(2 * 14_500 * (busy + 1) / TOTAL)
    assert all(answer.got == 14_500 for answer in answers)
    assert max(answer.lane.waited_s for answer in answers) <= 14_500 / TOTAL + 3 * 0.001 + 1e-6


def test_small_pieces_of_one_job_use_all_of_a_fast_total() -> None:
    node = Node(12_500_000.0, [math.inf])
    for _ in range(16):
        node.jobs[0].connect(repeat(1_460))
    node.shares(0.1)
    assert node.shares(1.0)[0] == pytest.approx(12_500_000.0, rel=0.01)


def test_quota_that_shrinks_while_the_node_is_waited_for_is_not_exceeded() -> None:
    node = Node(8_000.0, [math.inf])
    job = node.jobs[0]
    assert job.queue.lane().request(BURST, nobody)
    waiting = job.queue.lane()
    assert not waiting.request(800, pytest.fail)
    job.queue.set_quota(BURST + 799)
    node.clock.advance(1.0)
    assert (job.exhausted, waiting.waiting) == (1, True)
    assert job.queue.supply.quota.moved_bytes == BURST
    assert node.clock.pending == []


def test_aborted_connection_takes_no_tokens_of_the_node_along() -> None:
    node = Node(TOTAL, [math.inf, math.inf])
    first, second = (job.queue.lane() for job in node.jobs)
    assert first.request(BURST, nobody)
    grants: list[float] = []
    first.request(CHUNK, lambda: pytest.fail("was aborted"))
    second.request(CHUNK, lambda: grants.append(node.clock.now))
    first.cancel()
    node.clock.advance(1.0)
    assert grants == [pytest.approx(100.0 + CHUNK / TOTAL, abs=0.0021)]


def test_give_back_returns_tokens_of_the_node() -> None:
    node = Node(8_000.0, [math.inf, math.inf])
    first, second = (job.queue.lane() for job in node.jobs)
    assert first.request(BURST, nobody)
    grants: list[float] = []
    second.request(CHUNK, lambda: grants.append(node.clock.now))
    first.give_back(CHUNK)
    node.clock.advance(0.0021)
    assert len(grants) == 1


def test_job_that_may_not_go_on_leaves_the_node_to_others() -> None:
    """Its own tokens are spent: it does not stand in the node's queue meanwhile."""
    node = Node(TOTAL, [8_000.0, math.inf])
    slow, fast = node.jobs
    slow.connect(repeat(CHUNK))
    fast.connect(repeat(CHUNK))
    node.shares(1.0)
    assert node.shares(4.0)[1] == pytest.approx((TOTAL - 8_000.0) * 4.0, rel=0.02)


def test_smaller_first_request_takes_the_place_of_a_larger_one() -> None:
    node = Node(TOTAL, [math.inf])
    bulk = node.jobs[0].connect(repeat(CHUNK))
    node.shares(1.0)
    assert bulk.lane.waiting
    small = node.jobs[0].queue.lane()
    assert not small.request(30_000, nobody)
    bulk_before = bulk.got
    node.clock.advance(30_000 / TOTAL + 0.001)
    assert (small.waiting, bulk.got) == (False, bulk_before)
    assert node.shares(4.0)[0] == pytest.approx(TOTAL * 4.0, rel=0.01)


def test_request_granted_ahead_of_the_first_one_does_not_make_it_forgotten() -> None:
    node = Node(TOTAL, [math.inf])
    bulk, small = (node.jobs[0].queue.lane() for _ in range(2))
    assert bulk.request(BURST, nobody)
    node.clock.advance(0.005)
    grants: list[float] = []
    assert not bulk.request(CHUNK, lambda: grants.append(node.clock.now))
    assert small.request(12, nobody)
    node.clock.advance(1.0)
    assert grants == [pytest.approx(100.0 + (CHUNK + 12) / TOTAL, abs=0.0011)]


def test_exception_of_a_callback_leaves_both_queues_working() -> None:
    node = Node(TOTAL, [math.inf, math.inf])
    assert node.jobs[0].queue.lane().request(BURST, nobody)

    def fail() -> None:
        raise ZeroDivisionError

    grants: list[str] = []
    first, second = (job.queue for job in node.jobs)
    first.lane().request(1_000, fail)
    first.lane().request(1_000, lambda: grants.append("same job"))
    second.lane().request(1_000, lambda: grants.append("other job"))
    with pytest.raises(ZeroDivisionError):
        node.clock.advance(0.01)
    node.clock.advance(0.01)
    assert sorted(grants) == ["other job", "same job"]


@pytest.mark.parametrize("rate", [TOTAL / 4, TOTAL * 4], ids=["down", "up"])
def test_set_rate_applies_to_what_waits(rate: float) -> None:
    node = Node(TOTAL, [math.inf, math.inf])
    for job in node.jobs:
        job.connect(repeat(CHUNK))
    node.shares(1.0)
    node.total.set_rate(rate)
    assert sum(node.shares(2.0)) == pytest.approx(rate * 2.0, rel=0.02)


def test_set_rate_to_and_from_unlimited() -> None:
    node = Node(TOTAL, [1_250_000.0, math.inf])
    for job in node.jobs:
        job.connect(repeat(CHUNK), 0.0005)
    node.shares(1.0)
    node.total.set_rate(math.inf)
    limited, free = node.shares(2.0)
    assert limited == pytest.approx(1_250_000.0 * 2.0, rel=0.02)
    assert free == pytest.approx(2.0 / 0.0005 * CHUNK, rel=0.01)
    node.total.set_rate(TOTAL)
    assert node.shares(4.0) == [pytest.approx(TOTAL * 2.0, rel=0.02)] * 2


def test_job_that_leaves_is_bounded_no_longer_and_bounds_nobody() -> None:
    node = Node(8_000.0, [math.inf, math.inf])
    leaving, staying = node.jobs
    assert staying.queue.lane().request(BURST, nobody)
    leaver = leaving.connect(iter([CHUNK] * 10))
    stayer = staying.connect(repeat(800))
    node.total.leave(leaving.queue)
    node.clock.advance(1.0)
    assert leaver.done
    assert stayer.got == pytest.approx(8_000, abs=800)
    for rate in (math.inf, 1_000.0):
        node.total.set_rate(rate)
        assert leaving.queue.supply.free


rates_of_jobs = st.lists(
    st.sampled_from([8_000.0, 200_000.0, 1_250_000.0, 12_500_000.0, math.inf]), min_size=1, max_size=5
)


@settings(deadline=None, max_examples=60)
@given(rates_of_jobs, st.sampled_from([100_000.0, TOTAL, 12_500_000.0]), st.integers(1, 5), st.data())
def test_any_mix_of_jobs_gets_the_max_min_fair_shares_of_the_exact_total(
    rates: list[float], total: float, lanes: int, data: st.DataObject
) -> None:
    node = Node(total, rates, step_s=data.draw(st.sampled_from([0.0, 0.001])))
    for index, job in enumerate(node.jobs):
        for number in range(data.draw(st.integers(1, lanes))):
            job.connect(random_sizes(index * 10 + number))
    seconds = 150 * CHUNK / total
    node.shares(2 * seconds)
    for got, fair in zip(node.shares(3 * seconds), fair_shares(rates, total), strict=True):
        assert got == pytest.approx(fair * 3 * seconds, rel=0.02, abs=4 * CHUNK)
    assert node.excess(total) <= BURST + total * 0.001 + 1
    for job in node.jobs:
        assert math.isinf(job.rate) or job.excess() <= job.burst + job.rate * 0.001 + 1


def test_jobs_that_wait_for_the_node_alone_are_counted() -> None:
    node = Node(TOTAL, [math.inf, math.inf])
    assert node.total.waiting == 0
    for job in node.jobs:
        for _ in range(20):
            job.queue.lane().request(CHUNK, nobody)
    assert node.total.waiting == 2


def test_at_once_asks_the_node_for_nothing() -> None:
    node = Node(TOTAL, [math.inf, 1_250_000.0])
    for job in node.jobs:
        assert not job.queue.lane().at_once(1)
    assert node.clock.pending == []
