"""Jobs that come into being by their use: the members of a job with ``max_members``. Pure.

A scheduler that cannot tell the gateway of each of its jobs beforehand registers one job
for many, and gives each of these the name ``JOB.MEMBER`` with the token of that job. The
first request of a name makes a job of it: with the same policy, and with rates, caps and
counters of its own. A member that has had no connection for a while is forgotten.

Whoever knows the token may use any name: the names keep accounts apart, the bound on their
number keeps the sum of their rates within reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from jobgate.config.settings import JobSettings

from .errors import ProxyError, Reason
from .lifetime import Clocks, Timer

if TYPE_CHECKING:
    from .job import Job

#: A member without a connection is forgotten after this long.
IDLE_S = 300.0


class Host(Protocol):
    """The gate, as far as members need it."""

    @property
    def jobs(self) -> Mapping[str, Job]: ...

    def add_job(self, settings: JobSettings) -> Job: ...

    def remove_job(self, job_id: str, reason: Reason = ...) -> None: ...


def group_of(job_id: str) -> str:
    """The job that a name belongs to as a member: what stands before its last dot."""
    return job_id.rpartition(".")[0]


def member_settings(group: JobSettings, job_id: str) -> JobSettings:
    """What a member is served with: all that its group has, but for the ways in."""
    return replace(group, id=job_id, token="", token_hash=None, clients=(), max_members=0)


class Members:
    """The members of all jobs of a gate.

    Args:
        host: Serves them.
        clocks: Where time comes from.
    """

    def __init__(self, host: Host, clocks: Clocks) -> None:
        self._host = host
        self._clocks = clocks
        self._seen: dict[str, dict[str, float]] = {}  # by group: member to its last request, the oldest first
        self._timer: Timer | None = None

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._seen.get(group_of(job_id), ())

    def __iter__(self) -> Iterator[str]:
        for members in self._seen.values():
            yield from members

    def find(self, job_id: str) -> Job:
        """The job of a name that has shown its token: an ordinary one, or a member, made if need be.

        Raises:
            ProxyError: ``overloaded``: its group has as many as it may.
        """
        job = self._host.jobs.get(job_id)
        if job is not None and job_id not in self:
            return job
        group_id = group_of(job_id)
        if job is None:
            job = self._made(job_id, self._host.jobs[group_id].settings)
        members = self._seen.setdefault(group_id, {})
        members.pop(job_id, None)
        members[job_id] = self._clocks.monotonic()
        self._arm()
        return job

    def following(self, groups: Iterable[JobSettings]) -> dict[str, JobSettings]:
        """The new settings of the members of jobs that change."""
        return {
            job_id: member_settings(group, job_id)
            for group in groups
            for job_id in self._seen.get(group.id, ())
        }

    def leave(self, job_id: str, reason: Reason = Reason.UNKNOWN_JOB) -> None:
        """Follow a job that goes, or that has no members any more: its own go as well."""
        for member in list(self._seen.get(job_id, ())):
            self._host.remove_job(member, reason)
        self._seen.pop(job_id, None)
        self.release(job_id)

    def release(self, job_id: str) -> None:
        """Take a member for an ordinary job from now on, or for none."""
        members = self._seen.get(group_of(job_id))
        if members is not None and members.pop(job_id, None) is not None and not members:
            del self._seen[group_of(job_id)]

    def stop(self) -> None:
        """Forget nobody any more: the gate ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _made(self, job_id: str, group: JobSettings) -> Job:
        if len(self._seen.get(group.id, ())) >= group.max_members:
            self._forget_idle()
        count = len(self._seen.get(group.id, ()))
        if count >= group.max_members:
            raise ProxyError(
                Reason.OVERLOADED,
                f'Job "{group.id}" has {count} members already. '
                f"One is forgotten when it had no connection for {IDLE_S:g} s.",
            )
        return self._host.add_job(member_settings(group, job_id))

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._clocks.call_later(IDLE_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._forget_idle()
        if self._seen:
            self._arm()

    def _forget_idle(self) -> None:
        """Forget who has been gone for long enough."""
        before = self._clocks.monotonic() - IDLE_S
        idle = [
            job_id
            for members in self._seen.values()
            for job_id, _ in takewhile(lambda item: item[1] <= before, members.items())
            if not self._host.jobs[job_id].connections
        ]
        for job_id in idle:
            self._host.remove_job(job_id)
