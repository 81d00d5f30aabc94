"""The spine: one client connection, top to bottom (edge).

accept → head → decide by name → resolve → vet → dial → hello, tunnel | forward → close line → next head.

Every step goes on or raises one ``ProxyError``; ``_refuse`` is the one place that turns
it into a reply. Each request has exactly one decision line and one close line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from jobgate.config.host import Authority, Name
from jobgate.config.policy import Tls
from jobgate.ratelimit.fair import Lane

from .decision import Kind, Target, decide, is_plain_connect
from .errors import BadRequest, ProxyError, Reason
from .exchange import Exchange
from .forward import Cut, Forward, Legs, Stale
from .head import RequestHead, check_partial_request, find_head_end, parse_request_head
from .headers import max_forwards, request_head_bytes
from .hello import check_hello
from .job import Job
from .reach import reach
from .relay import Relay
from .replies import denials_reply, options_reply, refusal, reply, status_of
from .target import parse_absolute, parse_connect, parse_origin
from .tunnel import Tunnel
from .wire import Wire

if TYPE_CHECKING:
    from .gate import Gate

logger = logging.getLogger("jobgate")

CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
#: A connection that asked too often is answered at once and then left alone for as long as Retry-After said:
#: so a job's flood of requests, or of connections, ends at its own caps and not at the core that all share.
FLOOD_PAUSE_S = 1.0
#: Under this name a job reads its own refusals; it is never resolved.
RESERVED_NAME = Name("jobgate.internal")


class Connection:
    """Serves the requests of one client connection, in order.

    Args:
        gate: Shared services and settings.
        job: Whose connection it is.
        client: The accepted connection.
        peer: The client's address, for the log.
        refusal: Why nothing is served here (a cap was reached); the head is still read.
    """

    def __init__(self, gate: Gate, job: Job, client: Wire, peer: str, refusal: Reason | None) -> None:
        self._gate = gate
        self._job = job
        self._client = client
        self._peer = peer
        self._refusal = refusal
        self._up_lane = job.up.lane()
        self._down_lane = job.down.lane()
        self._upstream: Wire | None = None
        self._served = 0
        #: A CONNECT to this authority's port 80 was answered: plain HTTP in origin-form follows …
        self._inside: Authority | None = None
        #: … and this is its record.
        self._outer: Exchange | None = None
        self._tunnel: Tunnel | None = None
        self._flooding = False  # the last request was one too many in this second
        self._idle = True  # between requests: nothing is lost by closing now
        self._task = asyncio.current_task()

    async def run(self) -> None:
        """Serve until one side has had enough."""
        end = Reason.DRAINED
        try:
            while await self._serve_next():
                self._served += 1
                await self._taken()
            await self._taken()
            end = Reason.DONE
            await self._client.linger()
        except TimeoutError:
            end = Reason.IDLE
        finally:
            self._release(end)

    def leave(self) -> None:
        """End if nothing is lost by it; else the request under way is the last."""
        if self._idle and not self._client.inbox:
            self._client.abort()

    def cut(self) -> None:
        """End now."""
        if self._tunnel is not None:
            self._tunnel.stop(Reason.DRAINED)
        elif self._task is not None:
            self._task.cancel()

    async def _serve_next(self) -> bool:
        """Serve one request; ``False`` when the connection is over."""
        try:
            request = await self._head()
        except ProxyError as error:
            exchange = self._new_exchange()
            go_on, end = self._refuse(error, None, exchange)
            exchange.finish(end)
            self._flooding = self._job.requests.take() > 0
            return go_on
        if request is None:
            return False
        exchange = self._new_exchange()
        waited = _waited_s(self._up_lane), _waited_s(self._down_lane)
        end = Reason.DRAINED
        try:
            go_on, end = await self._serve(request, exchange)
        except ProxyError as error:
            go_on, end = self._refuse(error, request, exchange)
        except Cut as cut:
            go_on, end = self._cut(cut.reason)
        except Exception:  # a defect of ours: this connection ends, no other notices
            logger.exception("request %s failed", exchange.id)
            if exchange.status is None:
                failure = ProxyError(Reason.INTERNAL, "The gate failed; this was logged.")
                go_on, end = self._refuse(failure, request, exchange)
            else:  # the client has been told something else
                go_on, end = self._cut(Reason.INTERNAL)
        finally:
            exchange.wait_up_s = _waited_s(self._up_lane) - waited[0]
            exchange.wait_down_s = _waited_s(self._down_lane) - waited[1]
            if exchange is not self._outer:
                exchange.finish(end)
        return go_on

    async def _serve(self, request: RequestHead, exchange: Exchange) -> tuple[bool, Reason]:
        """Take one request all the way; say whether another may follow, and how this one ended."""
        authority, path = self._asked(request, exchange)
        target = Target(exchange.kind or Kind.HTTP, authority.host, authority.port)
        self._admit()
        if target.host == RESERVED_NAME:
            return self._own_denials(request, path, exchange), Reason.DONE
        decision = decide(self._job.policy, target)  # by name, before any DNS query
        exchange.rule = decision.rule
        if not decision.allowed:
            raise refusal(decision, target)
        if is_plain_connect(self._job.policy, target):
            return self._enter(authority, exchange), Reason.DONE
        if target.kind is Kind.CONNECT:
            return False, await self._relay(target, exchange)
        if max_forwards(request) == 0:
            return self._answer(options_reply, request, exchange), Reason.DONE
        return await self._forward(request, target, path, exchange), Reason.DONE

    # --- the steps, in order ----------------------------------------------------------

    async def _head(self) -> RequestHead | None:
        """Read one head before its deadline; ``None`` when the client asks for nothing more."""
        client, limits, timeouts = self._client, self._gate.head_limits, self._gate.settings.timeouts
        now = asyncio.get_running_loop().time
        self._idle = not client.inbox
        deadline = now() + (timeouts.keepalive_s if self._served and self._idle else timeouts.head_s)
        scanned = 0
        while (end := find_head_end(client.inbox, scanned)) < 0:
            check_partial_request(client.inbox, limits, scanned)
            if client.at_eof or client.is_lost or self._gate.draining:
                return None
            scanned = len(client.inbox)
            try:
                await client.more(deadline)
            except TimeoutError:
                if not client.inbox:
                    return None
                raise ProxyError(Reason.HEAD_TIMEOUT, "The request head did not arrive in time.") from None
            if self._idle and client.inbox:
                self._idle = False
                deadline = now() + timeouts.head_s
        raw = bytes(client.inbox[:end])
        del client.inbox[:end]
        return parse_request_head(raw, limits)

    def _asked(self, request: RequestHead, exchange: Exchange) -> tuple[Authority, bytes]:
        """Read the request target: whom it names, and the path to ask for."""
        if self._inside is not None:
            exchange.asks(Kind.HTTP, request.method, self._inside)
            if request.method == b"CONNECT" or request.host != self._inside:
                raise ProxyError(Reason.NOT_HTTP)
            return self._inside, parse_origin(request.target)
        if request.method == b"CONNECT":
            exchange.asks(Kind.CONNECT, request.method, authority := parse_connect(request.target))
            return authority, b""
        authority, path = parse_absolute(request.target)
        exchange.asks(Kind.HTTP, request.method, authority)
        return authority, path

    def _admit(self) -> None:
        """Check the caps of the job and of the process."""
        wait_s = self._job.requests.take()
        self._flooding = wait_s > 0
        if self._refusal is not None:
            raise ProxyError(self._refusal, "Too many connections are open. Close some, or try again later.")
        if self._gate.draining:
            raise ProxyError(Reason.DRAINING, "The gate is being stopped.")
        if wait_s:
            raise ProxyError(
                Reason.RATE, "This job sends too many requests per second.", retry_after_s=wait_s
            )

    def _own_denials(self, request: RequestHead, path: bytes, exchange: Exchange) -> bool:
        """Answer a job that asks for its own recent refusals."""
        if exchange.kind is not Kind.HTTP or request.method != b"GET" or path != b"/denials":
            raise BadRequest('This name serves only "GET http://jobgate.internal/denials".')
        return self._answer(partial(denials_reply, self._job.usage.denials), request, exchange)

    def _answer(self, write: Callable[..., bytes], request: RequestHead, exchange: Exchange) -> bool:
        """Answer with a response of our own; content that came with the request ends the connection."""
        exchange.allow()
        exchange.status = 200
        keep = request.keep_alive and request.content.kind == "none"
        self._client.write(write(close=not keep))
        return keep

    async def _connect(self, target: Target, exchange: Exchange) -> Wire:
        """Resolve, vet and dial: an upstream wire to an address that passed."""
        sock = await reach(self._gate, self._job, target, exchange)
        self._upstream = await self._gate.open_wire(sock, self._job.down)
        return self._upstream

    # --- what a request may become --------------------------------------------------

    def _enter(self, authority: Authority, exchange: Exchange) -> bool:
        """Answer CONNECT to a plain-HTTP port undialled: plain requests follow, each decided on its own."""
        exchange.allow()
        exchange.status = 200
        self._inside, self._outer = authority, exchange
        self._client.write(CONNECTED)
        return True

    async def _relay(self, target: Target, exchange: Exchange) -> Reason:
        job, timeouts = self._job, self._gate.settings.timeouts
        upstream = await self._connect(target, exchange)
        exchange.status = 200
        self._client.write(CONNECTED)
        if job.policy.job.tls is Tls.REQUIRE:
            refused = await self._check_hello(target, upstream, exchange)
            if refused is not None:
                return refused
        up = Relay(self._client, upstream, lane=self._up_lane, piece_bytes=job.up.piece_bytes)
        down = Relay(upstream, self._client, lane=self._down_lane, piece_bytes=job.down.piece_bytes)
        self._tunnel = Tunnel(up, down, idle_s=timeouts.tunnel_idle_s, half_closed_s=timeouts.half_closed_s)
        try:
            return await self._tunnel.run()
        finally:
            exchange.bytes_up, exchange.bytes_down = up.moved_bytes, down.moved_bytes

    async def _check_hello(self, target: Target, upstream: Wire, exchange: Exchange) -> Reason | None:
        """Decide once more, by the server name in the tunnel's first bytes; ``None`` to go on."""
        timeout_s = self._gate.settings.timeouts.hello_s
        return await check_hello(
            self._client, upstream, target, self._job.policy, timeout_s=timeout_s, exchange=exchange
        )

    async def _forward(self, request: RequestHead, target: Target, path: bytes, exchange: Exchange) -> bool:
        """Send the request over a kept connection of this job, or a new one."""
        if (limit := self._gate.settings.limits.max_content_bytes) and request.content.length > limit:
            raise ProxyError(Reason.CONTENT_TOO_LARGE, f"Content over {limit} bytes is not accepted here.")
        authority = Authority(target.host, target.port)
        kept = self._job.pool.take(authority)
        if kept is not None:
            self._upstream, exchange.address = kept
            exchange.allow()
            try:
                return await self._carry(request, authority, path, exchange, reused=True)
            except Stale:
                self._upstream.abort()
        await self._connect(target, exchange)
        return await self._carry(request, authority, path, exchange, reused=False)

    async def _carry(
        self, request: RequestHead, authority: Authority, path: bytes, exchange: Exchange, *, reused: bool
    ) -> bool:
        job, gate, upstream = self._job, self._gate, self._upstream
        assert upstream is not None  # noqa: S101 (for the type checker)
        legs = Legs(
            self._client, upstream, self._up_lane, self._down_lane, job.up.piece_bytes, job.down.piece_bytes
        )
        head = request_head_bytes(request, path, authority, via=gate.via, job_header=job.header)
        keep_client, keep_upstream = await Forward(legs, request, exchange, gate.forward_options).run(
            head, reused=reused
        )
        self._upstream = None
        if keep_upstream:
            job.pool.keep(authority, upstream, exchange.address or "")
        else:
            upstream.abort(reset=upstream.blocked)  # an unread upload would keep it open
        return keep_client

    # --- the ends ---------------------------------------------------------------------

    async def _taken(self) -> None:
        """Wait until the client has taken its answers: one that does not read is not answered further.

        Raises:
            TimeoutError: It took nothing for as long as a tunnel may be silent.
        """
        loop = asyncio.get_running_loop()
        await self._client.drained(loop.time() + self._gate.settings.timeouts.tunnel_idle_s)
        if self._flooding:
            await asyncio.sleep(FLOOD_PAUSE_S)
        if self._client.inbox:
            await asyncio.sleep(0)  # requests that are there already let other connections go first

    def _refuse(
        self, error: ProxyError, request: RequestHead | None, exchange: Exchange
    ) -> tuple[bool, Reason]:
        """Turn an error into a reply, or a close where HTTP may not be written."""
        if self._inside is not None and (
            request is None or error.reason in (Reason.NOT_HTTP, Reason.BAD_REQUEST)
        ):
            if self._outer is not None:
                self._outer.finish(Reason.NOT_HTTP)
            return False, Reason.NOT_HTTP
        exchange.refuse(error.reason)
        exchange.status = status_of(error.reason)
        keep = (
            request is not None
            and request.keep_alive
            and request.method != b"CONNECT"
            and request.content.kind == "none"
            and self._refusal is None
            and error.reason not in (Reason.BAD_REQUEST, Reason.INTERNAL, Reason.DRAINING)
        )
        self._client.write(reply(error, request, close=not keep, note=self._gate.settings.node.refusal_note))
        if self._upstream is not None:
            self._upstream.abort(reset=True)
            self._upstream = None
        return keep, error.reason

    def _cut(self, reason: Reason) -> tuple[bool, Reason]:
        """Break off what the client was told to expect: only a reset says so."""
        self._client.abort(reset=True)
        return False, reason

    def _new_exchange(self) -> Exchange:
        return Exchange(self._job.id, self._peer, self._job.usage, self._gate.journal, time.monotonic)

    def _release(self, end: Reason) -> None:
        """Let both sides go; what was under way looks cut."""
        if self._outer is not None:
            self._outer.finish(end)
        for wire in (self._upstream, self._client):
            if wire is not None:
                wire.abort(reset=end is not Reason.DONE)


def _waited_s(lane: Lane | None) -> float:
    return 0.0 if lane is None else lane.waited_s
