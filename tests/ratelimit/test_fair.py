"""Fair queue: turns, tokens and bounds, in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.ratelimit import default_chunk_bytes
from jobgate.ratelimit.fair import QUIET_BYTES, Lane
from support.clock import VirtualClock
from support.lanes import Connection, Job, jain

RATE = 1_250_000.0
CHUNK = 32_768
MIXED = [1, 64, 536, 1_460, 4_096, 16_384, 32_768]

sizes = st.integers(1, CHUNK)


def nobody() -> None:
    """A callback for requests whose grant does not matter."""


def drained(rate: float = RATE) -> Job:
    """A job whose first burst is spent."""
    job = Job(rate)
    assert job.queue.lane().request(job.burst, nobody)
    return job


def choices(seed: int, among: list[int]) -> Iterator[int]:
    chosen = random.Random(seed)  # noqa: S311  (sizes of a simulation)
    return iter(lambda: chosen.choice(among), None)


# One request at a time


def test_request_with_tokens_and_nobody_waiting_is_granted_at_once() -> None:
    job = Job(RATE)
    lane = job.queue.lane()
    assert lane.request(CHUNK, pytest.fail)
    assert (lane.waiting, lane.waited_s, job.clock.pending) == (False, 0.0, [])


def test_at_once_takes_what_is_there_and_nothing_where_that_is_not_enough() -> None:
    job = drained()
    lane = job.queue.lane()
    job.clock.advance(0.01)  # 12 500 bytes
    assert lane.at_once(12_000)
    assert not lane.at_once(1_000)
    assert lane.at_once(500)
    assert (lane.waiting, job.clock.pending) == (False, [])


def test_at_once_is_for_no_more_than_a_piece() -> None:
    job = Job(RATE)
    lane = job.queue.lane()
    assert not lane.at_once(lane.piece_bytes + 1)
    assert lane.at_once(lane.piece_bytes)


def test_at_once_overtakes_nobody() -> None:
    job = drained()
    first, second = job.queue.lane(), job.queue.lane()
    assert not first.request(12_500, nobody)
    job.clock.now += 0.005  # half of it is there, and the timer has not fired
    assert not second.at_once(1)


@pytest.mark.parametrize("rate", [RATE, math.inf])
def test_at_once_neither_passes_nor_closes_a_quota(rate: float) -> None:
    job = Job(rate, max_bytes=100)
    lane = job.queue.lane()
    assert lane.at_once(60)
    assert not lane.at_once(41)
    assert job.exhausted == 0
    assert lane.at_once(40)
    assert job.queue.supply.quota.moved_bytes == 100


@given(st.lists(st.tuples(sizes, st.booleans(), st.integers(0, 40)), max_size=60))
def test_at_once_counts_as_a_request_does(asked: list[tuple[int, bool, int]]) -> None:
    """Two queues get the same, one of them asked by ``at_once`` first: nobody is served before his turn."""
    plain, quick = Job(RATE), Job(RATE)
    lanes = [(plain.queue.lane(), quick.queue.lane()) for _ in range(2)]
    grants: tuple[list[tuple[float, bool]], ...] = ([], [])

    def noting(job: Job, log: list[tuple[float, bool]], lane: bool) -> Callable[[], None]:
        return lambda: log.append((job.clock.now, lane))

    for size, is_second, pause_ms in asked:
        one, two = lanes[is_second]
        if not one.waiting:
            told = one.request(size, noting(plain, grants[0], is_second))
            also = two.at_once(size) or two.request(size, noting(quick, grants[1], is_second))
            assert told == also
        for job in (plain, quick):
            job.clock.advance(pause_ms / 1000)
        assert one.waiting == two.waiting
        assert one._finish == two._finish
    assert grants[0] == grants[1]
    assert plain.bucket.level(plain.clock.now) == quick.bucket.level(quick.clock.now)


def test_request_without_tokens_is_granted_later_exactly_once() -> None:
    job = drained()
    grants: list[float] = []
    lane = job.queue.lane()
    assert not lane.request(12_500, lambda: grants.append(job.clock.now))
    assert lane.waiting
    job.clock.advance(1.0)
    assert grants == [pytest.approx(100.01)]
    assert lane.waited_s == pytest.approx(0.01)
    assert job.clock.pending == []


def test_second_request_of_a_waiting_lane_is_an_error() -> None:
    lane = drained().queue.lane()
    lane.request(100, nobody)
    with pytest.raises(RuntimeError, match="already waits"):
        lane.request(100, nobody)


@pytest.mark.parametrize("n", [0, -1], ids=str)
def test_request_of_an_impossible_size_is_an_error(n: int) -> None:
    with pytest.raises(ValueError, match=f"asked for {n} bytes, expected at least 1"):
        Job(RATE).queue.lane().request(n, nobody)


def test_request_behind_others_waits_even_if_its_own_tokens_are_there() -> None:
    job = drained()
    first, second = job.queue.lane(), job.queue.lane()
    assert not first.request(CHUNK, nobody)
    job.clock.now += 0.01
    assert not second.request(100, nobody)


def test_waited_s_adds_up_over_requests() -> None:
    job = drained()
    connection = job.connect(repeat(12_500, 5))
    job.clock.advance(1.0)
    assert connection.got == 5 * 12_500
    assert connection.lane.waited_s == pytest.approx(0.05, abs=0.0011)


def test_repr_names_sizes_and_waiting_lanes() -> None:
    job = drained()
    lane = job.queue.lane()
    assert repr(lane) == "<Lane idle, waited 0.000 s>"
    lane.request(100, nobody)
    assert repr(lane) == "<Lane waits for 100 bytes, waited 0.000 s>"
    assert repr(job.queue).startswith("<FairQueue 1 waiting, <TokenBucket 0/65536")


# Cancel, give back, errors, change of rate


def test_cancel_takes_no_tokens_and_lets_the_next_one_go_on() -> None:
    job = drained()
    grants: list[str] = []
    big, small = job.queue.lane(), job.queue.lane()
    big.request(CHUNK, lambda: grants.append("big"))
    small.request(1_250, lambda: grants.append("small"))
    big.cancel()
    job.clock.advance(0.0011)
    assert grants == ["small"]
    job.clock.advance(1.0)
    assert grants == ["small"]
    assert job.bucket.level(job.clock.now) == 65_536


def test_cancel_of_the_last_waiting_lane_leaves_no_timer() -> None:
    job = drained()
    lane = job.queue.lane()
    lane.request(CHUNK, nobody)
    lane.cancel()
    assert job.clock.pending == []
    assert job.queue.waiting == 0


def test_cancel_counts_the_time_waited() -> None:
    job = drained()
    lane = job.queue.lane()
    lane.request(CHUNK, nobody)
    job.clock.advance(0.02)
    lane.cancel()
    assert lane.waited_s == pytest.approx(0.02)


def test_cancel_of_an_idle_lane_changes_nothing() -> None:
    job = drained()
    job.queue.lane().cancel()
    assert job.queue.waiting == 0


def test_lane_can_ask_again_after_cancel() -> None:
    job = drained()
    grants: list[int] = []
    lane = job.queue.lane()
    lane.request(CHUNK, lambda: grants.append(1))
    lane.cancel()
    lane.request(1_250, lambda: grants.append(2))
    job.clock.advance(1.0)
    assert grants == [2]


def test_cancelled_requests_do_not_pile_up() -> None:
    job = drained(8_000.0)
    job.queue.lane().request(CHUNK, nobody)
    for _ in range(10_000):
        lane = job.queue.lane()
        lane.request(CHUNK, nobody)
        lane.cancel()
    assert len(job.queue._heap) <= 65


def test_give_back_lets_a_waiting_lane_go_on_at_once() -> None:
    job = Job(8_000.0)
    aborted, waiting = job.queue.lane(), job.queue.lane()
    assert aborted.request(65_536, nobody)
    grants: list[float] = []
    waiting.request(CHUNK, lambda: grants.append(job.clock.now))
    aborted.give_back(CHUNK)
    job.clock.advance(0.002)
    assert grants == [pytest.approx(100.0, abs=0.0011)]


def test_exception_of_a_callback_leaves_the_queue_working() -> None:
    job = drained()
    grants: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    bad, good = job.queue.lane(), job.queue.lane()
    bad.request(1_000, fail)
    good.request(1_000, lambda: grants.append(1))
    with pytest.raises(ZeroDivisionError):
        job.clock.advance(0.01)
    job.clock.advance(0.01)
    assert grants == [1]
    assert not bad.waiting


def test_callback_may_cancel_and_ask_on_any_lane() -> None:
    job = drained()
    grants: list[str] = []
    first, second, third = job.queue.lane(), job.queue.lane(), job.queue.lane()

    def on_first() -> None:
        grants.append("first")
        second.cancel()
        third.request(500, lambda: grants.append("third"))
        first.request(500, lambda: grants.append("first again"))

    first.request(1_000, on_first)
    second.request(1_000, lambda: grants.append("second"))
    job.clock.advance(0.1)
    assert grants[0] == "first"
    assert sorted(grants) == ["first", "first again", "third"]


def test_lane_that_asks_when_it_is_granted_is_served_in_the_same_turn() -> None:
    job = drained()
    lane, other = job.queue.lane(), job.queue.lane()
    order: list[str] = []

    def ask_again() -> None:
        order.append("first")
        assert not lane.request(1_000, lambda: order.append("again"))

    assert not lane.request(1_000, ask_again)
    assert not other.request(2_000, lambda: order.append("other"))
    job.clock.now += 0.01  # all their tokens are there, the timer has not fired
    job.clock.advance(0.0)
    assert order == ["first", "other", "again"]
    assert (job.queue.waiting, job.clock.pending) == (0, [])


def test_lanes_that_ask_again_and_again_leave_turns_to_others_when_the_rate_is_lifted() -> None:
    job = drained()
    lanes = [job.queue.lane() for _ in range(3)]
    granted = 0

    def ask_again(lane: Lane) -> None:
        nonlocal granted
        granted += 1
        assert granted < 1000, "nobody else has a turn"
        if not lane.request(CHUNK, partial(ask_again, lane)):
            return
        granted += 1

    for lane in lanes:
        assert not lane.request(CHUNK, partial(ask_again, lane))
    job.queue.set_rate(math.inf, 1)
    job.clock.advance(0.001)
    assert 3 <= granted < 30
    before = granted
    job.clock.advance(0.01)
    assert granted > before  # and they go on


def test_many_grants_in_a_row_do_not_nest() -> None:
    job = Job(RATE)
    connection = job.connect(repeat(1, 60_000))
    job.clock.advance(1.0)
    assert connection.got == 60_000


@pytest.mark.parametrize(("rate", "wait_s"), [(12_500.0, 1.0), (12_500_000.0, 0.001)], ids=["down", "up"])
def test_set_rate_applies_to_the_request_that_waits(rate: float, wait_s: float) -> None:
    job = drained()
    grants: list[float] = []
    job.queue.lane().request(12_500, lambda: grants.append(job.clock.now))
    job.queue.set_rate(rate, 65_536)
    job.clock.advance(2.0)
    assert grants == [pytest.approx(100.0 + wait_s, abs=0.0011)]


def test_set_rate_with_a_smaller_burst_still_grants_what_waits() -> None:
    job = drained()
    grants: list[int] = []
    lane = job.queue.lane()
    lane.request(CHUNK, lambda: grants.append(1))
    job.queue.set_rate(RATE, 1_000)
    job.clock.advance(1.0)
    assert grants == [1]


# Bounds


@pytest.mark.parametrize("rate", [8_000.0, 125_000.0, RATE, 12_500_000.0, 125_000_000.0], ids="{:g}".format)
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("step_s", [0.0, 0.001], ids=["exact-clock", "1ms-clock"])
def test_total_is_the_rate_and_no_window_exceeds_the_burst(rate: float, lanes: int, step_s: float) -> None:
    job = Job(rate, clock=VirtualClock(100.0, step_s=step_s))
    chunk = default_chunk_bytes(rate, job.burst, 65_536)
    seconds = max(1.0, 20 * chunk / rate)
    connections = [job.connect(repeat(chunk)) for _ in range(lanes)]
    job.clock.advance(seconds)
    total = sum(connection.got for connection in connections)
    assert job.burst + rate * seconds - chunk - rate * 0.001 <= total <= job.burst + rate * seconds
    assert job.excess() <= job.burst + rate * step_s + 1


def test_total_stays_the_rate_with_late_timers() -> None:
    late = random.Random(5)  # noqa: S311  (lateness of a simulation)
    job = Job(RATE, clock=VirtualClock(100.0, step_s=0.001, late_s=lambda: late.uniform(0.0, 0.02)))
    connections = [job.connect(repeat(CHUNK)) for _ in range(8)]
    job.clock.advance(20.0)
    total = sum(connection.got for connection in connections) - job.burst
    assert total == pytest.approx(RATE * 20.0, rel=0.005)


@pytest.mark.parametrize(
    "rate", [12_500_000.0, 50_000_000.0, 125_000_000.0, 1_250_000_000.0], ids="{:g}".format
)
@pytest.mark.parametrize("lanes", [1, 8])
def test_bulk_in_its_largest_pieces_keeps_every_bound_though_timers_are_late(rate: float, lanes: int) -> None:
    late = random.Random(5)  # noqa: S311  (lateness of a simulation)
    job = Job(rate, clock=VirtualClock(100.0, step_s=0.001, late_s=lambda: late.uniform(0.0, 0.001)))
    piece = job.queue.lane().bulk_bytes
    assert piece <= job.burst // 2
    connections = [job.connect(repeat(piece)) for _ in range(lanes)]
    job.clock.advance(0.5)  # the first burst is of whoever comes first
    before = [connection.got for connection in connections]
    job.clock.advance(4.0)
    shares = [connection.got - past for connection, past in zip(connections, before, strict=True)]
    assert sum(shares) == pytest.approx(rate * 4.0, rel=0.002)
    assert job.excess() <= job.burst + rate * 0.001 + 1
    assert max(shares) - min(shares) <= 2 * piece


@pytest.mark.parametrize(
    "size_of",
    [
        lambda index: repeat(MIXED[1 + index % 6]),
        lambda index: choices(index, MIXED),
        lambda _: repeat(CHUNK),
    ],
    ids=["one-size-each", "random-sizes", "all-32KiB"],
)
@pytest.mark.parametrize("gap_s", [0.0, 0.0003], ids=["at-once", "after-a-gap"])
def test_64_lanes_get_equal_shares_of_the_exact_rate(
    size_of: Callable[[int], Iterator[int]], gap_s: float
) -> None:
    job = Job(RATE, clock=VirtualClock(100.0, step_s=0.001))
    connections = [job.connect(size_of(index), gap_s) for index in range(64)]
    job.clock.advance(2.0)
    before = [connection.got for connection in connections]
    job.clock.advance(10.0)
    shares = [connection.got - past for connection, past in zip(connections, before, strict=True)]
    assert sum(shares) == pytest.approx(RATE * 10.0, rel=0.01)
    assert jain(shares) >= 0.98


def test_lane_of_single_bytes_gets_the_share_of_one_with_large_chunks() -> None:
    job = Job(125_000.0)
    small, large = job.connect(repeat(1)), job.connect(repeat(CHUNK))
    job.clock.advance(5.0)
    assert small.got == pytest.approx(large.got, abs=CHUNK + QUIET_BYTES)


@pytest.mark.parametrize("busy", [1, 8, 64])
def test_quiet_connection_is_served_first_while_busy_ones_saturate(busy: int) -> None:
    job = Job(RATE)
    for _ in range(busy):
        job.connect(repeat(CHUNK))
    job.clock.advance(3.0)
    answers = []
    for _ in range(20):
        answers.append(job.connect(iter([500, 4_000, 10_000]), 0.002))
        job.clock.advance(0.1)
    assert all(answer.got == 14_500 for answer in answers)
    assert max(answer.lane.waited_s for answer in answers) <= 14_500 / RATE + 3 * 0.001 + 1e-6


def test_long_lived_quiet_connection_stays_first() -> None:
    job = Job(RATE)
    for _ in range(16):
        job.connect(repeat(CHUNK))
    job.clock.advance(1.0)
    quiet = job.connect(repeat(1_000), 0.05)
    job.clock.advance(10.0)
    requests = quiet.got / 1_000
    assert quiet.lane.waited_s / requests <= 1_000 / RATE + 0.001


@pytest.mark.parametrize("busy", [1, 8])
def test_endless_new_connections_leave_busy_ones_a_third_of_their_share(busy: int) -> None:
    job = Job(RATE)
    connections = [job.connect(repeat(CHUNK)) for _ in range(busy)]
    visitors: list[Connection] = []

    def visit() -> None:
        """As many new connections as there are busy ones, each replaced as soon as it is done."""
        visitors[:] = [visitor for visitor in visitors if not visitor.done]
        while len(visitors) < busy:
            visitors.append(job.connect(iter([500, 4_000, 10_000])))
        job.clock.call_at(job.clock.now + 0.001, visit)

    visit()
    job.clock.advance(4.0)
    before = [connection.got for connection in connections]
    job.clock.advance(10.0)
    for connection, past in zip(connections, before, strict=True):
        assert connection.got - past >= RATE * 10.0 / (3 * 2 * busy) - CHUNK


@given(st.lists(sizes, min_size=2, max_size=12), st.integers(1, 6), st.floats(0.0, 0.01))
def test_waiting_request_is_overtaken_by_a_bounded_number_of_bytes(
    visits: list[int], busy: int, gap_s: float
) -> None:
    """At most 2 x (chunk + QUIET_BYTES) for each lane that waits at the time."""
    job = Job(RATE)
    for _ in range(busy):
        job.connect(repeat(CHUNK))
    job.clock.advance(0.5)
    victim = job.queue.lane()
    while victim.request(CHUNK, nobody):
        pass
    most_waiting, start = job.queue.waiting, len(job.released)
    while victim.waiting and len(job.released) < 2_000:
        job.connect(islice(visits, len(visits)), gap_s)
        most_waiting = max(most_waiting, job.queue.waiting)
        job.clock.advance(0.01)
    overtaken = sum(n for _, n in job.released[start:])
    assert not victim.waiting
    assert overtaken <= 2 * (most_waiting + 1) * (CHUNK + QUIET_BYTES)


@given(st.data())
def test_random_arrivals_sizes_and_aborts_keep_every_bound(data: st.DataObject) -> None:
    rate = data.draw(st.sampled_from([8_000.0, RATE, 125_000_000.0]))
    job = Job(rate, burst=65_536, clock=VirtualClock(50.0, step_s=data.draw(st.sampled_from([0.0, 0.001]))))
    unit_s = CHUNK / rate
    connections: list[Connection] = []
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["connect", "connect", "abort", "give back", "wait"]))
        if action == "connect":
            connections.append(job.connect(iter(data.draw(st.lists(sizes, max_size=8)))))
        elif connections and action == "abort":
            data.draw(st.sampled_from(connections)).stop()
        elif connections and action == "give back" and job.released:
            n = job.released.pop()[1]
            connections[-1].lane.give_back(n)
        else:
            job.clock.advance(data.draw(st.floats(0.0, 2.0)) * unit_s)
        check_work_conserving(job)
    assert job.excess() <= job.burst + rate * 0.001 + 1
    job.clock.advance(25 * 8 * unit_s + 1.0)
    assert all(connection.done for connection in connections)
    assert job.queue.waiting == 0
    assert job.clock.pending == []


def check_work_conserving(job: Job) -> None:
    """Whoever waits has a timer no later than one step after the tokens are there."""
    if job.queue.waiting == 0:
        return
    due_at = job.queue.due(job.clock.time())
    assert due_at is not None
    assert job.clock.pending[0] <= max(due_at, job.clock.now) + 0.002
    assert len(job.clock.pending) == 1


@given(st.lists(st.tuples(sizes, st.booleans()), min_size=1, max_size=30))
def test_cancel_and_give_back_conserve_tokens(requests: list[tuple[int, bool]]) -> None:
    """At a clock that stands still: burst = tokens there + bytes passed on."""
    job = Job(RATE)
    passed = 0
    for n, aborted in requests:
        lane = job.queue.lane()
        if not lane.request(n, nobody):
            lane.cancel()
        elif aborted:
            lane.give_back(n)
        else:
            passed += n
        assert job.bucket.level(job.clock.now) == job.burst - passed
    assert job.queue.waiting == 0
