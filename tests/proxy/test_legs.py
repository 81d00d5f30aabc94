from __future__ import annotations

import asyncio

import pytest

from jobgate.proxy.direction import Direction
from jobgate.proxy.legs import pay
from jobgate.ratelimit.fair import Lane
from jobgate.ratelimit.pacer import Pacer
from support.clock import VirtualClock
from support.lanes import free_lane
from support.narrow import turns


class Bucket:
    """A direction of 1 000 bytes/s with a burst of 100 bytes; a piece is half of that."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        scratch = memoryview(bytearray(4096))
        self.direction = Direction(1000.0, 100, scratch, Pacer(self.clock.time, self.clock.call_at))
        self.lane = self.direction.lane()


async def paid_at_once(lane: Lane, amount_bytes: int) -> bool:
    """Pay without letting time go by."""
    paying = asyncio.ensure_future(pay(lane, amount_bytes))
    await turns(5)
    return not paying.cancel()


async def test_without_a_limit_nobody_waits() -> None:
    assert await paid_at_once(free_lane(), 10_000_000)


@pytest.mark.parametrize("amount", [0, 1, 99, 100], ids=["nothing", "a-byte", "less", "burst"])
async def test_what_the_burst_covers_is_paid_at_once(amount: int) -> None:
    bucket = Bucket()
    assert await paid_at_once(bucket.lane, amount)
    assert bucket.direction.moved_bytes == amount


async def test_more_than_the_burst_is_paid_in_pieces_as_tokens_come() -> None:
    bucket = Bucket()
    paying = asyncio.ensure_future(pay(bucket.lane, 260))
    for moved_bytes in (100, 150, 200, 250, 260):
        await turns(5)
        assert bucket.direction.moved_bytes == moved_bytes
        assert paying.done() == (moved_bytes == 260)
        bucket.clock.advance(0.052)


async def test_who_gives_up_leaves_the_queue_to_the_others() -> None:
    bucket = Bucket()
    assert not await paid_at_once(bucket.lane, 150)
    await turns(5)
    assert bucket.direction.waiting == 0
    other = asyncio.ensure_future(pay(bucket.direction.lane(), 50))
    await turns(5)
    bucket.clock.advance(0.05)
    await turns(5)
    assert other.done()
