"""A gate whose jobs are served by several processes, each job by one of them (edge).

To whoever changes and shows jobs it is a ``Gate``: it has every job, whose counters are those
that its worker told last. It accepts on shared listeners alone, and gives each connection to
the worker whose job it shows to be; strangers are refused here. Listening sockets are open
here, too: when a worker dies, what waits in a backlog waits for the next one.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.accepting import effective_connections
from jobgate.proxy.entrance import Entrance
from jobgate.proxy.errors import Reason
from jobgate.proxy.gate import Gate
from jobgate.proxy.job import Job
from jobgate.proxy.journal import Journal
from jobgate.proxy.listener import Listener
from jobgate.proxy.peeking import Peeker
from jobgate.proxy.peer import Peer
from jobgate.proxy.totals import Totals
from jobgate.proxy.usage import JobCounters

from . import orders
from .accounts import Accounts
from .crew import Crew
from .front import Endpoints, Front
from .hand import ANSWER_S, SETTLE_S, Hand
from .report import Report, mirror, quiet, read_usage
from .sharing import Apportionment, Load

#: How often it is looked whether the last connection of a worker has ended.
EMPTY_S = 0.5
#: A connection that says nothing is accepted after so long; the kernel rounds it up to its next try.
DEFER_S = 1


class _Place(NamedTuple):
    """A listener of a job."""

    number: int
    job_id: str
    elsewhere: bool


class Fleet(Gate):
    """The gate, in several processes.

    Args:
        settings, journal: As a ``Gate``.
        log: Where the workers write their log.
        loop: Which loop they run, ``uvloop`` or ``asyncio``.
        clock: Monotonic seconds.

    Attributes:
        crew: The workers.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        journal: Journal,
        log: str = "-",
        loop: str = "uvloop",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, journal=journal)
        numbers = range(1, settings.listen.workers + 1)
        self.crew = Crew([Hand(number, [loop, log], self) for number in numbers])
        self.own = Endpoints(self.crew.tell)
        self.shared = self._front = Front(self._identities, self.members)
        self._clock = clock
        self._places: dict[Listener, _Place] = {}
        self._count = 0
        self._accounts = Accounts(len(self.crew))
        self._apportionment = Apportionment(len(self.crew), clock())
        self._peeker = Peeker()
        self._on_lost: Callable[[int], None] | None = None

    def _take(self, settings: Settings) -> None:
        super()._take(settings)
        workers, limit = settings.listen.workers, settings.limits.max_connections
        self.max_connections = min(limit, workers * effective_connections(orders.part_of(limit, workers)))

    async def start(self) -> list[int]:
        """Start the workers.

        Raises:
            WorkerError: One of them does not come up.
        """
        return await self.crew.start()

    # --- jobs -------------------------------------------------------------------------

    def add_job(self, settings: JobSettings, *, restored: JobCounters | None = None) -> Job:
        job = super().add_job(replace(settings, max_members=0), restored=restored)  # no members here
        self._tell_job(self.crew.assign(job.id), job)
        return job

    def change_job(self, settings: JobSettings) -> Job:
        job = super().change_job(replace(settings, max_members=0))
        self.crew.owner(job.id).post(orders.change(job.settings))
        return job

    def remove_job(self, job_id: str, reason: Reason = Reason.UNKNOWN_JOB) -> None:
        self.jobs[job_id].connections = 0  # none of them is here
        super().remove_job(job_id, reason)
        self.crew.release(job_id).post({"remove": job_id, "reason": reason.token})

    def change_node(self, settings: Settings, jobs: Iterable[JobSettings] = ()) -> None:
        changed = [replace(job, max_members=0) for job in jobs]
        super().change_node(settings, changed)
        for hand in self.crew:
            ids = {*self.crew.owned_by(hand)}
            owned = [job for job in changed if job.id in ids]
            hand.post(orders.change_node(settings, owned, len(self.crew)))

    def set_share(self, share: float) -> None:
        super().set_share(share)
        self.crew.tell({"share": float(share)})

    # --- listeners --------------------------------------------------------------------

    def listen(self, entrance: Job | Entrance, sock: socket.socket, *, elsewhere: bool = False) -> Listener:
        listener = super().listen(entrance, sock, elsewhere=elsewhere)
        if isinstance(entrance, Job):
            listener.detach()  # it is the worker that accepts
            self._count += 1
            place = self._places[listener] = _Place(self._count, entrance.id, elsewhere)
            self._tell_place(self.crew.owner(entrance.id), place, sock)
        elif sock.family is not socket.AF_UNIX:
            # Accepted with its head, a connection can be given away without waiting for anything.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
        return listener

    def unlisten(self, listener: Listener) -> None:
        super().unlisten(listener)
        place = self._places.pop(listener, None)
        if place is not None:
            self.crew.owner(place.job_id).post({"unlisten": place.number})

    def detach(self) -> list[socket.socket]:
        socks = super().detach()
        self.crew.tell({"do": "detach"})
        return socks

    def resume(self) -> None:
        super().resume()
        for listener in self._places:
            listener.detach()
        self.crew.tell({"do": "resume"})

    def part(self) -> None:
        super().part()
        self.crew.tell({"do": "part"})
        self.crew.retire()

    def reopen_log(self) -> None:
        self.crew.tell({"do": "reopen"})

    def follow(self, on_lost: Callable[[int], None] | None) -> None:
        self._on_lost = on_lost
        self.crew.tell({"follow": on_lost is not None})

    def takes(self, sock: socket.socket, peer: Peer) -> bool:
        head = self._peeker.now(sock, self.head_limits)
        job = None if head is None else self._front.owner_of(peer, head)
        if job is None:
            return False
        self.crew.owner(job.id).pass_on(sock, peer.text, job.id)
        return True

    async def leads_on(self, sock: socket.socket, peer: Peer) -> bool:
        try:
            head = await self._peeker.head(sock, self.head_limits, self.settings.timeouts.head_s)
            job = None if head is None else self._front.owner_of(peer, head)
            if job is None:
                return False  # who reads it here says why it is refused
            self.crew.owner(job.id).pass_on(sock, peer.text, job.id)
            return True
        except BaseException:
            sock.close()
            raise

    # --- all together -----------------------------------------------------------------

    @property
    def connections(self) -> int:
        return len(self.reception) + self._accounts.connections

    def totals(self) -> Totals:
        found = self.report().totals
        found.add_job(self.nobody)
        return found

    def report(self) -> Report:
        """What all workers have counted, those that have died included."""
        return self._accounts.whole()

    async def settled(self) -> None:
        await self.crew.settled()

    async def refresh(self) -> None:
        await asyncio.gather(*map(self._refresh, self.crew))
        self._share_by_demand()

    async def examine(self, job_id: str) -> list[dict[str, object]] | None:
        answer = await self.crew.owner(job_id).ask({"usage": job_id}) if job_id in self.jobs else None
        job = self.jobs.get(job_id)
        match answer:
            case {"usage": dict(usage), "recent": list(recent)} if job is not None:
                job.usage = read_usage(usage)
                return recent
        return []

    async def emptied(self) -> None:
        while True:
            await self.reception.emptied()
            known = await asyncio.gather(*(self._refresh(hand, SETTLE_S) for hand in self.crew))
            if all(known) and not self.connections:
                return
            await asyncio.sleep(EMPTY_S)

    async def close(self, drain_s: float = 0.0) -> None:
        self._peeker.close()
        alive = self.crew.dismiss(drain_s)
        await super().close(drain_s)
        await self.crew.gone(alive, drain_s)

    # --- what workers say -------------------------------------------------------------

    def introduce(self, hand: Hand) -> None:
        """Tell a worker everything: node, endpoints, its jobs with what they have used, their listeners."""
        hand.post(orders.begin(self.settings, len(self.crew)))
        hand.post({"share": float(self._share)})
        hand.post({"part_of_total": list(self._apportionment.parts[hand.number - 1])})
        for host, port in self.own.places():
            hand.post(orders.own(host, port, there=True))
        for job_id in self.crew.owned_by(hand):
            self._tell_job(hand, self.jobs[job_id])
        for listener, place in self._places.items():
            if self.crew.owner(place.job_id) is hand:
                self._tell_place(hand, place, listener.sock)
        if self.retiring:
            hand.post({"do": "detach"})
        hand.post({"follow": self._on_lost is not None})

    def heard(self, hand: Hand, body: Mapping[str, object]) -> None:
        """Take lines for those who follow, and reports: the last, and late ones, which are not made again."""
        match body:
            case {"last": dict(report)} | {"report": dict(report)}:
                self._take_report(hand, report)
            case {"lines": list(lines), "lost": int(lost)}:
                for tap in self.journal.taps:
                    for line in lines:
                        tap(orders.job_of(line), line.encode("ascii"))
                if lost and self._on_lost is not None:
                    self._on_lost(lost)

    def lost(self, hand: Hand, problem: str, restart_s: float | None) -> None:
        """Log that a worker has died, once, and keep what it had counted."""
        self._accounts.bury(hand.number)
        owned = [self.jobs[job_id] for job_id in self.crew.owned_by(hand)]
        for job in owned:
            quiet(job)
        self.journal.event(
            "worker",
            {
                "worker": hand.number,
                "pid": hand.pid,
                "problem": problem,
                "jobs": len(owned),
                "restart_s": restart_s,
            },
        )

    def back(self, hand: Hand) -> None:
        """Log that its jobs are served again."""
        self.journal.event("worker", {"worker": hand.number, "pid": hand.pid, "problem": None})

    # --- inside -----------------------------------------------------------------------

    def _tell_job(self, hand: Hand, job: Job) -> None:
        hand.post(orders.add(job.settings, job.counters()))

    def _tell_place(self, hand: Hand, place: _Place, sock: socket.socket) -> None:
        hand.post({"listen": place.number, "job": place.job_id, "elsewhere": place.elsewhere}, sock)

    async def _refresh(self, hand: Hand, patience_s: float = ANSWER_S) -> bool:
        """Have a worker's counters; ``False``: it does not answer."""
        match await hand.ask({"report": True}, patience_s):
            case {"report": dict(report)}:
                self._take_report(hand, report)
                return True
        return not hand.is_up

    def _take_report(self, hand: Hand, body: Mapping[str, object]) -> None:
        report = self._accounts.take(hand.number, Report.read(body))
        for job_id, row in report.jobs.items():
            job = self.jobs.get(job_id)
            if job is not None and self.crew.owner(job_id) is hand:
                mirror(job, row)

    def _share_by_demand(self) -> None:
        """Give each worker its part of the node's rates, if there are any, by what its jobs want."""
        node = self.settings.node
        rates = node.total_rate_up * self._share, node.total_rate_down * self._share
        if all(map(math.isinf, rates)):
            return
        held_back = [report.held_back for report in self._accounts.reports]
        if self._apportionment.look(self._clock(), rates, map(self._load, self.jobs.values()), held_back):
            for hand, both in zip(self.crew, self._apportionment.parts, strict=True):
                hand.post({"part_of_total": list(both)})

    def _load(self, job: Job) -> Load:
        worker = self.crew.owner(job.id).number - 1
        moved_bytes = job.up.moved_bytes, job.down.moved_bytes
        return Load(job.id, worker, moved_bytes, (job.up.waiting, job.down.waiting))
