"""From an allowed request to its origin and back: dial or reuse, then tunnel or forward (edge).

A carrier belongs to one client connection and one job, and has at most one upstream
connection at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobgate.config.host import Authority
from jobgate.config.policy import Tls
from jobgate.ratelimit.fair import Lane

from .decision import Target
from .errors import ProxyError, Reason
from .exchange import Exchange
from .forward import Forward, Stale
from .head import RequestHead
from .hello import check_hello
from .legs import Legs
from .pool import Kept
from .reach import reach
from .relay import Relay
from .repeats import Rewriter
from .review import refused_now
from .tunnel import Tunnel
from .wire import Wire

if TYPE_CHECKING:
    from .gate import Gate
    from .job import Job

CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Carrier:
    """Carries the allowed requests of one client connection.

    Args:
        gate: Shared services and settings.
        job: Whose requests these are.
        client: The accepted connection.

    Attributes:
        is_judging: A tunnel has been promised, and waits for its ClientHello.
        upstream: Its other side, as long as there is an exchange or a tunnel.
        tunnel: It is allowed, and is all that is done from here on.
    """

    __slots__ = (
        "_client",
        "_gate",
        "_job",
        "_kept",
        "_lanes",
        "_rewriter",
        "is_judging",
        "tunnel",
        "upstream",
    )

    def __init__(self, gate: Gate, job: Job, client: Wire) -> None:
        self._gate = gate
        self._job = job
        self._client = client
        self._rewriter: Rewriter | None = None  # no tunnel needs one
        self.upstream: Wire | None = None
        self._kept: Kept | None = None  # what the pool knew it as
        self._lanes: tuple[Lane, Lane] | None = None  # a tunnel is answered first
        self.is_judging = False
        self.tunnel: Tunnel | None = None

    async def connect(self, request: RequestHead, target: Target, exchange: Exchange) -> Reason | None:
        """Connect, answer CONNECT, and have the ``tunnel`` ready once its first bytes are allowed.

        Returns:
            How it ended where there is none.
        """
        job, timeouts = self._job, self._gate.settings.timeouts
        upstream = await self._reach(target, exchange)
        exchange.status = 200
        self._client.write(CONNECTED)  # first: it says more while its tunnel is made
        upstream.attach()
        self.is_judging = job.policy.job.tls is Tls.REQUIRE
        if self.is_judging:
            refused = await check_hello(
                self._client, upstream, target, job, timeout_s=timeouts.hello_s, exchange=exchange
            )
            self.is_judging = False
            if refused is not None:
                return refused
        up_lane, down_lane = self.lanes()
        self.tunnel = Tunnel(
            Relay(self._client, upstream, lane=up_lane),
            Relay(upstream, self._client, lane=down_lane),
            idle_s=timeouts.tunnel_idle_s,
            half_closed_s=timeouts.half_closed_s,
            alarms=self._gate.alarms,
        )
        return None

    def lanes(self) -> tuple[Lane, Lane]:
        """Return the connection's places among the job's uploads and downloads; made when first needed."""
        lanes = self._lanes
        if lanes is None:
            lanes = self._lanes = self._job.up.lane(), self._job.down.lane()
        return lanes

    def take_waits(self) -> tuple[float, float]:
        """Say how many seconds uploads and downloads were held back since this was asked last."""
        if self._lanes is None:
            return 0.0, 0.0
        up, down = self._lanes
        waits = up.waited_s, down.waited_s
        up.waited_s = down.waited_s = 0.0
        return waits

    @property
    def rewriter(self) -> Rewriter:
        """Of the heads of both sides; made when first needed."""
        if self._rewriter is None:
            self._rewriter = Rewriter()
        return self._rewriter

    async def forward(
        self,
        request: RequestHead,
        target: Target,
        path: bytes,
        exchange: Exchange,
        *,
        decided_in: int | None = None,
        answer_by: float | None = None,
    ) -> bool:
        """Send it over a kept connection of this job, or a new one; say whether another may follow.

        Args:
            decided_in: The generation, if ``upstream`` was taken for it on the fast path.
            answer_by: Loop time, if it has been sent there.
        """
        if (limit := self._gate.settings.limits.max_content_bytes) and request.content.length > limit:
            raise ProxyError(Reason.CONTENT_TOO_LARGE, f"Content over {limit} bytes is not accepted here.")
        job, gate = self._job, self._gate
        authority = Authority(target.host, target.port)
        rewriter = self.rewriter
        upstream = self.upstream or self.take_kept(authority, exchange)
        reused = upstream is not None
        while True:
            if upstream is None:
                upstream = await self._reach(target, exchange)
                upstream.attach()
            generation = job.generation if decided_in is None else decided_in
            head = rewriter.request(request, path, authority, via=gate.via, job_header=job.header)
            legs = Legs(self._client, upstream, *self.lanes())
            forward = Forward(legs, request, exchange, gate.forward_options, rewriter)
            try:
                keep_client, keep_upstream = await forward.run(head, reused=reused, answer_by=answer_by)
            except Stale:  # which no new connection is
                upstream.abort()
                upstream, reused, exchange.address = None, False, None
                decided_in = answer_by = None
            else:
                break
        if keep_upstream and job.generation == generation:
            self.keep(authority, exchange)
        else:
            self.upstream = self._kept = None
            upstream.abort(reset=upstream.blocked)  # an unread upload would keep it open
        return keep_client

    def let_go(self, *, reset: bool) -> None:
        """End the upstream connection, if there is one; with ``reset`` its exchange looks cut."""
        if self.upstream is not None:
            self.upstream.abort(reset=reset)
            self.upstream = self._kept = None

    def keep(self, authority: Authority, exchange: Exchange) -> None:
        """Keep the upstream connection for the job's next request."""
        upstream, kept, pool = self.upstream, self._kept, self._job.pool
        self.upstream = self._kept = None
        if upstream is not None:
            if kept is None or kept.wire is not upstream:
                kept = Kept(pool, authority, upstream, exchange.address or "")
            pool.keep(kept)

    def take_kept(self, authority: Authority, exchange: Exchange) -> Wire | None:
        """Take a kept connection, by which the request is allowed; ``None``: there is none."""
        self._kept = kept = self._job.pool.take(authority)
        if kept is None:
            return None
        self.upstream, exchange.address = kept.wire, kept.address
        exchange.allow()
        return kept.wire

    async def _reach(self, target: Target, exchange: Exchange) -> Wire:
        """Resolve, vet and dial; what a change meanwhile refuses goes no further.

        From then on the connection is let go with its exchange.
        """
        gate, job = self._gate, self._job
        generation = job.generation
        sock = await reach(gate, job, target, exchange)
        try:
            if job.generation != generation:
                error = refused_now(job.policy, [target], exchange.address, gate.is_own)
                if error is not None:
                    raise error
            upstream = gate.wire(sock, job.down)
            upstream.bound_unsent(job.up.send_buffer_bytes)
        except (OSError, ProxyError):
            sock.close()
            raise
        self.upstream = upstream
        return upstream
