"""One change after another, each to its end (edge)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """A queue of changes that must not mix.

    Attributes:
        refusal: Raised for every change whose turn comes from now on.
    """

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, change: Coroutine[object, object, T]) -> T:
        """Make a change when it is its turn. It goes on even if nobody waits for it any more."""

        async def in_turn() -> T:
            async with self._lock:
                if self.refusal is not None:
                    change.close()
                    raise self.refusal
                return await change

        task = asyncio.get_running_loop().create_task(in_turn())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Let no change happen inside the block."""
        async with self._lock:
            yield
