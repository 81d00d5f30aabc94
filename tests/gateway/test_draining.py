from __future__ import annotations

import asyncio

from jobgate.gateway.draining import drain, outlive
from jobgate.proxy.gate import Gate


class Lasting(Gate):
    """A gate whose last connection ends when it is told, or when it is closed without patience."""

    def __init__(self) -> None:
        self.empty = asyncio.Event()
        self.closed: list[float] = []

    async def emptied(self) -> None:
        await self.empty.wait()

    async def close(self, drain_s: float = 0.0) -> None:
        self.closed.append(drain_s)
        if drain_s:
            await self.empty.wait()


async def test_gate_is_outlived_until_its_last_connection_has_ended() -> None:
    gate = Lasting()
    waiting = asyncio.ensure_future(outlive(gate, 0.0, asyncio.Event()))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.empty.set()
    await waiting


async def test_gate_is_outlived_no_longer_than_until_a_signal_or_its_limit() -> None:
    stopped = asyncio.Event()
    stopped.set()
    await outlive(Lasting(), 0.0, stopped)
    await outlive(Lasting(), 1e-6, asyncio.Event())


async def test_drain_waits_for_what_runs() -> None:
    gate = Lasting()
    draining = asyncio.ensure_future(drain(gate, 30.0, asyncio.Event()))
    await asyncio.sleep(0)
    gate.empty.set()
    await draining
    assert gate.closed == [30.0]


async def test_drain_that_is_insisted_on_waits_no_more() -> None:
    gate, insisted = Lasting(), asyncio.Event()
    draining = asyncio.ensure_future(drain(gate, 30.0, insisted))
    await asyncio.sleep(0)
    insisted.set()
    await draining
    assert gate.closed == [30.0, 0.0]
