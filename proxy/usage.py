"""What a job has used and what it was refused: the numbers behind the summary. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

#: Hosts told apart per job; a job that reaches more is counted in total only.
MAX_HOSTS = 1000
#: Refusals that a job may read back.
MAX_DENIALS = 200
#: The key of allowed requests among the reasons of ``Usage.decisions``.
ALLOW = "allow"


@dataclass(slots=True)
class Reached:
    """Traffic with one host and port."""

    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class JobCounters(NamedTuple):
    """A job's totals, which outlive the process that counts.

    Attributes:
        bytes_up: Relayed from clients to upstreams.
        bytes_down: The other way.
        requests: Decided, refused ones included.
        refused: Of these.
        started_at: When the job was added, in seconds since the epoch.
    """

    bytes_up: int
    bytes_down: int
    requests: int
    refused: int
    started_at: float


class Refused(NamedTuple):
    """What was refused, would have been, or was allowed and failed, as one line of the summary."""

    authority: str
    reason: str
    kind: str


@dataclass(slots=True)
class Usage:
    """Counters of one job.

    Attributes:
        requests: Decided, refused ones included.
        refused_requests: Of these; a tunnel refused after its ClientHello is one.
        decisions: Requests by reason, ``allow`` among them; a tunnel refused after its
            ClientHello is in two.
        reached: Traffic by authority.
        refused: Requests by what was refused.
        overlooked: The same for what report mode let pass.
        failed: The same for what was allowed and did not come about.
        overlooked_reasons: Of all that report mode let pass, by reason.
        ends: Requests by how they ended.
        dns_s: Time spent resolving, added up over requests.
        connect_s: Time spent dialling, likewise.
        duration_s: From the head to the end, likewise.
        denials: The last refusals.
    """

    requests: int = 0
    refused_requests: int = 0
    decisions: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # a third of a Counter's work
    reached: dict[str, Reached] = field(default_factory=dict)
    refused: Counter[Refused] = field(default_factory=Counter)
    overlooked: Counter[Refused] = field(default_factory=Counter)
    failed: Counter[Refused] = field(default_factory=Counter)
    overlooked_reasons: Counter[str] = field(default_factory=Counter)
    ends: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    dns_s: float = 0.0
    connect_s: float = 0.0
    duration_s: float = 0.0
    denials: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=MAX_DENIALS))

    def add(self, authority: str, bytes_up: int, bytes_down: int) -> None:
        """Count an allowed request that has ended."""
        entry = self.reached.get(authority)
        if entry is None:
            if len(self.reached) >= MAX_HOSTS:
                return
            entry = self.reached[authority] = Reached()
        entry.requests += 1
        entry.bytes_up += bytes_up
        entry.bytes_down += bytes_down

    def decide(self, token: str) -> None:
        """Count a decision: ``allow``, or the reason of a refusal."""
        self.requests += 1
        self.decisions[token] += 1
        if token != ALLOW:
            self.refused_requests += 1

    def refuse_tunnel(self, token: str) -> None:
        """Count the refusal of a tunnel whose request was allowed."""
        self.decisions[token] += 1
        self.refused_requests += 1

    def fail(self, failed: Refused) -> None:
        """Count an allowed request for which no connection came about."""
        _count(self.failed, failed)

    def overlook(self, refused: Refused) -> None:
        """Count what would have been refused, were the policy not in report mode."""
        _count(self.overlooked, refused)
        self.overlooked_reasons[refused.reason] += 1

    def refuse(self, refused: Refused, denial: dict[str, object]) -> None:
        """Count a refusal and keep it for the job to read."""
        _count(self.refused, refused)
        self.denials.append(denial)


def _count(counter: Counter[Refused], found: Refused) -> None:
    """Count, unless that would tell too many apart."""
    if found in counter or len(counter) < MAX_HOSTS:
        counter[found] += 1
