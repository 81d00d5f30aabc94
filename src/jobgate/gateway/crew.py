"""All workers together, and which of them serves which job (edge)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .hand import SETTLE_S, Hand

#: For a worker to end, when its connections have.
CLOSE_S = 10.0


class Crew:
    """The workers of a gate.

    Args:
        hands: At least one; in the order of their numbers.
    """

    def __init__(self, hands: Sequence[Hand]) -> None:
        self._hands = hands
        self._owners: dict[str, Hand] = {}

    def __iter__(self) -> Iterator[Hand]:
        return iter(self._hands)

    def __len__(self) -> int:
        return len(self._hands)

    # --- jobs -------------------------------------------------------------------------

    def assign(self, job_id: str) -> Hand:
        """Give a new job to the worker that has the fewest."""
        loads = Counter(self._owners.values())
        hand = self._owners[job_id] = min(self._hands, key=lambda hand: (loads[hand], hand.number))
        return hand

    def owner(self, job_id: str) -> Hand:
        """Say who serves a job.

        Raises:
            KeyError: There is no such job.
        """
        return self._owners[job_id]

    def release(self, job_id: str) -> Hand:
        """Forget a job; who has served it."""
        return self._owners.pop(job_id)

    def owned_by(self, hand: Hand) -> list[str]:
        """The jobs of a worker, by id."""
        return [job_id for job_id, owner in self._owners.items() if owner is hand]

    # --- all together -----------------------------------------------------------------

    async def start(self) -> list[int]:
        """Start all of them at once; their process ids.

        Raises:
            WorkerError: One of them does not come up.
        """
        begun = await asyncio.gather(*(hand.start() for hand in self._hands), return_exceptions=True)
        for outcome in begun:
            if isinstance(outcome, BaseException):
                raise outcome
        return [hand.pid for hand in self._hands]

    def tell(self, body: Mapping[str, object]) -> None:
        """Tell all of them something."""
        for hand in self._hands:
            hand.post(body)

    async def settled(self) -> None:
        """Return when all that was told is done."""
        await asyncio.gather(*(hand.ask({}, SETTLE_S) for hand in self._hands))

    def retire(self) -> None:
        """Start none of them again."""
        for hand in self._hands:
            hand.retire()

    def dismiss(self, drain_s: float) -> list[Hand]:
        """Have them end when their connections have, or so much later; those that are there."""
        alive = [hand for hand in self._hands if hand.is_up]
        for hand in self._hands:
            hand.expect_end()
            hand.post({"close": float(drain_s)})
        return alive

    async def gone(self, alive: Sequence[Hand], drain_s: float) -> None:
        """Return when those have ended that were dismissed; kill who takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s + CLOSE_S):
                await asyncio.gather(*(hand.ended() for hand in alive))
        for hand in self._hands:
            await hand.kill()
