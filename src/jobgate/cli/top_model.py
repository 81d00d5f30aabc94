"""What ``jobgate top`` shows, worked out of two looks at the jobs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Look(NamedTuple):
    """The counters of one job at one moment.

    Attributes:
        rate_up: The job's limit in bytes/s; ``None``: unlimited.
        wait_up_s: Time that uploads were held back by the rate, added up.
    """

    id: str
    state: str
    connections: int
    requests: int
    refused: int
    bytes_up: int
    bytes_down: int
    rate_up: float | None
    rate_down: float | None
    wait_up_s: float
    wait_down_s: float


class Refusal(NamedTuple):
    """What was refused to a job, and how often."""

    job: str
    authority: str
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class Row:
    """One job.

    Attributes:
        up: Bytes/s now.
        held: Connections that the rate held back, on average between the two looks.
    """

    look: Look
    up: float
    down: float
    held: float


@dataclass(frozen=True, slots=True)
class Sum:
    """All jobs together."""

    jobs: int
    connections: int
    up: float
    down: float
    held: float
    requests: int
    refused: int


SORTS: dict[str, Callable[[Row], float]] = {
    "id": lambda row: 0.0,
    "down": lambda row: -row.down,
    "up": lambda row: -row.up,
    "connections": lambda row: -row.look.connections,
    "waiting": lambda row: -row.held,
    "refused": lambda row: -row.look.refused,
}
"""What rows can be sorted by, the largest first; equal ones by id."""


def rows_of(before: Mapping[str, Look], now: Iterable[Look], span_s: float) -> list[Row]:
    """Work out the rates between two looks.

    A job that is new, or that counts anew, has none yet.

    Args:
        before: The earlier look by job id.
        now: The later one.
        span_s: Seconds between them.
    """
    return [_row(before.get(look.id), look, span_s) for look in now]


def sorted_rows(rows: Iterable[Row], sort: str) -> list[Row]:
    """Sort by one of ``SORTS``."""
    key = SORTS[sort]
    return sorted(rows, key=lambda row: (key(row), row.look.id))


def sum_of(rows: Sequence[Row]) -> Sum:
    """Add all rows up."""
    return Sum(
        jobs=len(rows),
        connections=sum(row.look.connections for row in rows),
        up=sum(row.up for row in rows),
        down=sum(row.down for row in rows),
        held=sum(row.held for row in rows),
        requests=sum(row.look.requests for row in rows),
        refused=sum(row.look.refused for row in rows),
    )


def _row(before: Look | None, now: Look, span_s: float) -> Row:
    if before is None or span_s <= 0:
        return Row(now, 0.0, 0.0, 0.0)
    up, down = now.bytes_up - before.bytes_up, now.bytes_down - before.bytes_down
    waited = now.wait_up_s + now.wait_down_s - before.wait_up_s - before.wait_down_s
    if min(up, down) < 0:
        return Row(now, 0.0, 0.0, 0.0)
    return Row(now, up / span_s, down / span_s, max(0.0, waited) / span_s)
