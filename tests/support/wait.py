"""Waiting for conditions: nobody sleeps, everybody has a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

#: Far above anything a loopback exchange needs, far below the limit of a test.
DEADLINE_S = 8.0
#: Between two looks at another process.
LOOK_S = 0.02


class Changes:
    """Wakes whoever waits for a condition, each time something changed."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Let every waiter look at its condition again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Return once the condition holds.

        Raises:
            TimeoutError: It did not within ``deadline_s``.
        """
        async with asyncio.timeout(deadline_s):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                await waiter


async def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds, looking at each turn of the loop: for what notifies nobody.

    Raises:
        TimeoutError: It did not within ``deadline_s``.
    """
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0)


def wait_until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; for tests of other processes, without a loop.

    Raises:
        TimeoutError: It did not within ``deadline_s``.
    """
    last = time.monotonic() + deadline_s
    never = threading.Event()
    while not condition():
        if time.monotonic() > last:
            raise TimeoutError
        never.wait(0.01)


async def until_seen(condition: Callable[[], bool], deadline_s: float = 4 * DEADLINE_S) -> None:
    """Return once the condition holds of what other processes do: looked at now and then, they need the core.

    Raises:
        TimeoutError: It did not within ``deadline_s``.
    """
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.wait({never}, timeout=LOOK_S)
