"""The one place where jobs change: those of the configuration file and those of the control API.

Every change goes the same way: validate, open the listener, write the store, apply to the
gate. A step that fails undoes those before it, and nothing has changed. One change waits
for another; what is known can be read at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal

from .inherited import Inheritance
from .listeners import ListenError
from .places import opened
from .roster import Roster
from .store import Store
from .stored import Stored, StoreError
from .turns import Turns
from .views import Entry, JobView, Origin, ReadOnlyJob, UnknownJob

if TYPE_CHECKING:
    # Loaded by whoever has a file to reload.
    from .reload import ReloadReport


class Registry:
    """All jobs of a gateway.

    Args:
        gate: Serves them; nobody else adds, changes or removes jobs there.
        store: Keeps jobs of the API, and the counters of all.
        settings: What the file said at the start.
        config_path: The file; ``""``: there is none, and nothing to reload.
        journal: Told of every change of policy.
        clock_wall: Seconds since the epoch.

    Attributes:
        settings: What is in force.
        roster: All jobs, to look at.
    """

    def __init__(
        self,
        gate: Gate,
        store: Store,
        settings: Settings,
        *,
        config_path: str = "",
        journal: Journal,
        clock_wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._gate = gate
        self._store = store
        self._config_path = config_path
        self._journal = journal
        self._clock_wall = clock_wall
        self.roster = Roster(gate)
        self._turns = Turns(gate.refresh, gate.settled)
        self._store_problem: str | None = None

    # --- reading ----------------------------------------------------------------------

    def jobs(self, after: str = "", limit: int = 100) -> list[JobView]:
        """List jobs in the order of their ids, those behind ``after``."""
        return [self.roster.view(entry) for entry in self.roster.page(after, limit)]

    def get(self, job_id: str) -> JobView:
        """Show one job.

        Raises:
            UnknownJob: There is none of this id.
        """
        return self.roster.view(self.roster.entry(job_id))

    # --- from start to end ------------------------------------------------------------

    async def start(self, inheritance: Inheritance | None = None, known: Stored | None = None) -> None:
        """Serve the jobs of the file, then those that the store knows; each goes on with its counters.

        Args:
            inheritance: Listening sockets that were there before this process.
            known: What the process before this one knows, newer than the store.

        Raises:
            ListenError: The listener of a job of the file cannot be opened; then none is.
            StoreError: The state file cannot be used.
        """
        jobs = self.settings.jobs
        loaded = await self._store.load([job.id for job in jobs])
        stored = loaded if known is None else known
        now = self._clock_wall()
        with opened(jobs, inheritance=inheritance) as places:
            for job in jobs:
                entry = Entry.new(job, Origin.FILE, now, stored.counters.get(job.id))
                entry.place = places.get(job.id)
                self.roster.enter(entry, job)
        taken_over = [kept.id for kept in stored.jobs if kept.id in self.roster]
        await self._store.remove_jobs(taken_over, counters=False)
        for kept in stored.jobs:
            if kept.id not in self.roster:
                from .documents import read_kept

                asked = read_kept(kept, self._store.path)
                entry = Entry.new(asked, Origin.API, kept.created_at, stored.counters.get(kept.id))
                self.roster.serve_within(
                    entry, self.settings.node.policy, wished=kept.listen, inheritance=inheritance
                )

    async def write_counters(self) -> None:
        """Write what has been counted since the last time; a store that fails is told of once."""
        await self._gate.refresh()
        async with self._turns.none():
            problem = None
            deltas = self.roster.deltas()
            try:
                await self._store.add_counters({delta.entry.asked.id: delta.added() for delta in deltas})
                for delta in deltas:
                    delta.written()
            except StoreError as error:
                problem = str(error)
            if problem != self._store_problem:
                self._store_problem = problem
                self._journal.event("state", {"problem": problem})

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Let no job change inside the block."""
        await self.write_counters()
        async with self._turns.none():
            yield

    def retire(self, is_followed: bool = True) -> None:
        """Refuse all changes here: another process serves, or does not after all."""
        self._turns.refusal = StoreError("another process serves now: ask again") if is_followed else None

    async def close(self) -> None:
        """Write the counters a last time and close the store."""
        await self.write_counters()
        await self._store.close()

    # --- changes ----------------------------------------------------------------------

    async def put(self, job_id: str, document: Mapping[str, object]) -> tuple[JobView, bool]:
        """Add a job (then the second value is true), or replace one; the same document again changes nothing.

        Raises:
            JobProblems: It cannot be taken.
            ReadOnlyJob: It is one of the configuration file.
            StoreError: It cannot be kept.
        """
        return await self._turns.run(self._put(job_id, document))

    async def patch(self, job_id: str, document: Mapping[str, object]) -> JobView:
        """Change some keys of a job (a merge patch, RFC 7396). Its token stays unless the patch names it.

        Raises:
            UnknownJob: There is none of this id.
            JobProblems, ReadOnlyJob, StoreError: As ``put``.
        """
        return await self._turns.run(self._patch(job_id, document))

    async def remove(self, job_id: str) -> None:
        """Remove a job and its counters; its connections end.

        Raises:
            UnknownJob: There is none of this id.
            ReadOnlyJob, StoreError: As ``put``.
        """
        await self._turns.run(self._remove(job_id))

    async def reload(self) -> ReloadReport:
        """Read the configuration file again and take on all of it, or nothing.

        A job of the API whose id the file has now becomes the file's, with its counters.

        Raises:
            ConfigError: The file is wrong, or a listener in it cannot be opened.
            StoreError: A job of the API that is to be the file's cannot be forgotten.
        """
        return await self._turns.run(self._reload())

    async def _put(self, job_id: str, document: Mapping[str, object]) -> tuple[JobView, bool]:
        before = self._changeable(job_id)
        await self._write(self._read(job_id, document, None), before)
        return self.get(job_id), before is None

    async def _patch(self, job_id: str, document: Mapping[str, object]) -> JobView:
        from .documents import merged

        before = self._changeable(job_id)
        if before is None:
            raise UnknownJob(job_id)
        token_hash = None if "token" in document else before.asked.token_hash
        whole = merged(self.get(job_id).document, document)
        await self._write(self._read(job_id, whole, token_hash), before)
        return self.get(job_id)

    async def _remove(self, job_id: str) -> None:
        if self._changeable(job_id) is None:
            raise UnknownJob(job_id)
        await self._store.remove_jobs([job_id])
        self.roster.leave(job_id)
        self.roster.tidy()
        self._journal.event("policy", {"action": "remove", "job": job_id})

    async def _write(self, asked: JobSettings, before: Entry | None) -> None:
        """Open, store, apply."""
        if before is not None and before.asked == asked and not before.problem:
            return
        from .documents import cannot_listen

        node = self.settings.node.policy
        entry = Entry.new(asked, Origin.API, self._clock_wall() if before is None else before.created_at)
        entry.place = None if before is None else before.place_for(asked)
        try:
            with opened([] if entry.place else [asked]) as places:
                entry.place = entry.place or places.get(asked.id)
                await self._store.put_job(entry.stored_job())
                async with AsyncExitStack() as undo:
                    undo.push_async_callback(self._put_back, asked.id, before)
                    self.roster.serve_within(entry, node)
                    undo.pop_all()
        except ListenError as error:
            raise cannot_listen(error) from error
        self.roster.tidy()
        if before is not None:
            from .weakening import job_weakenings

            self._log_weakenings(job_weakenings(before.asked, asked, node))
        self._journal.event("policy", {"action": "add" if before is None else "change", "job": asked.id})

    async def _put_back(self, job_id: str, before: Entry | None) -> None:
        """Undo a change that the gate did not take."""
        if before is None:
            self.roster.leave(job_id)
            await self._store.remove_jobs([job_id])
        else:
            self.roster.serve_within(before, self.settings.node.policy)
            await self._store.put_job(before.stored_job())

    async def _reload(self) -> ReloadReport:
        from jobgate.config.load import ConfigError

        from .reload import load_again, plan_reload, take_on

        entries = list(self.roster)
        try:
            new = await load_again(self._config_path)
            plan = await asyncio.to_thread(plan_reload, self.settings, new, entries)
            with opened(plan.to_open, plan.given_up) as places:
                await self._store.remove_jobs(plan.taken_over, counters=False)
                self.settings = plan.settings
                take_on(plan, self._gate, self.roster, places, self._clock_wall())
        except (ConfigError, ListenError, StoreError) as error:
            self._journal.event("policy", {"action": "keep", "problems": str(error).splitlines()})
            if isinstance(error, ListenError):
                raise ConfigError([str(error)]) from error
            raise
        self.roster.tidy()
        refused = tuple(entry.asked.id for entry in self.roster if entry.refused)
        return self._reloaded(plan.report._replace(refused=refused))

    def _reloaded(self, report: ReloadReport) -> ReloadReport:
        """Log what a reload did."""
        self._log_weakenings(report.weakenings)
        rest = {key: value for key, value in report._asdict().items() if key != "weakenings"}
        self._journal.event("policy", {"action": "reload", **rest})
        return report

    def _log_weakenings(self, weakenings: Iterable[str]) -> None:
        for weakening in weakenings:
            self._journal.event("policy", {"action": "weaken", "what": weakening})

    # --- inside -----------------------------------------------------------------------

    def _changeable(self, job_id: str) -> Entry | None:
        """The job of this id, if there is one.

        Raises:
            ReadOnlyJob: It is one of the configuration file, or a member.
        """
        entry = self.roster.find(job_id)
        if entry is not None and entry.origin is not Origin.API:
            raise ReadOnlyJob(job_id, entry.origin)
        return entry

    def _read(self, job_id: str, document: Mapping[str, object], token_hash: bytes | None) -> JobSettings:
        from .documents import read_asked

        others = [entry.asked for entry in self.roster if entry.asked.id != job_id]
        return read_asked(job_id, document, self.settings, others, token_hash)
