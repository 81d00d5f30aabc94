"""What the registry knows of a job, what it shows of it, and how it says no."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from jobgate.config.policy import NodePolicy, job_problems, narrow
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings
from jobgate.proxy.errors import Reason
from jobgate.proxy.members import group_of
from jobgate.proxy.usage import JobCounters

from .places import Place, key_of
from .stored import StoredJob

if TYPE_CHECKING:
    from jobgate.config.convert import Problem
    from jobgate.proxy.job import Job


class Origin(StrEnum):
    """Where a job was written; only there it can be changed."""

    FILE = "file"
    API = "api"
    MEMBER = "member"  #: nowhere: its use has made it, and it follows the job before its last dot


class State(StrEnum):
    """Whether a job's requests are served."""

    ACTIVE = "active"
    EXPIRED = "expired"
    QUOTA = "quota"
    REFUSED = "refused"  #: the node accepts it no more, or its listener cannot be opened: nothing is served


_GONE = {Reason.EXPIRED: State.EXPIRED, Reason.QUOTA: State.QUOTA}


class UnknownJob(LookupError):
    """There is no job of this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f'no job "{job_id}"')


class ReadOnlyJob(Exception):
    """A job of the configuration file, or a member of another one: the API does not change it."""

    def __init__(self, job_id: str, origin: Origin = Origin.FILE) -> None:
        self.origin = origin
        if origin is Origin.MEMBER:
            text = f'job "{job_id}" is a member of "{group_of(job_id)}": change that one'
        else:
            text = f'job "{job_id}" is in the configuration file: change it there and reload'
        super().__init__(text)


class JobProblems(ValueError):
    """A job that cannot be taken; all its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(f"{problem.path}: {problem.message}" for problem in self.problems))


class JobView(NamedTuple):
    """A job as it is shown.

    Attributes:
        document: The job's table, as asked for: without token, the rates not bounded by the node.
        listen: Where its own listener is, with the port that the kernel picked.
        created_at: Seconds since the epoch.
        problem: Why nothing of it is served, or not all that was asked for.
        has_token: Its clients must show a token.
    """

    id: str
    origin: Origin
    document: dict[str, object]
    state: State
    listen: str | None
    created_at: float
    counters: JobCounters
    connections: int
    problem: str = ""
    has_token: bool = False


@dataclass(slots=True)
class Entry:
    """A job of the registry.

    Attributes:
        asked: As written, not bounded by the node, which may change.
        counters: Totals while the gate does not serve it.
        stored: Totals that the store has; ``None``: it does not know the job yet.
        place: Its own listener, while it is served.
        problem: Why it is not, or not wholly.
        refused: Nothing of it is served.
    """

    asked: JobSettings
    origin: Origin
    created_at: float
    counters: JobCounters
    stored: JobCounters | None = None
    place: Place | None = None
    problem: str = ""
    refused: bool = False

    @classmethod
    def new(
        cls, asked: JobSettings, origin: Origin, created_at: float, counters: JobCounters | None = None
    ) -> Entry:
        """A job with the counters that the store has of it, or without."""
        return cls(asked, origin, created_at, counters or JobCounters(0, 0, 0, 0, created_at), counters)

    def stored_job(self) -> StoredJob:
        """The job as it is kept."""
        from jobgate.config.jobs import job_document

        listen = "" if self.place is None else str(self.place.where)
        return StoredJob(
            self.asked.id, job_document(self.asked), self.asked.token_hash, self.created_at, listen
        )

    def place_for(self, asked: JobSettings) -> Place | None:
        """Its listener, if the job may keep it in its new form."""
        return self.place if self.place is not None and self.place.key == key_of(asked) else None

    def within(self, node: NodePolicy) -> tuple[JobSettings | None, str]:
        """What of it the node allows, and what not.

        A rate is lowered silently. Domains that the node does not cover are left out; if
        none is left, or the node does not accept the network, nothing is.
        """
        policy = self.asked.policy
        problems = job_problems(policy, node)
        if problems and node.allow is not None:
            ports = node.connect_ports | node.http_ports
            outside = set(node.allow.uncovered(policy.domains, ports))
            policy = replace(policy, domains=RuleSet(rule for rule in policy.domains if rule not in outside))
        problem = "; ".join(found.message for found in problems)
        if problems and job_problems(policy, node):
            return None, problem
        return replace(self.asked, policy=narrow(policy, node)), problem

    def view(self, job: Job | None) -> JobView:
        """Show it, with what the gate says of it."""
        from jobgate.config.jobs import job_document  # for those who have a file or an API

        state = State.REFUSED if self.refused else State.ACTIVE
        if job is not None and job.gone in _GONE:
            state = _GONE[job.gone]
        return JobView(
            id=self.asked.id,
            origin=self.origin,
            document=job_document(self.asked),
            state=state,
            listen=None if self.place is None else str(self.place.where),
            created_at=self.created_at,
            counters=self.counters if job is None else job.counters(),
            connections=0 if job is None else job.connections,
            problem=self.problem,
            has_token=self.asked.token_hash is not None or self.origin is Origin.MEMBER,
        )
