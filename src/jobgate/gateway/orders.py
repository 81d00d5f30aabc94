"""What the main process tells its workers, as JSON can say it. Pure; ``worker.py`` heeds it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.usage import JobCounters

from .parcel import packed

Order = Mapping[str, object]


def begin(settings: Settings, workers: int) -> Order:
    """The first order of all: what is enforced."""
    return {"settings": packed(of_one(settings, workers))}


def add(job: JobSettings, counters: JobCounters) -> Order:
    """Serve a job, which goes on with its counters."""
    return {"add": packed(_for_worker(job)), "counters": list(counters)}


def change(job: JobSettings) -> Order:
    """Serve a job as it is now."""
    return {"change": packed(_for_worker(job))}


def change_node(settings: Settings, jobs: Iterable[JobSettings], workers: int) -> Order:
    """Follow a reload: the node, and the jobs that change with it, at once."""
    return {"node": packed(of_one(settings, workers)), "jobs": packed(tuple(map(_for_worker, jobs)))}


def own(host: str, port: int, *, there: bool) -> Order:
    """An endpoint is the gateway's own from now on, or no more."""
    return {"own": [host, port], "there": there}


def of_one(settings: Settings, workers: int) -> Settings:
    """The settings of one worker: its part of the connections, and no jobs."""
    limits = settings.limits
    return replace(
        settings,
        limits=replace(limits, max_connections=part_of(limits.max_connections, workers)),
        jobs=(),
    )


def part_of(limit: int, workers: int) -> int:
    """Part a number among workers, rounded up."""
    return -(-limit // workers)


def job_of(line: str) -> str:
    """Find the job that a line of the log is about."""
    job = json.loads(line).get("job")
    return job if isinstance(job, str) else ""


def _for_worker(job: JobSettings) -> JobSettings:
    """What a worker must know of a job: the hash of its token is enough."""
    return replace(job, token="")
