"""The gate: jobs, their listeners, and what all connections share (edge)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from jobgate.config.host import Address
from jobgate.config.policy import Policy, bound, narrow
from jobgate.config.settings import JobSettings, Settings
from jobgate.ratelimit.pacer import Pacer
from jobgate.ratelimit.total import NodeTotal

from .accepting import Reception, effective_connections, spare
from .alarms import own_alarms
from .alone import Alone
from .dial import Dialer, dial
from .direction import Direction
from .entrance import Entrance, OwnEntrance, SharedEntrance
from .errors import Reason
from .forward import ForwardOptions
from .head import HeadLimits
from .identity import Identities
from .job import Commons, Job, nobody
from .journal import Journal
from .lifetime import Clocks
from .listener import Listener
from .members import Members
from .own import OwnEndpoints
from .poller import own_poller
from .pool import IdleBudget
from .resolver import Resolver
from .totals import Totals
from .upstream import UpstreamDialer
from .usage import JobCounters
from .wire import Wire

#: Limited jobs are served every other millisecond: a tenth of their cost, and nothing of their rate.
SHARED_TICKS = 2
#: Largest window of a read; the scratch buffer is shared by all connections of a gate.
SCRATCH_BYTES = 1 << 20


class _Served(NamedTuple):
    """Whose listener it is (``None``: a shared one), and where in this namespace it is."""

    job: Job | None
    endpoint: tuple[str, int] | None


class Gate(Alone):
    """Serves jobs until it is closed. Made, used and closed on one running loop.

    Args:
        settings: Of the node; ``settings.jobs`` are not added by themselves.
        journal: Where decision and close lines go.
        resolver: For tests; by default the configured servers are asked.
        dialer: For tests.
        clock_wall: Seconds since the epoch.

    Attributes:
        jobs: By id.
        own: Where this process listens; add what it listens on besides the gate.
        soon: Calls a function in the next turn of the loop.
        draining: No more requests are served.
        retiring: No more connections come.
        reception: The connections of all jobs.
        nobody: Whose connections those are that have not shown their job yet. It may do nothing.
        members: Jobs among these that their use has made.
        shared: What shared listeners lead to.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        journal: Journal,
        resolver: Resolver | None = None,
        dialer: Dialer = dial,
        clock_wall: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal
        self.resolver = resolver if resolver is not None else Resolver(settings.dns)
        self.dialer = dialer
        self.draining = False
        self.retiring = False
        self.jobs: dict[str, Job] = {}
        self.own = OwnEndpoints()
        self.reception = Reception(self)
        self._take(settings)
        self.alarms = own_alarms()
        self._poller = own_poller()
        self._loop = self.alarms.loop
        self.soon = self._loop.call_soon
        self._pacer = Pacer(time.monotonic, self._loop.call_at, shared_ticks=SHARED_TICKS)
        self._commons = Commons(
            memoryview(bytearray(min(SCRATCH_BYTES, settings.limits.relay_buffer_bytes))),
            self._pacer,
            IdleBudget(spare(self.max_connections)),
            NodeTotal(settings.node.total_rate_up, self._pacer),
            NodeTotal(settings.node.total_rate_down, self._pacer),
            Clocks(clock_wall, self._loop.time, self._loop.call_later),
        )
        self.nobody = nobody(settings, self._commons)
        self._identities = Identities()
        self.members = Members(self, self._commons.clocks)
        self.shared: Entrance = SharedEntrance(self._identities, self.members)
        self._share = 1.0
        self._of_total = 1.0, 1.0
        self._listeners: dict[Listener, _Served] = {}
        self._leaving: set[Job] = set()  # removed, with connections that are about to end
        self._past = Totals()  # of jobs that are gone

    # --- jobs ----------------------------------------------------------------------

    def add_job(self, settings: JobSettings, *, restored: JobCounters | None = None) -> Job:
        """Register a job.

        Args:
            settings: With an id that no other job has.
            restored: What it had used before this process.

        Raises:
            PolicyError: It asks for more than the node allows.
        """
        job = Job(settings, self.settings, self._commons, restored=restored, on_over=self._over)
        job.set_share(self._share)
        self.jobs[job.id] = job
        self._identities.add(settings)
        return job

    def change_job(self, settings: JobSettings) -> Job:
        """Give the job of this id another policy, rates and caps, at once.

        What is under way is decided again; what is refused now ends.

        Raises:
            KeyError: There is no such job.
            PolicyError: It asks for more than the node allows; nothing has changed.
        """
        job, node = self.jobs[settings.id], self.settings.node.policy
        policy = Policy(narrow(settings.policy, node), node)
        if settings.id in self.members:
            return self._replace(settings)
        if not settings.max_members:
            self.members.leave(settings.id)
        self._change(job, settings, policy)
        for member_id, asked in self.members.following([settings]).items():
            self._change(self.jobs[member_id], asked, policy)
        return job

    def remove_job(self, job_id: str, reason: Reason = Reason.UNKNOWN_JOB) -> None:
        """Take a job away: its listeners close, what is under way ends.

        Raises:
            KeyError: There is no such job.
        """
        job = self.jobs.pop(job_id)
        self.members.leave(job_id, reason)
        self._identities.remove(job.settings)
        self._leaving.add(job)
        for listener in [listener for listener, served in self._listeners.items() if served.job is job]:
            self.unlisten(listener)
        job.end(reason)
        job.review(self.is_own)
        self.forget(job)

    def change_node(self, settings: Settings, jobs: Iterable[JobSettings] = ()) -> None:
        """Follow a reload: the node's policy, limits and timeouts, and with them all jobs.

        Args:
            settings: Of the node.
            jobs: New settings of jobs that change with it, so that nothing is judged by half of the change;
                those that the gate does not have are passed over.

        A job that asks for more than the node allows now stays, within the node's policy. ``[dns]``,
        ``relay_buffer_bytes`` and listeners stay as they are. Timeouts are for what begins from now on.
        """
        before = self.max_connections
        self._take(settings)
        self._commons.idle.left += spare(self.max_connections) - spare(before)
        self._share_totals()
        node, changed = settings.node.policy, {job.id: job for job in jobs}
        for asked in changed.values():
            if asked.id in self.members:
                self._replace(asked)
            if not asked.max_members:
                self.members.leave(asked.id)
        changed = {**self.members.following(changed.values()), **changed}
        for job in self.jobs.values():
            asked = changed.get(job.id, job.settings)
            self._change(job, asked, Policy(bound(asked.policy, node), node))
        self.nobody.change(self.nobody.settings, self.nobody.policy, settings)

    @property
    def connections(self) -> int:
        """Client connections that are open."""
        return len(self.reception)

    def totals(self) -> Totals:
        """Sum up what all jobs have counted, those that are gone included."""
        found = self._past.copy()
        for job in (*self.jobs.values(), *self._leaving, self.nobody):
            found.add_job(job)
        return found

    def set_share(self, share: float) -> None:
        """Give all jobs this part of their rates, and of the node's: another process serves them, too."""
        self._share = share
        self._share_totals()
        for job in self.jobs.values():
            job.set_share(share)

    def set_part_of_total(self, up: float, down: float) -> None:
        """Take these parts of the node's rates alone: other jobs are served by other processes."""
        if (up, down) != self._of_total:
            self._of_total = up, down
            self._share_totals()

    @property
    def waiting_for_total(self) -> tuple[int, int]:
        """Jobs that the node's rates alone hold back, up and down."""
        return self._commons.total_up.waiting, self._commons.total_down.waiting

    # --- listeners -----------------------------------------------------------------

    def listen(self, entrance: Job | Entrance, sock: socket.socket, *, elsewhere: bool = False) -> Listener:
        """Accept connections on a bound, listening socket, which the gate owns from now on.

        Args:
            entrance: The job whose listener it is, or ``shared``.
            sock: Where they come in.
            elsewhere: It was made in another network namespace: its address means something else here.
        """
        endpoint = None
        if not elsewhere and sock.family in (socket.AF_INET, socket.AF_INET6):
            host, port = endpoint = sock.getsockname()[:2]
            self.own.add(host, port)
        job = entrance if isinstance(entrance, Job) else None
        leads_to = OwnEntrance(entrance) if isinstance(entrance, Job) else entrance
        listener = Listener(sock, partial(self.reception.accepted, leads_to))
        self._listeners[listener] = _Served(job, endpoint)
        return listener

    def unlisten(self, listener: Listener) -> None:
        """Close a listening socket; connections that were accepted go on.

        Raises:
            KeyError: It is not, or no more, one of this gate.
        """
        served = self._listeners.pop(listener)
        listener.close()
        if served.endpoint is not None:
            self.own.discard(*served.endpoint)

    def detach(self) -> list[socket.socket]:
        """Stop accepting and give the listening sockets away, open, for another process to go on with.

        Their endpoints stay the gate's own. A kept connection is closed with its next answer: so all end.
        """
        self.retiring = True
        return [listener.detach() for listener in self._listeners]

    def resume(self) -> None:
        """Accept again: nobody took the sockets."""
        self.retiring = False
        for listener in self._listeners:
            listener.resume()

    def part(self) -> None:
        """Close the listening sockets that were given away: another process goes on with them."""
        for listener in self._listeners:
            listener.sock.close()

    async def emptied(self) -> None:
        """Return when no connection is open."""
        await self.reception.emptied()

    # --- for connections -----------------------------------------------------------

    def is_own(self, address: Address, port: int) -> bool:
        """Say whether an endpoint is one of the gate's own listeners, by whatever form of its address."""
        return self.own.leads_to(address, port)

    def wire(self, sock: socket.socket, direction: Direction) -> Wire:
        """Wrap a connected socket that the given direction reads from; nothing watches it yet."""
        return Wire(sock, direction, self.settings.limits.max_head_bytes, self.alarms, self._poller)

    def forget(self, job: Job) -> None:
        """Keep nothing of a job that was removed, once its last connection has gone."""
        if job.connections or job not in self._leaving:
            return
        self._leaving.remove(job)
        self._past.add_job(job)
        job.close()
        if job.id not in self.jobs:
            self.journal.forget(job.id)

    async def close(self, drain_s: float = 0.0) -> None:
        """Stop: no new connections, no new requests; what runs has ``drain_s`` to end, then it is cut."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        await self.reception.close(drain_s)
        self.members.stop()
        for job in (*self.jobs.values(), self.nobody):
            job.close()
        await self.resolver.close()

    # --- inside --------------------------------------------------------------------

    def _take(self, settings: Settings) -> None:
        """Keep the settings, and what every connection needs of them."""
        limits, timeouts = settings.limits, settings.timeouts
        self.settings = settings
        self.journal.follow(limits.requests_per_s_per_job)
        self.head_limits = HeadLimits(limits.max_head_bytes, limits.max_target_bytes, limits.max_fields)
        self.via = settings.node.via.encode("ascii")
        self.forward_options = ForwardOptions(
            self.head_limits,
            limits.max_content_bytes,
            timeouts.upstream_response_s,
            timeouts.tunnel_idle_s,
            timeouts.half_closed_s,
            self.via,
        )
        self.max_connections = effective_connections(limits.max_connections)
        self.max_heard = self.max_connections + spare(self.max_connections)
        #: The way to origins, where it is not the direct one.
        self.upstream: UpstreamDialer | None = None
        if settings.upstream.proxy is not None:
            self.upstream = UpstreamDialer(settings.upstream, self.resolver, self.dialer, self.head_limits)

    def _share_totals(self) -> None:
        node = self.settings.node
        up, down = self._of_total
        self._commons.total_up.set_rate(node.total_rate_up * self._share * up)
        self._commons.total_down.set_rate(node.total_rate_down * self._share * down)

    def _change(self, job: Job, settings: JobSettings, policy: Policy) -> None:
        """Give a job other settings; what they refuse ends."""
        self._identities.remove(job.settings)
        self._identities.add(settings)
        if job.change(settings, policy, self.settings):
            job.review(self.is_own)

    def _replace(self, settings: JobSettings) -> Job:
        """Put a job in the place of a member: nothing that the member used, or has open, is its."""
        self.remove_job(settings.id)
        return self.add_job(settings)

    def _over(self, job: Job) -> None:
        """Follow a quota that is spent, or a time that is over."""
        if job.settle():
            job.review(self.is_own)
