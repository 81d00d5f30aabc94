from __future__ import annotations

import pytest

from jobgate.config.host import Authority, Name
from jobgate.proxy.pool import IdleBudget, Kept, UpstreamPool
from support.wait import until
from support.wires import FakeWire

A = Authority(Name("a.test"), 80)
B = Authority(Name("b.test"), 80)


async def test_take_returns_the_connection_kept_last_for_that_authority() -> None:
    pool = UpstreamPool(60.0, IdleBudget(100))
    first, second = Kept(pool, A, FakeWire(), "192.0.2.1"), Kept(pool, A, FakeWire(), "192.0.2.2")
    for kept in (first, second, Kept(pool, B, FakeWire(), "192.0.2.3")):
        pool.keep(kept)
    assert pool.take(A) is second
    assert pool.take(A) is first
    assert pool.take(A) is None
    assert len(pool) == 1
    assert first.wire.reader is None
    pool.close()


async def test_connection_that_was_used_again_is_kept_as_a_new_one() -> None:
    budget = IdleBudget(2)
    pool = UpstreamPool(60.0, budget)
    kept, other = Kept(pool, A, FakeWire(), "192.0.2.1"), Kept(pool, A, FakeWire(), "192.0.2.1")
    pool.keep(other)
    pool.keep(kept)
    assert pool.take(A) is kept
    assert (len(pool), budget.left) == (1, 1)
    kept.until = 0.0
    pool.keep(kept)
    assert (len(pool), budget.left) == (2, 0)
    assert kept.until >= other.until
    assert kept.wire.reader is kept
    pool.close()
    assert budget.left == 2


async def test_contains_says_whether_a_connection_is_idle() -> None:
    pool = UpstreamPool(60.0, IdleBudget(100))
    for _ in range(2):
        pool.keep(Kept(pool, A, FakeWire(), "192.0.2.1"))
    found = []
    while A in pool:
        found.append(B in pool)
        pool.take(A)
    assert found == [False, False]


@pytest.mark.parametrize(
    "state", ["at_eof", "is_lost", "blocked", "inbox"], ids=["ended", "reset", "blocked", "said-too-much"]
)
async def test_keep_refuses_a_wire_that_is_not_at_a_boundary(state: str) -> None:
    pool = UpstreamPool(60.0, IdleBudget(100))
    wire = FakeWire()
    setattr(wire, state, bytearray(b"x") if state == "inbox" else True)
    pool.keep(Kept(pool, A, wire, "192.0.2.1"))
    assert wire.calls == ["abort"]
    assert pool.take(A) is None


@pytest.mark.parametrize("event", ["arrive", "end", "break_"])
async def test_anything_that_happens_while_idle_ends_the_connection(event: str) -> None:
    pool = UpstreamPool(60.0, IdleBudget(100))
    wire = FakeWire()
    pool.keep(Kept(pool, A, wire, "192.0.2.1"))
    if event == "arrive":
        wire.arrive(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        getattr(wire, event)()
    assert wire.calls == ["abort"]
    assert pool.take(A) is None


async def test_idle_connections_are_bounded_and_the_oldest_goes() -> None:
    pool = UpstreamPool(60.0, IdleBudget(100), max_idle=2)
    wires = [FakeWire() for _ in range(3)]
    for wire in wires:
        pool.keep(Kept(pool, A, wire, "192.0.2.1"))
    assert [wire.calls for wire in wires] == [["abort"], [], []]
    pool.close()
    assert len(pool) == 0
    assert wires[2].calls == ["abort"]


async def test_an_idle_connection_expires() -> None:
    pool = UpstreamPool(0.01, IdleBudget(100))
    wire = FakeWire()
    pool.keep(Kept(pool, A, wire, "192.0.2.1"))
    await until(lambda: not len(pool))
    assert wire.calls == ["abort"]


async def test_shorter_time_is_for_what_is_kept_from_then_on() -> None:
    pool = UpstreamPool(600.0, IdleBudget(100))
    before, after = FakeWire(), FakeWire()
    pool.keep(Kept(pool, A, before, "192.0.2.1"))
    pool.keepalive_s = 0.01
    pool.keep(Kept(pool, A, after, "192.0.2.1"))
    await until(lambda: len(pool) == 1)
    assert (before.calls, after.calls) == ([], ["abort"])
    pool.close()


async def test_all_jobs_together_keep_no_more_than_the_budget() -> None:
    budget = IdleBudget(2)
    mine, other = UpstreamPool(60.0, budget), UpstreamPool(60.0, budget)
    wires = [FakeWire() for _ in range(4)]
    mine.keep(Kept(mine, A, wires[0], "192.0.2.1"))
    mine.keep(Kept(mine, A, wires[1], "192.0.2.1"))
    other.keep(Kept(other, A, wires[2], "192.0.2.1"))
    assert wires[2].calls == ["abort"]
    mine.keep(Kept(mine, B, wires[3], "192.0.2.1"))  # replaces one of its own
    assert [wire.calls for wire in wires] == [["abort"], [], ["abort"], []]
    mine.close()
    other.close()
    assert budget.left == 2
