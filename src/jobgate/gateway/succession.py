"""How a service follows another one, and is followed: what of it goes from process to process (edge)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from jobgate.config.endpoints import UnixPath
from jobgate.proxy.gate import Gate

from .alone import Alone
from .control import Sockets
from .follower import REOPEN, Follower, change_of, reload_of
from .handover import Handover
from .inherited import Inheritance, Inherited
from .listeners import open_listener, remove_path
from .registry import Registry
from .stored import Stored
from .upgrade import Predecessor, Team, UpgradeServer, follow, meet
from .views import Origin

#: Whoever may ask for the listeners has the network of all jobs.
UPGRADE_MODE = 0o600


class Succession(Alone):
    """A process among those that serve the same jobs, one after the other.

    Args:
        gate: Of this process.
        registry: Its jobs.
        path: Where the process that serves can be asked; ``None``: it cannot be followed.
        config_path: The configuration file.
        reopen_log: As ``Alone``.
    """

    def __init__(
        self,
        gate: Gate,
        registry: Registry,
        path: UnixPath | None,
        config_path: str,
        reopen_log: Callable[[], None],
    ) -> None:
        super().__init__(reopen_log)
        self._gate = gate
        self._registry = registry
        self._path = path
        self._config_path = os.path.abspath(config_path)
        self._predecessor: Predecessor | None = None
        self._besides: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._team = Team(gate.set_share)
        self._telling: set[asyncio.Task[None]] = set()

    # --- following --------------------------------------------------------------------

    async def meet(self, activated: Iterable[Inherited], *, take_over: bool) -> None:
        sockets = list(activated)
        if take_over and self._path is not None:
            self._predecessor = await meet(self._path)
        if self._predecessor is not None:
            handover = self._predecessor.handover
            sockets += handover.listeners
            handover.listeners = []
            self.known = Stored(handover.jobs, handover.counters)
            self._gate.set_share(1 / (2 + len(handover.drainers)))
        self.inheritance = Inheritance(sockets)

    def add(self, besides: Sockets) -> None:
        socks = (*besides.shared, besides.control, besides.metrics)
        self._besides = [sock for sock in socks if sock is not None]
        if besides.control is None:
            self._path = None

    async def begin(self) -> None:
        if self._path is not None:
            self._listener = self.inheritance.take(self._path) or open_listener(self._path, mode=UPGRADE_MODE)
        if self._predecessor is not None:
            await self._predecessor.detach()

    async def confirm(self) -> None:
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is not None:
            await predecessor.retire(self._team)
            await self._team.tell(reload_of(self._config_path))
            self._gate.journal.taps.append(self._heard)

    def give_up(self) -> None:
        if self._predecessor is not None:
            self._gate.detach()
            self._predecessor.close()

    def on_hangup(self) -> None:
        super().on_hangup()
        self._tell(REOPEN)

    def _heard(self, _: str, line: bytes) -> None:
        """Tell those that still drain what the journal says of jobs and policy."""
        if b'"event":"policy"' not in line:
            return
        match json.loads(line):
            case {"event": "policy", "action": "reload"}:
                self._tell(reload_of(self._config_path))
            case {"event": "policy", "action": "add" | "change" | "remove", "job": str(job_id)}:
                self._tell(change_of(self._registry.roster, job_id))

    def _tell(self, body: Mapping[str, object]) -> None:
        if self._team.drainers:
            task = asyncio.get_running_loop().create_task(self._team.tell(body))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    # --- being followed ---------------------------------------------------------------

    async def wait(self, followed: Callable[[], None]) -> None:
        if self._listener is None:
            return
        self.successor = await UpgradeServer(self._listener, self, self._team).run()
        self._registry.roster.retire()
        self._gate.part()
        if self._listener is not None:
            self._listener.close()
        followed()

    async def follow(self) -> None:
        if self.successor is not None:
            roster, settings = self._registry.roster, self._registry.settings
            follower = Follower(self._gate, roster, settings, self._reopen_log)
            await follow(self.successor, self._gate.set_share, follower.heed)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[Handover]:
        """Give everything away; no job changes inside the block."""
        async with self._registry.frozen():
            entries = list(self._registry.roster)
            listeners = [
                Inherited(entry.place.sock, entry.place.key[0], entry.asked.id)
                for entry in entries
                if entry.place is not None
            ]
            besides = self._besides if self._listener is None else [*self._besides, self._listener]
            yield Handover(
                [*listeners, *map(Inherited, besides)],
                [entry.stored_job() for entry in entries if entry.origin is Origin.API],
                {entry.asked.id: self._registry.roster.counters(entry) for entry in entries},
            )

    def detach(self) -> None:
        """Stop accepting; nothing is changed here any more."""
        self._gate.detach()
        self._registry.retire()

    def resume(self) -> None:
        """Accept again."""
        self._gate.resume()
        self._registry.retire(is_followed=False)

    async def close(self) -> None:
        await super().close()
        if self._predecessor is not None:
            self._predecessor.close()
        await self._team.leave()
        if self.successor is not None:
            self.successor.close()
        elif self._listener is not None:
            self._listener.close()
            if self._path is not None and not self._gate.retiring:
                remove_path(self._path)
