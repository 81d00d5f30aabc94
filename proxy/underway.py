"""What is under way on one client connection: whose record is open, and why it may not go on. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jobgate.config.host import Address, Authority

from .errors import DRAINED, ProxyError, Reason
from .exchange import Exchange
from .head import RequestHead
from .review import refused_now

if TYPE_CHECKING:
    from .carrier import Carrier
    from .job import Job


class UnderWay:
    """The request that is served, and the CONNECT to port 80 that it may be inside of.

    Attributes:
        request: The last one.
        exchange: Its record, as long as that is open.
        inside: A CONNECT to this authority's port 80 was answered: plain HTTP in origin-form follows.
        overruled: Why it may not go on: the job's policy has changed, or its end has come.
    """

    __slots__ = ("_outer", "exchange", "inside", "overruled", "request")

    def __init__(self) -> None:
        self.request: RequestHead | None = None
        self.exchange: Exchange | None = None
        self._outer: Exchange | None = None  # the CONNECT's
        self.inside: Authority | None = None
        self.overruled: ProxyError | None = None

    @property
    def record(self) -> Exchange | None:
        """The innermost one that is open."""
        return self.exchange or self._outer

    def begin(self, request: RequestHead | None, exchange: Exchange) -> None:
        """Serve a request from here on; ``None``: its head was refused."""
        self.request, self.exchange = request, exchange

    def enter(self, authority: Authority) -> None:
        """Let plain HTTP follow inside the CONNECT that is served: its record stays open for as long."""
        self.inside, self._outer = authority, self.exchange

    def finish(self, end: Reason, carrier: Carrier) -> None:
        """Complete the record of what was served, unless plain HTTP inside goes on."""
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        exchange.wait_up_s, exchange.wait_down_s = carrier.take_waits()
        if carrier.tunnel is not None:
            exchange.bytes_up, exchange.bytes_down = carrier.tunnel.moved_bytes
        if exchange is not self._outer:
            exchange.finish(end)

    def leave(self, end: Reason) -> None:
        """Complete the record of the CONNECT, if there is one."""
        if self._outer is not None:
            self._outer.finish(end)

    def overrule(
        self, job: Job, is_own: Callable[[Address, int], bool], *, is_judging: bool, spares_running: bool
    ) -> bool:
        """Decide again about the open record; say whether it may not go on any more, since now.

        Args:
            is_own: Says whether an endpoint is the gate's own.
            is_judging: A tunnel has been promised, and nothing of the other side has passed.
            spares_running: What a client was promised goes on whatever the policy says now.
        """
        exchange = self.record
        if exchange is None or self.overruled is not None:
            return False
        is_running = exchange.status is not None and not is_judging
        if job.gone is not None:
            self.overruled = ProxyError(job.gone)
        elif not (is_running and spares_running):
            self.overruled = refused_now(job.policy, exchange.targets(), exchange.address, is_own)
        return self.overruled is not None

    @property
    def refusal(self) -> ProxyError | None:
        """What overruled it, while the client can still be told."""
        exchange = self.exchange
        is_told = self._outer is not None or exchange is None or exchange.status is not None
        return None if is_told else self.overruled

    @property
    def cut_reason(self) -> Reason:
        """Why what is cut is cut."""
        if self.overruled is None:
            return DRAINED
        return Reason.QUOTA if self.overruled.reason is Reason.QUOTA else Reason.REVOKED
