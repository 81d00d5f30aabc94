"""Keeps jobs of the control API, and the counters of all jobs, in a file (edge).

One thread of its own reads and writes, in the order asked for: the loop never waits
for a disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from jobgate.proxy.usage import JobCounters

from .stored import Stored, StoredJob

if TYPE_CHECKING:
    from .database import Database  # loads SQLite: for those who keep something

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """The state file, or none.

    Args:
        path: SQLite file, created if missing; ``""``: nothing is kept.
        clock_wall: Seconds since the epoch.
    """

    def __init__(self, path: str, *, clock_wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock_wall = clock_wall
        self._database: Database | None = None
        self._thread = ThreadPoolExecutor(1, "jobgate-store")  # starts with its first task

    async def load(self, known: Collection[str]) -> Stored:
        """Open the file and read what it knows.

        Args:
            known: Ids of the jobs of the configuration file, whose counters are kept as well.

        Raises:
            StoreError: The file cannot be used.
        """
        if not self.path:
            return Stored((), {})
        return await self._run(self._open, known)

    async def put_job(self, job: StoredJob) -> None:
        """Return once the job is kept, in place of the one of its id.

        Raises:
            StoreError: It is not kept; what was there before still is.
        """
        if self._database is not None:
            await self._run(self._database.put_job, job)

    async def remove_jobs(self, job_ids: Sequence[str], *, counters: bool = True) -> None:
        """Return once these jobs are forgotten, with their counters unless said otherwise.

        Raises:
            StoreError: They are not.
        """
        if self._database is not None and job_ids:
            await self._run(self._database.remove_jobs, job_ids, counters=counters)

    async def add_counters(self, deltas: Mapping[str, JobCounters]) -> None:
        """Add to the counters of jobs: what another process adds at the same time is not lost.

        Raises:
            StoreError: Nothing was added.
        """
        if self._database is not None and deltas:
            await self._run(self._database.add_counters, deltas)

    async def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            await self._run(self._database.close)
            self._database = None
        self._thread.shutdown()

    def _open(self, known: Collection[str]) -> Stored:
        from .database import Database

        self._database = Database(self.path)
        return self._database.load(known, self._clock_wall())

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))
