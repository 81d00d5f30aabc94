"""What a gateway's API answers, as values. Keys that this version does not know are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Live:
    """Counters of a job, and what its rate holds back.

    Attributes:
        connections: Open now.
        bytes_up: Relayed from the job to origins.
        bytes_down: The other way.
        requests: Decided, refused ones included.
        refused: Of these.
        waiting_up: Connections held back now.
        waiting_down: Likewise.
        wait_up_s: Seconds that connections were held back, added up.
        wait_down_s: Likewise.
        rate_up: Bytes/s in force, bounded by the node; ``None``: unlimited, or not served.
        rate_down: Likewise.
    """

    connections: int
    bytes_up: int
    bytes_down: int
    requests: int
    refused: int
    waiting_up: int
    waiting_down: int
    wait_up_s: float
    wait_down_s: float
    rate_up: float | None
    rate_down: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Attributes:
        origin: ``file`` or ``api``: where it can be changed; ``member``: its use has made it.
        state: ``active``, ``expired``, ``quota``, or ``refused`` by the node.
        problem: Why it is not served, or not wholly.
        listen: Where its own listener is.
        has_token: Its clients must show a token.
        settings: Every key of a ``[[job]]``, without the token.
        token: Only in the answer to the request that had the gateway make one: it is told once.
        etag: Names this state of the settings; only of a job that was asked for by itself.
    """

    id: str
    origin: str
    state: str
    problem: str | None
    listen: str | None
    created_at: datetime
    has_token: bool
    settings: Mapping[str, object]
    live: Live
    token: str | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs.

    Attributes:
        at: When the first counters were read, in seconds since the epoch.
        next: ``after`` of the next page; ``None``: this is the last.
    """

    at: float
    next: str | None
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would happen to one URL.

    Attributes:
        decision: ``allow`` or ``deny``.
        reason: Why it is refused, or would be.
        rule: The entry that decided.
        would: ``deny`` where the job is in report mode and it passes all the same.
    """

    url: str
    decision: str
    reason: str | None
    rule: str | None
    detail: str
    would: str | None = None


@dataclass(frozen=True, slots=True)
class ReachedHost:
    """Traffic with one ``host:port``."""

    authority: str
    requests: int
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True)
class RefusedHost:
    """Requests to one ``host:port`` with one reason.

    Attributes:
        kind: ``connect`` or ``http``.
        proposals: Entries for ``domains`` that would allow it, the narrowest first.
    """

    authority: str
    reason: str
    kind: str
    count: int
    proposals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job has used since its gateway serves it.

    Attributes:
        decisions: Requests by reason; ``allow`` is one of them.
        overlooked: What report mode let pass.
        failed: What was allowed and did not come about.
    """

    live: Live
    decisions: Mapping[str, int]
    reached: tuple[ReachedHost, ...]
    refused: tuple[RefusedHost, ...]
    overlooked: tuple[RefusedHost, ...]
    failed: tuple[RefusedHost, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """The smallest policy that would have been enough."""

    domains: tuple[str, ...]
    tls: str


@dataclass(frozen=True, slots=True)
class Variables:
    """The environment by which a job finds its gate.

    Attributes:
        complete: ``False``: the gateway knows only the hash of the job's token; the values say ``TOKEN``.
    """

    variables: Mapping[str, str]
    complete: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a document.

    Attributes:
        key: Path of the key; ``""``: of none.
    """

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found in a configuration.

    Attributes:
        weakenings: What it would let through that is refused now.
        needs_restart: Keys that take effect with the next start only.
    """

    valid: bool
    problems: tuple[Problem, ...]
    weakenings: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload did; ids of jobs, but for the last two.

    Attributes:
        refused: Jobs of the API that the node accepts no more.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    refused: tuple[str, ...]
    weakenings: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """What runs there."""

    version: str
    at: float
    started_at: datetime
    draining: bool
    mode: str
    jobs: int
    connections: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log as it was written.

    Attributes:
        name: ``decision``, ``close``, ``policy`` and others; ``lost``: this client was too slow.
        line: As in the log.
    """

    name: str
    line: Mapping[str, object]
