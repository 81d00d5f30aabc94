"""How a gate ends: with its last connection, or when its time is over (edge).

A worker loads this, and nothing else of a service.
"""

from __future__ import annotations

import asyncio
import contextlib

from jobgate.proxy.gate import Gate


async def outlive(gate: Gate, limit_s: float, stopped: asyncio.Event) -> None:
    """Wait for the end of the last connection, for a signal, or so long as is allowed (0: without limit)."""
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(gate.emptied()), loop.create_task(stopped.wait())]
    await asyncio.wait(waiting, timeout=limit_s or None, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


async def drain(gate: Gate, drain_s: float, insisted: asyncio.Event) -> None:
    """Let the connections of a gate finish; end them when the time is over or somebody insists."""
    loop = asyncio.get_running_loop()
    draining = loop.create_task(gate.close(drain_s))
    waiting = loop.create_task(insisted.wait())
    await asyncio.wait({draining, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not draining.done():
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        draining = loop.create_task(gate.close())
    await draining
