"""Reading the configuration file again: when, what it will change, and the change itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import NamedTuple

from jobgate.config.conflicts import Claim, conflicts
from jobgate.config.load import ConfigError, load_file
from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.gate import Gate

from .places import Key, Place
from .roster import Roster
from .views import Entry, Origin
from .weakening import weakenings


class ReloadReport(NamedTuple):
    """What a reload did.

    Attributes:
        added: Ids of jobs of the file, each list in the order of the ids.
        changed: Likewise; those that are as before are in none of the lists.
        removed: Likewise.
        refused: Jobs of the API that the node accepts no more: none of their requests passes.
        weakenings: What is let through that was not before, one sentence each.
        needs_restart: Keys with a new value that this process cannot take on.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    weakenings: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


class Plan(NamedTuple):
    """A reload before it happens.

    Attributes:
        settings: What will be in force.
        report: What will be said of it; ``refused`` is known afterwards.
        jobs: New and changed jobs of the file.
        removed: Ids.
        taken_over: Ids of jobs of the API that are the file's from now on.
        to_open: Jobs that need another listener than they have.
        given_up: Listeners that nobody needs where they are: their sockets may go on elsewhere.
    """

    settings: Settings
    report: ReloadReport
    jobs: list[JobSettings]
    removed: list[str]
    taken_over: list[str]
    to_open: list[JobSettings]
    given_up: dict[Key, Place]


def plan_reload(old: Settings, new: Settings, entries: Iterable[Entry]) -> Plan:
    """Compare what the file says now with what is served.

    Raises:
        ConfigError: A job of the file claims what one of the API has.
    """
    ids = {job.id for job in new.jobs}
    served = {entry.asked.id: entry for entry in entries}
    before = {id: entry for id, entry in served.items() if entry.origin is Origin.FILE or id in ids}
    _check_claims(new.jobs, [entry.asked for id, entry in served.items() if id not in before])
    added = [job for job in new.jobs if job.id not in before]
    changed = [
        job
        for job in new.jobs
        if job.id in before and (before[job.id].asked != job or before[job.id].origin is Origin.API)
    ]
    removed = sorted(before.keys() - ids)
    moved = [job for job in changed if before[job.id].place_for(job) is None]
    report = ReloadReport(
        added=tuple(sorted(job.id for job in added)),
        changed=tuple(sorted(job.id for job in changed)),
        removed=tuple(removed),
        weakenings=tuple(weakenings(replace(old, jobs=tuple(e.asked for e in before.values())), new)),
        needs_restart=tuple(needs_restart(old, new)),
    )
    left = [before[id].place for id in (*removed, *(job.id for job in moved))]
    return Plan(
        settings=in_force(old, new),
        report=report,
        jobs=changed + added,
        removed=removed,
        taken_over=sorted(id for id in before if before[id].origin is Origin.API),
        to_open=moved + added,
        given_up={place.key: place for place in left if place is not None and place.exclusive},
    )


def _check_claims(jobs: Iterable[JobSettings], others: Iterable[JobSettings]) -> None:
    found = conflicts([Claim.of(job) for job in (*others, *jobs)])
    if found:
        raise ConfigError(f"{problem.path}: {problem.message}, of the control API" for problem in found)


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """List the keys whose new value takes effect with the next start only."""
    found: list[str] = []
    for section, was, now in (
        ("listen", old.listen, new.listen),
        ("log", old.log, new.log),
        ("state", old.state, new.state),
        ("dns", old.dns, new.dns),
    ):
        keys = (field.name for field in fields(was))
        found += [f"{section}.{key}" for key in keys if getattr(was, key) != getattr(now, key)]
    if old.limits.relay_buffer_bytes != new.limits.relay_buffer_bytes:
        found.append("limits.relay_buffer_bytes")
    return found


def in_force(old: Settings, new: Settings) -> Settings:
    """The new settings as far as a running process can take them on."""
    limits = replace(new.limits, relay_buffer_bytes=old.limits.relay_buffer_bytes)
    return replace(new, listen=old.listen, log=old.log, state=old.state, dns=old.dns, limits=limits)


async def load_again(path: str) -> Settings:
    """Read the configuration file, on a thread: a thousand jobs take a while.

    Raises:
        ConfigError: There is none, or it is wrong.
    """
    if not path:
        raise ConfigError(["there is no configuration file to read again"])
    return await asyncio.to_thread(load_file, path)


def take_on(plan: Plan, gate: Gate, roster: Roster, places: Mapping[str, Place], now: float) -> None:
    """Apply a reload, in one turn of the loop: no request meets half of it.

    Args:
        plan: What is to happen.
        gate: Is told of node and jobs at once, so that what both allow afterwards is never cut.
        roster: The jobs.
        places: The listeners that were opened for it.
        now: Seconds since the epoch.
    """
    node = plan.settings.node.policy
    others = [
        entry for entry in roster if entry.origin is Origin.API and entry.asked.id not in plan.taken_over
    ]
    within = [settings for settings, _ in (entry.within(node) for entry in others) if settings is not None]
    gate.change_node(plan.settings, [*plan.jobs, *within])
    for job_id in plan.removed:
        roster.leave(job_id)
    for job in plan.jobs:
        before = roster.find(job.id)
        entry = Entry.new(job, Origin.FILE, now if before is None else before.created_at)
        entry.place = places.get(job.id) or (None if before is None else before.place_for(job))
        roster.enter(entry, job)
    for entry in others:
        roster.serve_within(entry, node)


class SettledFile:
    """Tells, once for each change of a file, that it has changed and stands still again.

    A file that is being written changes from one look to the next. Size, time of the
    last change and inode are compared: a look costs one system call and reads nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = self._taken = _version(path)

    def look(self) -> bool:
        """Say whether it is time to read the file: changed since then, unchanged since the last look."""
        version = _version(self._path)
        settled = version == self._seen and version != self._taken
        self._seen = version
        if settled:
            self._taken = version
        return settled


def _version(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
