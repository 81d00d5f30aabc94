"""Changes of jobs and policy hold for connections of before a take-over, too: said, and done (edge)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from jobgate.config.settings import Settings
from jobgate.proxy.gate import Gate

from .handover import read, written
from .link import LinkError
from .roster import Roster
from .stored import StoreError
from .views import Entry, Origin

logger = logging.getLogger("jobgate")

#: The log file may have been moved away.
REOPEN: Mapping[str, object] = {"reopen": True}


def reload_of(path: str) -> Mapping[str, object]:
    """Say that this configuration file holds now."""
    return {"reload": path}


def change_of(roster: Roster, job_id: str) -> Mapping[str, object]:
    """Say what has become of a job of the control API."""
    entry = roster.find(job_id)
    return {"removed": job_id} if entry is None else {"job": written(entry.stored_job())}


class Follower:
    """Applies what is said to the jobs whose connections still run here.

    Args:
        gate: Their gate.
        roster: Nothing of it listens any more.
        settings: What is in force.
        reopen_log: Called when the log file was moved away.
    """

    def __init__(
        self, gate: Gate, roster: Roster, settings: Settings, reopen_log: Callable[[], None]
    ) -> None:
        self._gate = gate
        self._roster = roster
        self._settings = settings
        self._reopen_log = reopen_log

    async def heed(self, body: Mapping[str, object]) -> None:
        """Do what is said; what is not known here is of a later version and left alone."""
        match body:
            case {"reload": str(path)}:
                await self._reload(path)
            case {"reopen": True}:
                self._reopen_log()
            case {"job": dict(job)}:
                self._change(job)
            case {"removed": str(job_id)}:
                self._remove(job_id)

    async def _reload(self, path: str) -> None:
        from jobgate.config.load import ConfigError

        from .reload import load_again, plan_reload, take_on

        try:
            plan = plan_reload(self._settings, await load_again(path), self._roster)
        except ConfigError as error:  # not for the other process, which may be of a later version
            logger.warning("connections of before the take-over keep their policy: %s", error)
            return
        self._settings = plan.settings
        take_on(plan, self._gate, self._roster, {}, time.time())

    def _change(self, job: dict[str, object]) -> None:
        """Take a job on as it is now; one that cannot be read, which may allow less now, ends."""
        from .documents import read_kept

        try:
            kept = read(job)
            asked = read_kept(kept, "a message")
        except (LinkError, StoreError, ValueError):
            self._remove(str(job.get("id")))
            return
        entry = Entry.new(asked, Origin.API, kept.created_at)
        self._roster.serve_within(entry, self._settings.node.policy)

    def _remove(self, job_id: str) -> None:
        if job_id in self._roster:
            self._roster.leave(job_id)
