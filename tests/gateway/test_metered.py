"""One process: as it is. Several: test_fleet.py."""

from __future__ import annotations

from jobgate.gateway.lag import LoopLag
from jobgate.gateway.metered import metered
from support.clock import VirtualClock
from support.registry import world


async def test_gate_of_one_process_is_read_as_it_is() -> None:
    clock = VirtualClock()
    lag = LoopLag(clock.time, clock.call_at)
    async with world() as made:
        assert metered(made.gate, lag) == (made.gate, lag)
