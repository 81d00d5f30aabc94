"""What a job has used and what it was refused: the numbers behind the summary. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

#: Hosts told apart per job; a job that reaches more is counted in total only.
MAX_HOSTS = 1000
#: Refusals that a job may read back.
MAX_DENIALS = 200


@dataclass(slots=True)
class Reached:
    """Traffic with one host and port."""

    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class Refused(NamedTuple):
    """What was refused, or allowed and failed, as one line of the summary."""

    authority: str
    reason: str
    kind: str


@dataclass(slots=True)
class Usage:
    """Counters of one job, since it was added."""

    bytes_up: int = 0
    bytes_down: int = 0
    reached: dict[str, Reached] = field(default_factory=dict)
    refused: Counter[Refused] = field(default_factory=Counter)
    failed: Counter[Refused] = field(default_factory=Counter)
    denials: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=MAX_DENIALS))

    def add(self, authority: str, bytes_up: int, bytes_down: int) -> None:
        """Count an allowed request that has ended."""
        self.bytes_up += bytes_up
        self.bytes_down += bytes_down
        entry = self.reached.get(authority)
        if entry is None:
            if len(self.reached) >= MAX_HOSTS:
                return
            entry = self.reached[authority] = Reached()
        entry.requests += 1
        entry.bytes_up += bytes_up
        entry.bytes_down += bytes_down

    def fail(self, failed: Refused) -> None:
        """Count an allowed request for which no connection came about."""
        if failed in self.failed or len(self.failed) < MAX_HOSTS:
            self.failed[failed] += 1

    def refuse(self, refused: Refused, denial: dict[str, object]) -> None:
        """Count a refusal and keep it for the job to read."""
        if refused in self.refused or len(self.refused) < MAX_HOSTS:
            self.refused[refused] += 1
        self.denials.append(denial)
