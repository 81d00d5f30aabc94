"""Every bound at once, while rates, quotas, connections and the node's total change at random.

In virtual time; a window may begin and end anywhere, and spans any changes.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobgate.ratelimit import NodeTotal, Pacer
from support.clock import VirtualClock
from support.lanes import Connection, Job

CHUNK = 32_768
BURST = 65_536
NODE_BURST = 131_072
STEP_S = 0.001

rates = st.sampled_from([8_000.0, 125_000.0, 1_250_000.0, 125_000_000.0, math.inf])
bursts = st.sampled_from([1, 1_000, CHUNK, BURST, 500_000])
sizes = st.lists(st.integers(1, CHUNK), max_size=8)


def node_burst(rate: float) -> float:
    return max(NODE_BURST, 0.004 * rate)


class Limits:
    """What was allowed when: rate and burst, from each change on.

    Args:
        released: When, and how much; it grows meanwhile.
    """

    def __init__(self, released: list[tuple[float, int]], at: float, rate: float, burst: float) -> None:
        self._released = released
        self._changes = [(0, at, rate, burst)]

    def change(self, at: float, rate: float, burst: float) -> None:
        self._changes.append((len(self._released), at, rate, burst))

    def check(self, slack: float) -> None:
        """In no window more than the burst at its begin, and the rate in its course.

        An unlimited time ends every window: what follows begins with nothing saved.

        Args:
            slack: For a piece above the burst, and a clock with steps.
        """
        changes = [*self._changes, (len(self._released), math.inf, 1.0, 1.0)]
        left = math.inf  # the least that any window which is still open has left
        last = changes[0][1]
        for (begin, _, rate, burst), (end, until, _, _) in pairwise(changes):
            for at, n in self._released[begin:end]:
                left += rate * (at - last) if at > last else 0.0
                last = at
                left = min(left, burst) - n  # the window that begins here has its burst
                assert math.isinf(rate) or left >= -slack, f"{-left:.0f} bytes too many at {at}"
            left = 0.0 if math.isinf(rate) else left + rate * (until - last)
            last = until


class Node:
    """Jobs under one total, and what was allowed to whom when."""

    def __init__(self, total: float, count: int) -> None:
        self.clock = VirtualClock(50.0, step_s=STEP_S)
        self.pacer = Pacer(self.clock.time, self.clock.call_at)
        self.total = NodeTotal(total, self.pacer)
        self.log: list[tuple[float, int]] = []
        self.total_limits = Limits(self.log, 50.0, total, node_burst(total))
        self.rate = total
        self.jobs = [
            Job(1_250_000.0, burst=BURST, clock=self.clock, pacer=self.pacer, node_log=self.log)
            for _ in range(count)
        ]
        self.limits = [Limits(job.released, 50.0, job.rate, job.burst) for job in self.jobs]
        for job in self.jobs:
            self.total.join(job.queue)

    def set_rate(self, index: int, rate: float, burst: int) -> None:
        job = self.jobs[index]
        job.rate, job.burst = rate, burst
        job.queue.set_rate(rate, burst)
        self.limits[index].change(self.clock.now, rate, burst)

    def set_total(self, rate: float) -> None:
        self.rate = rate
        self.total.set_rate(rate)
        self.total_limits.change(self.clock.now, rate, node_burst(rate))

    def check(self, greatest_rate: float) -> None:
        slack = CHUNK + greatest_rate * STEP_S + 1
        self.total_limits.check(slack)
        for job, limits in zip(self.jobs, self.limits, strict=True):
            limits.check(slack)
            waited_s = sum(connection.lane.waited_s for connection in job.connections)
            assert job.queue.waited_s == pytest.approx(waited_s)
            assert job.queue.supply.quota.moved_bytes == sum(n for _, n in job.released)
            for connection in job.connections:
                assert connection.lane.waited_s == pytest.approx(connection.waited_s)

    def check_work_conserving(self) -> None:
        """Who waits has a timer no later than the tokens, or waits in the node's queue, which has one."""
        for job in self.jobs:
            due_at = job.queue.due(self.clock.time())
            if due_at is not None:
                assert self.clock.pending
                assert self.clock.pending[0] <= max(due_at, self.clock.now) + 2 * STEP_S
        if any(job.queue.waiting and not job.queue.supply.quota.closed for job in self.jobs):
            assert len(self.clock.pending) >= 1


ACTIONS = ["connect", "connect", "connect", "abort", "rate", "total", "wait", "wait"]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_random_jobs_changes_and_aborts_keep_every_bound(data: st.DataObject) -> None:
    node = Node(data.draw(rates), data.draw(st.integers(1, 3)))
    greatest = 1_250_000.0
    connections: list[Connection] = []
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(ACTIONS))
        index = data.draw(st.integers(0, len(node.jobs) - 1))
        if action == "connect":
            gap_s = data.draw(st.sampled_from([0.0, 0.0, 0.01]))
            connections.append(node.jobs[index].connect(iter(data.draw(sizes)), gap_s))
        elif action == "abort" and connections:
            data.draw(st.sampled_from(connections)).stop()
        elif action == "rate":
            node.set_rate(index, data.draw(rates), data.draw(bursts))
        elif action == "total":
            node.set_total(data.draw(rates))
        else:
            node.clock.advance(data.draw(st.sampled_from([0.0, 0.0004, 0.03, 0.5, 4.0])))
        finite = [rate for rate in (node.rate, *(job.rate for job in node.jobs)) if not math.isinf(rate)]
        greatest = max(greatest, *finite) if finite else greatest
        node.check_work_conserving()
    asked = sum(8 * CHUNK for _ in connections)
    node.clock.advance(2 * asked / min(node.rate, *(job.rate for job in node.jobs)) + 1.0)
    assert all(connection.done for connection in connections)
    assert all(job.queue.waiting == 0 for job in node.jobs)
    assert node.clock.pending == []
    node.check(greatest)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, CHUNK), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 400_000),
    rates,
    st.booleans(),
)
def test_quota_is_never_exceeded_and_ends_less_than_a_piece_below(
    wishes: list[list[int]], max_bytes: int, rate: float, is_aborted: bool
) -> None:
    job = Job(rate, burst=BURST, max_bytes=max_bytes)
    connections = [job.connect(iter(wish)) for wish in wishes]
    if is_aborted:
        connections[0].stop()
        wishes = wishes[1:]
    job.clock.advance(sum(map(sum, wishes)) / min(rate, 1e9) + 1.0)
    quota = job.queue.supply.quota
    assert job.got == quota.moved_bytes <= max_bytes
    if job.exhausted:
        assert job.exhausted == 1
        assert max_bytes - job.got < CHUNK
    else:
        assert all(connection.done for connection in connections)
    assert job.clock.pending == []


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.001, 0.05), st.integers(1, CHUNK)), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_connection_that_stalls_holds_neither_tokens_nor_the_queue(
    stalls: list[tuple[float, int]], busy: int
) -> None:
    """Whatever one connection does with its grants, the others get all that it leaves."""
    job = Job(1_250_000.0)
    others = [job.connect(iter(lambda: CHUNK, None)) for _ in range(busy)]
    lazy = iter(stalls)
    job.connect(iter([n for _, n in stalls]), next(lazy)[0])
    start, before = job.clock.now, len(job.released)
    job.clock.advance(2.0)
    passed = sum(n for _, n in job.released[before:])
    assert passed == pytest.approx(1_250_000.0 * (job.clock.now - start), rel=0.01, abs=CHUNK)
    assert all(other.lane.waiting for other in others)
