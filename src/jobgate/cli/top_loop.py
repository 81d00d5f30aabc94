"""Looks at the jobs again and again, and has what it sees drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .top_model import Look, Refusal, Row, rows_of, sorted_rows

MOST_REFUSED_JOBS = 5
"""Jobs whose refusals are asked for: those with the most."""

KEYS = {"i": "id", "d": "down", "u": "up", "c": "connections", "w": "waiting", "r": "refused"}
HELP = "Sort: d down, u up, c connections, w waiting, r refused, i id. q quits."


class Unreachable(Exception):
    """The gateway does not answer, or says no; the text says what to do."""


class Source(Protocol):
    """Where looks come from."""

    async def looks(self) -> tuple[float, list[Look]]:
        """Look at all jobs; with the time of the look in seconds.

        Raises:
            Unreachable: There is no answer.
        """

    async def refusals(self, job_ids: Sequence[str]) -> list[Refusal]:
        """What was refused to these jobs.

        Raises:
            Unreachable: There is no answer.
        """


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to draw.

    Attributes:
        note: What is wrong; empty: nothing.
    """

    at: float = 0.0
    rows: Sequence[Row] = ()
    refusals: Sequence[Refusal] = ()
    note: str = ""


class Top:
    """The state between two looks.

    Args:
        source: Where looks come from.
        sort: One of ``SORTS`` of ``top_model.py``.
    """

    def __init__(self, source: Source, sort: str) -> None:
        self.picture = Picture()
        self.over = asyncio.Event()
        self._source = source
        self._sort = sort
        self._before: dict[str, Look] = {}

    async def look(self) -> None:
        """Look once; the first look shows totals and no rates yet.

        Raises:
            Unreachable: There is no answer; the picture stays.
        """
        at, looks = await self._source.looks()
        rows = rows_of(self._before, looks, at - self.picture.at)
        most = sorted((look for look in looks if look.refused), key=lambda look: -look.refused)
        refusals = await self._source.refusals([look.id for look in most[:MOST_REFUSED_JOBS]])
        refusals.sort(key=lambda refusal: (-refusal.times, refusal.authority, refusal.job))
        self._before = {look.id: look for look in looks}
        self.picture = Picture(at, sorted_rows(rows, self._sort), refusals)

    async def once(self, interval_s: float) -> None:
        """Look twice, so that there are rates.

        Raises:
            Unreachable: There is no answer.
        """
        await self.look()
        await asyncio.sleep(interval_s)
        await self.look()

    async def run(self, draw: Callable[[Picture], None], interval_s: float) -> None:
        """Look and draw until it is over; a gateway that does not answer any more is asked on.

        Raises:
            Unreachable: There was no answer to the first look.
        """
        while not self.over.is_set():
            try:
                await self.look()
            except Unreachable as error:
                if not self.picture.at:
                    raise
                self.picture = Picture(
                    self.picture.at, self.picture.rows, self.picture.refusals, f"{error} (trying again)"
                )
            draw(self.picture)
            try:
                async with asyncio.timeout(interval_s):
                    await self.over.wait()
            except TimeoutError:
                continue

    def press(self, key: str) -> bool:
        """Obey a key; say whether the picture is another one now."""
        if key == "q":
            self.over.set()
        if key not in KEYS:
            return False
        self._sort = KEYS[key]
        picture = self.picture
        rows = sorted_rows(picture.rows, self._sort)
        self.picture = Picture(picture.at, rows, picture.refusals, picture.note)
        return True
