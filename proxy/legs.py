"""What an exchange moves its bytes between, and how what is held is paid for (edge)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from jobgate.ratelimit.fair import Lane

from .wire import Wire


@dataclass(slots=True)
class Legs:
    """Both sides of an exchange, and this client connection's places in the job's queues."""

    client: Wire
    upstream: Wire
    up_lane: Lane
    down_lane: Lane


async def pay(lane: Lane, amount_bytes: int) -> None:
    """Wait for the tokens of bytes that are held, in pieces that the queue can serve."""
    while amount_bytes > 0:
        n = min(amount_bytes, lane.piece_bytes)
        amount_bytes -= n
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if lane.request(n, partial(_grant, granted)):
            continue
        try:
            await granted
        except asyncio.CancelledError:
            lane.cancel()
            raise


def _grant(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)
