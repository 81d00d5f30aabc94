"""Jobs and their counters as the API shows them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from heapq import nlargest
from typing import TYPE_CHECKING

from jobgate.config.policy import Policy
from jobgate.gateway.proposals import proposals
from jobgate.gateway.views import JobView
from jobgate.proxy.records import timestamp
from jobgate.proxy.usage import Reached, Refused, Usage

if TYPE_CHECKING:
    from jobgate.proxy.direction import Direction
    from jobgate.proxy.job import Job


def job_shape(view: JobView, job: Job | None) -> dict[str, object]:
    """Show a job.

    Args:
        view: What the registry knows.
        job: What the gate serves of it; ``None``: nothing.
    """
    return {
        "id": view.id,
        "origin": view.origin.value,
        "state": view.state.value,
        "problem": view.problem or None,
        "listen": view.listen,
        "created_at": timestamp(view.created_at),
        "has_token": view.has_token,
        "settings": view.document,
        "live": live_shape(view, job),
    }


def live_shape(view: JobView, job: Job | None) -> dict[str, object]:
    """Show the counters of a job, and what the rate holds back now."""
    counters = view.counters
    return {
        "connections": view.connections,
        "bytes_up": counters.bytes_up,
        "bytes_down": counters.bytes_down,
        "requests": counters.requests,
        "refused": counters.refused,
        **_direction_shape("up", None if job is None else job.up),
        **_direction_shape("down", None if job is None else job.down),
        "rate_up": None if job is None else rate_shape(job.policy.job.rate_up),
        "rate_down": None if job is None else rate_shape(job.policy.job.rate_down),
    }


def rate_shape(rate: float) -> float | None:
    """Show a rate in bytes/s; ``null`` is unlimited."""
    return None if math.isinf(rate) else rate


def usage_shape(view: JobView, job: Job | None, top: int) -> dict[str, object]:
    """Show what a job has used since this process serves it, and what it was refused.

    Args:
        view: What the registry knows.
        job: What the gate serves of it.
        top: Hosts in each list.
    """
    usage = Usage() if job is None else job.usage
    return {
        "live": live_shape(view, job),
        "decisions": dict(sorted(usage.decisions.items())),
        "reached": _reached_rows(usage.reached, top),
        "refused": _refused_rows(usage.refused, top, None if job is None else job.policy),
        "overlooked": _refused_rows(usage.overlooked, top, None if job is None else job.policy),
        "failed": _refused_rows(usage.failed, top, None),
    }


def _direction_shape(name: str, direction: Direction | None) -> dict[str, object]:
    return {
        f"waiting_{name}": 0 if direction is None else direction.waiting,
        f"wait_{name}_s": 0.0 if direction is None else round(direction.waited_s, 6),
    }


def _reached_rows(reached: Mapping[str, Reached], top: int) -> list[dict[str, object]]:
    most = nlargest(top, reached.items(), key=lambda item: (item[1].bytes_up + item[1].bytes_down, item[0]))
    return [
        {
            "authority": authority,
            "requests": entry.requests,
            "bytes_up": entry.bytes_up,
            "bytes_down": entry.bytes_down,
        }
        for authority, entry in most
    ]


def _refused_rows(refused: Counter[Refused], top: int, policy: Policy | None) -> list[dict[str, object]]:
    return [
        {
            "authority": row.authority,
            "reason": row.reason,
            "kind": row.kind,
            "count": count,
            "proposals": [] if policy is None else proposals(row.authority, row.kind, policy),
        }
        for row, count in refused.most_common(top)
    ]
