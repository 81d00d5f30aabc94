"""One change after another, each to its end (edge)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


async def _nothing() -> None:
    return


class Turns:
    """A queue of changes that must not mix.

    Args:
        before: Awaited before each change.
        after: Awaited after each one, whether it was made or not.

    Attributes:
        refusal: Raised for every change whose turn comes from now on.
    """

    def __init__(
        self,
        before: Callable[[], Awaitable[None]] = _nothing,
        after: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._before = before
        self._after = after
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
                await self._before()
                try:
                    return await change
                finally:
                    await self._after()

        task = asyncio.get_running_loop().create_task(in_turn())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Let no change happen inside the block."""
        async with self._lock:
            yield
