"""A job as the gate serves it: its policy, its queues, its counters, its connections, its end.

Everything may change while the job runs; whoever decides reads it at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jobgate.config.host import Address, Authority
from jobgate.config.policy import Network, Policy, narrow
from jobgate.config.settings import JobSettings, Settings
from jobgate.ratelimit.pacer import Pacer
from jobgate.ratelimit.requests import RequestLimiter
from jobgate.ratelimit.total import NodeTotal

from .connects import ConnectHeads
from .decision import Decider, Kind, Target
from .direction import Direction
from .errors import Reason
from .lifetime import Clocks, Lifetime
from .pool import IdleBudget, UpstreamPool
from .review import refused_now
from .usage import JobCounters, Usage
from .vetting import Vetter

if TYPE_CHECKING:
    from .connection import Connection


@dataclass(frozen=True, slots=True)
class Caps:
    """How many connections a job may hold.

    Attributes:
        connections: More are answered with 429.
        heard: Connections whose head is read at all; the rest is closed unheard.
    """

    connections: int
    heard: int


@dataclass(frozen=True, slots=True)
class Commons:
    """What the jobs of a gate share.

    Attributes:
        scratch: What all connections read into.
        pacer: Wakes the queues.
        idle: Upstream connections that may be kept.
        total_up: Bound of all jobs together.
        total_down: Likewise.
        clocks: Where time comes from.
    """

    scratch: memoryview
    pacer: Pacer
    idle: IdleBudget
    total_up: NodeTotal
    total_down: NodeTotal
    clocks: Clocks


class Job:
    """The live state of one job. The job's policy is bounded by the node's here, once more.

    Args:
        settings: Of the job.
        node: Of the gate.
        commons: Of the gate.
        restored: What the job had used before this process.
        on_over: Called when a quota is spent or the job's time is over.

    Attributes:
        restored: What it had used before this process.
        decider: Of its requests, by the policy of now.
        vetter: Of the addresses that these lead to.
        connects: Of their heads; ``None``: they may be anyone's.
        gone: Why no request is served any more: ``unknown-job`` (removed), ``expired``, ``quota``.
        generation: Counts the changes: what was decided before the last one is decided again.
        open: Its connections that have been wrapped.
        connections: How many are open, those over a cap and those not wrapped yet included.

    Raises:
        PolicyError: It asks for more than the node allows.
    """

    def __init__(
        self,
        settings: JobSettings,
        node: Settings,
        commons: Commons,
        *,
        restored: JobCounters | None = None,
        on_over: Callable[[Job], None],
    ) -> None:
        over = partial(on_over, self)
        self.restored = before = restored or JobCounters(0, 0, 0, 0, commons.clocks.wall())
        self.id = settings.id
        self.policy = Policy(narrow(settings.policy, node.node.policy), node.node.policy)
        self.up, self.down = (
            Direction(
                rate,
                settings.burst_bytes,
                commons.scratch,
                commons.pacer,
                total=total,
                max_bytes=max_bytes,
                used_bytes=used_bytes,
                on_exhausted=over,
            )
            for rate, max_bytes, used_bytes, total in (
                (self.policy.job.rate_up, settings.max_bytes_up, before.bytes_up, commons.total_up),
                (self.policy.job.rate_down, settings.max_bytes_down, before.bytes_down, commons.total_down),
            )
        )
        self.decider = Decider()
        self.vetter = Vetter()
        self.connects: ConnectHeads | None = ConnectHeads()
        self.usage = Usage(requests=before.requests, refused_requests=before.refused)
        self.pool = UpstreamPool(node.timeouts.keepalive_s, commons.idle)
        self.requests = RequestLimiter(node.limits.requests_per_s_per_job)
        self.dns_names = RequestLimiter(node.limits.dns_names_per_s_per_job)
        self.gone: Reason | None = None
        self.generation = 0
        self.open: set[Connection] = set()
        self.connections = 0
        self._lifetime = Lifetime(commons.clocks, over)
        self._removed: Reason | None = None
        self._take(settings, node)

    def counters(self) -> JobCounters:
        """Say what the job has used until now."""
        usage = self.usage
        return JobCounters(
            self.up.moved_bytes,
            self.down.moved_bytes,
            usage.requests,
            usage.refused_requests,
            self.restored.started_at,
        )

    def change(self, settings: JobSettings, policy: Policy, node: Settings) -> bool:
        """Take over new settings, of the job or of its gate.

        Returns:
            Whether something that is under way may be refused now.
        """
        before = self.policy, self.gone
        bounded = policy.job
        self.policy = policy
        self.up.set_limits(bounded.rate_up, settings.burst_bytes, settings.max_bytes_up)
        self.down.set_limits(bounded.rate_down, settings.burst_bytes, settings.max_bytes_down)
        for limiter, per_s in (
            (self.requests, node.limits.requests_per_s_per_job),
            (self.dns_names, node.limits.dns_names_per_s_per_job),
        ):
            if limiter.per_s != per_s:
                limiter.set_rate(per_s)
        self.pool.keepalive_s = node.timeouts.keepalive_s
        self.generation += 1
        self._take(settings, node)
        return before != (self.policy, self.gone)

    def mirror(self, counters: JobCounters, connections: int) -> None:
        """Show what another process counts, which serves this job; its directions are mirrored before.

        ``usage`` has no more than the sums of it.
        """
        self.usage.requests, self.usage.refused_requests = counters.requests, counters.refused
        self.connections = connections
        self.settle()

    def set_share(self, share: float) -> None:
        """Take this part of the rates alone."""
        self.up.set_share(share)
        self.down.set_share(share)

    def settle(self) -> bool:
        """Find out anew whether requests are served; say whether that has changed."""
        before = self.gone
        exhausted = Reason.QUOTA if self.up.exhausted or self.down.exhausted else None
        self.gone = self._removed or self._lifetime.over() or exhausted
        self.generation += self.gone is not before
        return self.gone is not before

    def review(self, is_own: Callable[[Address, int], bool]) -> None:
        """Decide again about all that is under way or kept, and end what is refused now.

        Args:
            is_own: Says whether an endpoint is the gate's own.
        """
        self.pool.prune(partial(self._may_keep, is_own))
        for connection in list(self.open):
            connection.review()

    def end(self, reason: Reason) -> None:
        """Serve no request any more, for good."""
        self._removed = reason
        self._lifetime.stop()
        self.pool.close()
        self.settle()

    def close(self) -> None:
        """Let go of what the gate's jobs share, once no connection is left, and of what holds the job.

        So its memory is free at once: some 80 objects would else wait for a collection of cycles.
        """
        self._lifetime.close()
        self.pool.close()
        self.up.close()
        self.down.close()

    def _may_keep(self, is_own: Callable[[Address, int], bool], authority: Authority, address: str) -> bool:
        asked = [Target(Kind.HTTP, authority.host, authority.port)]
        return self.gone is None and refused_now(self.policy, asked, address, is_own) is None

    def _take(self, settings: JobSettings, node: Settings) -> None:
        self.settings = settings
        connections = min(settings.max_connections, node.limits.max_connections_per_job)
        self.caps = Caps(connections, heard=2 * connections)
        name = settings.job_header
        self.header = (name.encode("ascii"), self.id.encode("ascii")) if name else None
        self._lifetime.set(
            expires_at=settings.expires_at,
            started_at=self.restored.started_at,
            max_duration_s=settings.max_duration_s,
        )
        self.settle()


def nobody(node: Settings, commons: Commons) -> Job:
    """Make the job of the connections that have not shown theirs yet: it has no id and no network."""
    accepting = replace(node, node=replace(node.node, networks=(Network.NONE,)))
    job = Job(JobSettings(""), accepting, commons, on_over=lambda _: None)
    job.connects = None
    return job
