"""Lines of the log for whoever asks: the newest of each job, and all of them as they come.

What is kept is bounded for each job and for each follower. A follower that does not keep
up loses lines and is told how many; nobody else notices.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import NamedTuple

#: Lines kept of each job: some sixty requests, and 50 kB.
RECENT_LINES = 128
#: Jobs that are gone are looked for once there may be so many, and as many again as there are jobs.
SLACK = 64
#: Lines that a follower may be behind.
PENDING_LINES = 2000
#: Followers at once; each costs up to 700 kB.
MAX_FOLLOWERS = 32

_EVENT = b'"event":"'


class TooManyFollowers(Exception):
    """There is no room for one more."""


class News(NamedTuple):
    """What came since the last time.

    Attributes:
        lines: Each with the name of its event.
        lost: How many came before these and were not kept.
    """

    lines: list[tuple[str, bytes]]
    lost: int


class Follower:
    """One who wants every line, of one job or of all."""

    def __init__(self, job: str) -> None:
        self.job = job
        self._pending: deque[tuple[str, bytes]] = deque(maxlen=PENDING_LINES)
        self._lost = 0
        self._news = asyncio.Event()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._over

    def put(self, event: str, line: bytes) -> None:
        """Add a line; the oldest one makes room."""
        self._lost += len(self._pending) == PENDING_LINES
        self._pending.append((event, line))
        self._news.set()

    def lose(self, lines: int) -> None:
        """Count lines that will not come."""
        self._lost += lines

    def end(self) -> None:
        """Let the follower go."""
        self._over = True
        self._news.set()

    async def news(self, patience_s: float) -> News:
        """Wait for lines, but not longer than this; none is a fine answer."""
        try:
            async with asyncio.timeout(patience_s):
                await self._news.wait()
        except TimeoutError:
            return News([], 0)
        self._news.clear()
        found = News(list(self._pending), self._lost)
        self._pending.clear()
        self._lost = 0
        return found


class Feed:
    """Takes every line of the journal (``Journal.taps``).

    Args:
        jobs: Ids of the jobs there are: of others nothing is kept.
        follow: Called when the first follower comes, with what takes a number of lines that were lost
            on their way here, and with ``None`` when the last one has left.
    """

    def __init__(
        self,
        jobs: Container[str],
        follow: Callable[[Callable[[int], None] | None], None] = lambda on_lost: None,
    ) -> None:
        self._jobs = jobs
        self._follow = follow
        self._recent: dict[str, deque[bytes]] = {}
        self._sweep_at = SLACK
        self._followers: set[Follower] = set()

    def tap(self, job: str, line: bytes) -> None:
        """Take a line about a job, or (``""``) about the gateway."""
        event = event_of(line)
        if event == "policy":
            self._sweep()
        elif job in self._jobs:
            if job not in self._recent:
                if len(self._recent) >= self._sweep_at:  # members come and go without a change of policy
                    self._sweep()
                self._recent[job] = deque(maxlen=RECENT_LINES)
            self._recent[job].append(line)
        for follower in self._followers:
            if follower.job in ("", job):
                follower.put(event, line)

    def forget(self, job: str) -> None:
        """Keep nothing of a job that is gone."""
        self._recent.pop(job, None)

    def recent(self, job: str, limit: int) -> list[dict[str, object]]:
        """The newest lines about a job, newest last."""
        lines = list(self._recent.get(job, ()))[-limit:]
        return [json.loads(line) for line in lines]

    @contextmanager
    def follow(self, job: str = "") -> Iterator[Follower]:
        """Follow one job, or all, as long as the context is open.

        Raises:
            TooManyFollowers: There is no room.
        """
        if len(self._followers) >= MAX_FOLLOWERS:
            raise TooManyFollowers
        follower = Follower(job)
        self._followers.add(follower)
        if len(self._followers) == 1:
            self._follow(self.lose)
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            if not self._followers:
                self._follow(None)

    def lose(self, lines: int) -> None:
        """Count lines that did not come here for all followers."""
        for follower in self._followers:
            follower.lose(lines)

    def close(self) -> None:
        """Let all followers go."""
        for follower in self._followers:
            follower.end()

    def _sweep(self) -> None:
        """Forget jobs that are gone."""
        for job in [job for job in self._recent if job not in self._jobs]:
            del self._recent[job]
        self._sweep_at = 2 * len(self._recent) + SLACK


def event_of(line: bytes) -> str:
    """Find the name of a line's event; it stands near the head of each (``records.py``)."""
    start = line.find(_EVENT) + len(_EVENT)
    return line[start : line.index(b'"', start)].decode("ascii")
