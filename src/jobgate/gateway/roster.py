"""Jobs by id, and what the gate serves of them: the registry's memory. Nothing here waits or fails."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from jobgate.config.policy import Network, NodePolicy
from jobgate.config.settings import JobSettings
from jobgate.proxy.gate import Gate
from jobgate.proxy.usage import JobCounters

from .inherited import Inheritance
from .listeners import ListenError, remove_path
from .places import Place, opened
from .views import Entry, JobView, Origin, UnknownJob


class Delta(NamedTuple):
    """What the store is to add to the counters of a job."""

    entry: Entry
    total: JobCounters

    def added(self) -> JobCounters:
        """The difference to what the store has."""
        before = self.entry.stored
        if before is None:
            return self.total
        return JobCounters(
            self.total.bytes_up - before.bytes_up,
            self.total.bytes_down - before.bytes_down,
            self.total.requests - before.requests,
            self.total.refused - before.refused,
            self.total.started_at,
        )

    def written(self) -> None:
        """The store has it."""
        self.entry.stored = self.total


class Roster:
    """All jobs.

    Args:
        gate: Serves them; nobody else adds, changes or removes jobs there.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._entries: dict[str, Entry] = {}
        self._left: list[Place] = []
        self._retired = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._entries

    def find(self, job_id: str) -> Entry | None:
        """The job of this id."""
        return self._entries.get(job_id) or self._member(job_id)

    def entry(self, job_id: str) -> Entry:
        """The job of this id.

        Raises:
            UnknownJob: There is none.
        """
        entry = self.find(job_id)
        if entry is None:
            raise UnknownJob(job_id)
        return entry

    def view(self, entry: Entry) -> JobView:
        """Show a job, with what the gate says of it."""
        return entry.view(self._gate.jobs.get(entry.asked.id))

    def page(self, after: str, limit: int) -> list[Entry]:
        """Some jobs in the order of their ids, those behind ``after``."""
        ids = sorted((*self._entries, *self._gate.members))
        start = bisect_right(ids, after)
        return [self.entry(job_id) for job_id in ids[start : start + limit]]

    def listening(self) -> dict[str, str]:
        """Say where the jobs that have a listener of their own listen."""
        return {entry.asked.id: str(entry.place.where) for entry in self if entry.place is not None}

    def remove_paths(self) -> None:
        """Remove the paths of unix listeners: nobody is to connect any more, unless to another process."""
        for entry in [] if self._gate.retiring else self:
            if entry.place is not None:
                remove_path(entry.place.where)

    def enter(self, entry: Entry, settings: JobSettings, problem: str = "") -> None:
        """Take a job in, in place of the one of this id, and bring the gate to it.

        Args:
            entry: Its place has a socket that no gate has taken, or is that of the job before.
            settings: What of it the node allows. Without network ``http`` there is nothing to serve.
            problem: What of it the node does not allow.
        """
        before = self._entries.get(entry.asked.id)
        self._entries[entry.asked.id] = entry
        entry.problem, entry.refused = problem, False
        if before is not None:
            entry.counters, entry.stored = before.counters, before.stored
        if settings.policy.network is not Network.HTTP:
            self._withdraw(entry, before)
            return
        current = self._gate.jobs.get(settings.id)
        if current is None:
            job = self._gate.add_job(settings, restored=entry.counters)
        else:
            job = current if current.settings == settings else self._gate.change_job(settings)
        place = entry.place
        if place is not None:
            place.fit(settings.policy.rate_up)
            if place.listener is None:
                place.listener = self._gate.listen(job, place.sock, elsewhere=place.elsewhere)
        if before is not None and before.place is not None and before.place is not place:
            if before.place.listener is not None:
                self._gate.unlisten(before.place.listener)
            self._left.append(before.place)

    def refuse(self, entry: Entry, problem: str) -> None:
        """Keep a job on the list and serve nothing of it."""
        before = self._entries.get(entry.asked.id)
        self._entries[entry.asked.id] = entry
        entry.problem, entry.refused = problem, True
        self._withdraw(entry, before)

    def serve_within(
        self,
        entry: Entry,
        node: NodePolicy,
        *,
        wished: str = "",
        inheritance: Inheritance | None = None,
    ) -> None:
        """Serve what the node allows now of a job that it once accepted whole.

        Args:
            entry: May have no place although it needs one.
            node: What the node allows.
            wished: Where it listened before.
            inheritance: Listening sockets that were there before this process.
        """
        settings, problem = entry.within(node)
        if settings is None:
            self.refuse(entry, problem)
            return
        try:
            to_open = [] if entry.place or self._retired else [settings]
            with opened(to_open, wished=wished, inheritance=inheritance) as places:
                entry.place = entry.place or places.get(settings.id)
                self.enter(entry, settings, problem)
        except ListenError as error:
            self.refuse(entry, str(error))

    def deltas(self) -> list[Delta]:
        """What has been counted since the store was told."""
        found = []
        for entry in self:
            total = self.counters(entry)
            if total != entry.stored:
                found.append(Delta(entry, total))
        return found

    def leave(self, job_id: str) -> None:
        """Forget a job; its connections end."""
        entry = self._entries.pop(job_id)
        self._withdraw(entry, entry)

    def retire(self) -> None:
        """Let nothing listen any more: another process has the listeners, and their paths."""
        self._retired = True
        for entry in self:
            entry.place = None

    def tidy(self) -> None:
        """Remove the paths where nobody listens any more, once all changes are made."""
        left, self._left = self._left, []
        if left:
            used = {entry.place.where for entry in self if entry.place is not None}
            for place in left:
                if place.where not in used:
                    remove_path(place.where)

    def counters(self, entry: Entry) -> JobCounters:
        """A job's totals."""
        job = self._gate.jobs.get(entry.asked.id)
        return entry.counters if job is None else job.counters()

    def _member(self, job_id: str) -> Entry | None:
        """A job that its use has made, which only the gate knows."""
        if job_id not in self._gate.members:
            return None
        job = self._gate.jobs[job_id]
        return Entry.new(job.settings, Origin.MEMBER, job.restored.started_at)

    def _withdraw(self, entry: Entry, before: Entry | None) -> None:
        """Take a job from the gate, which closes its listeners."""
        entry.counters = self.counters(entry)
        if entry.asked.id in self._gate.jobs:
            self._gate.remove_job(entry.asked.id)
        if before is not None and before.place is not None:
            self._left.append(before.place)
        entry.place = None
