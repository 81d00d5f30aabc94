"""The node's rates among workers, by what their jobs want. Pure.

Max-min fair by jobs: a worker that wants less than its part gets what it wants, with room to
grow; what is left is shared by the others in proportion to how many of their jobs are busy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Of an equal part: what a worker without traffic keeps, so that a first request does not wait.
LEAST_PART = 0.1
#: What is wanted grows by so much a second until the node's rate is what holds it back.
GROWTH = 1.5


#: Looked at once a second, by a timer that may be early.
EVERY_S = 0.9
#: What uses so much of its part is held back by it.
FULL = 0.9


class Wish(NamedTuple):
    """What one worker wants of a rate.

    Attributes:
        bytes_per_s: What its jobs moved.
        jobs: How many of them are busy.
        held_back: The node's rate is what holds them back.
    """

    bytes_per_s: float
    jobs: int
    held_back: bool


class Load(NamedTuple):
    """What one job does.

    Attributes:
        worker: Who serves it, from 0.
        moved_bytes: Up and down, until now.
        waiting: Connections that are held back, up and down.
    """

    job: str
    worker: int
    moved_bytes: tuple[int, int]
    waiting: tuple[int, int]


class Apportionment:
    """The parts of all workers, and what they were found by.

    Args:
        workers: How many.
        now: Seconds.

    Attributes:
        parts: Of each worker, up and down.
    """

    def __init__(self, workers: int, now: float) -> None:
        self.parts = [(1 / workers, 1 / workers)] * workers
        self._looked_at = now
        self._moved: dict[str, tuple[int, int]] = {}

    def look(
        self,
        now: float,
        rates: tuple[float, float],
        loads: Iterable[Load],
        held_back: Sequence[tuple[int, int]],
    ) -> bool:
        """Share anew; ``False``: it is too early for that.

        Args:
            now: Seconds.
            rates: Of the node, up and down, in bytes/s.
            loads: Of all jobs.
            held_back: Jobs of each worker that the node's rates alone hold back, up and down.
        """
        elapsed_s = now - self._looked_at
        if elapsed_s < EVERY_S:
            return False
        before, found = self._moved, list(loads)
        self._moved = {load.job: load.moved_bytes for load in found}
        self._looked_at = now
        both = []
        for way, rate in enumerate(rates):
            moved, busy = [0] * len(self.parts), [0] * len(self.parts)
            for load in found:
                added = load.moved_bytes[way] - before.get(load.job, load.moved_bytes)[way]
                moved[load.worker] += added
                busy[load.worker] += added > 0 or load.waiting[way] > 0
            wishes = []
            for worker, part in enumerate(self.parts):
                is_full = moved[worker] >= FULL * part[way] * rate * elapsed_s
                is_held = is_full or held_back[worker][way] > 0
                wishes.append(Wish(moved[worker] / elapsed_s, busy[worker], is_held))
            both.append(parts(rate, wishes))
        self.parts = list(zip(*both, strict=True))
        return True


def parts(rate_bytes_per_s: float, wishes: Sequence[Wish]) -> list[float]:
    """Share a rate: a part of it for each worker, 1 in all.

    Args:
        rate_bytes_per_s: ``math.inf``: no limit, equal parts.
        wishes: Of all workers.
    """
    count = len(wishes)
    if math.isinf(rate_bytes_per_s) or not any(wish.jobs or wish.held_back for wish in wishes):
        return [1 / count] * count
    least = LEAST_PART / count
    wanted = [_wanted(wish, rate_bytes_per_s, least) for wish in wishes]
    given = [0.0] * count
    open_ = set(range(count))
    left = 1.0
    while open_:
        jobs = {index: max(1, wishes[index].jobs) for index in open_}
        each = left / sum(jobs.values())
        content = {index for index in open_ if wanted[index] <= each * jobs[index]}
        if not content:
            for index in open_:
                given[index] = each * jobs[index]
            break
        for index in content:
            given[index] = wanted[index]
            left -= wanted[index]
        open_ -= content
    return _whole(given, wishes)


def _wanted(wish: Wish, rate: float, least: float) -> float:
    """The part that a worker can use, and a little more; all where it is held back."""
    if wish.held_back:
        return 1.0
    return min(1.0, max(least, GROWTH * wish.bytes_per_s / rate))


def _whole(given: list[float], wishes: Sequence[Wish]) -> list[float]:
    """Give away what nobody wants: it costs nothing, and saves whoever wants more a second."""
    rest = 1.0 - sum(given)
    if rest <= 0.0:
        return given
    jobs = [max(1, wish.jobs) for wish in wishes]
    return [part + rest * count / sum(jobs) for part, count in zip(given, jobs, strict=True)]
