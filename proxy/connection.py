"""The spine: one client connection, top to bottom (edge).

accept → head → decide by name → resolve → vet → dial → hello, tunnel | forward → close line → next head.

Every step goes on or raises one ``ProxyError``; ``_refuse`` is the one place that turns
it into a reply. Each request has exactly one decision line and one close line.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from jobgate.config.host import Authority, Name

from .carrier import CONNECTED, Carrier
from .decision import Target, is_plain_connect
from .errors import DONE, DRAINED, Cut, ProxyError, Reason
from .exchange import Exchange
from .fastpath import FastPath, Last, origin_prefix
from .head import RequestHead
from .headers import max_forwards
from .heads import HeadReader
from .journal import Journal
from .linger import linger
from .probes import is_probe
from .replies import may_follow, options_reply, own_page, refusal, reply, status_of
from .target import asked
from .underway import UnderWay
from .usage import Usage
from .visit import Visit
from .wire import Wire

if TYPE_CHECKING:
    from .gate import Gate

logger = logging.getLogger("jobgate")

#: A connection that asked too often is answered at once and then left alone for as long as Retry-After said:
#: so a job's flood of requests, or of connections, ends at its own caps and not at the core that all share.
FLOOD_PAUSE_S = 1.0
#: Under this name a job reads its own refusals; it is never resolved.
RESERVED_NAME = Name("jobgate.internal")


class Connection:
    """Serves the requests of one client connection, in order.

    Args:
        gate: Shared services and settings.
        visit: Whose requests these are.
        client: The accepted connection.
        waited_since: Loop time since when its first head is waited for.

    Attributes:
        task: What runs it.
    """

    __slots__ = ("_carrier", "_client", "_gate", "_heads", "_job", "_under_way", "_visit", "task")

    def __init__(self, gate: Gate, visit: Visit, client: Wire, waited_since: float = math.inf) -> None:
        self._gate = gate
        self._visit = visit
        self._client = client
        self._job = visit.job
        self._carrier = Carrier(gate, visit.job, client)
        self._heads = HeadReader(client, visit.job.connects, waited_since)
        self._under_way = UnderWay()
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until one side has had enough."""
        self._join()
        end = DRAINED
        try:
            self._client.attach()
            self._client.read()  # most clients have sent a head by now
            while await self._serve_next():
                if self._client.blocked or self._client.inbox or self._visit.flooding:
                    await self._taken()
            tunnel = self._carrier.tunnel
            if tunnel is not None:  # run here, where nothing of its request is kept, for hours
                self._under_way.finish(await tunnel.run(), self._carrier)
            if tunnel is None or self._client.blocked:
                await self._taken()
            end = DONE
            if tunnel is None:
                await linger(self._client)
        except TimeoutError:
            end = Reason.IDLE
        except asyncio.CancelledError:
            if self._under_way.overruled is None:
                raise
            end = self._under_way.cut_reason
        except Exception:  # a defect of ours
            logger.exception("a connection of job %r failed", self._job.id)
            end = Reason.INTERNAL
        finally:
            self._release(end)

    async def _serve_next(self) -> bool:
        """Serve one request; ``False`` when the connection is over."""
        try:
            request = await self._heads.read(self._gate, self._gate.settings.timeouts, self._is_over)
        except ProxyError as error:
            return self._refuse_head(error)
        if request is None:
            return False
        if self._gate.retiring and not self._client.inbox:
            request = replace(request, keep_alive=False)
        under_way = self._under_way
        inside = under_way.inside
        if self._visit.look(request.headers if inside is None else None):
            self._change_job()
        exchange = self._new_exchange(is_probe=inside is None and is_probe(request, self._visit.peer.text))
        under_way.begin(request, exchange)
        end = DRAINED
        try:
            go_on, end = await self._serve(request, exchange)
        except ProxyError as error:
            go_on, end = self._refuse(error)
        except Cut as cut:
            go_on, end = self._cut(cut.reason)
        except asyncio.CancelledError:
            end, overruled = under_way.cut_reason, under_way.refusal
            if overruled is None or self.task is None or self.task.uncancel():  # the gate stops
                raise
            under_way.overruled = None
            go_on, end = self._refuse(overruled)
        except Exception:  # a defect of ours: this connection ends, no other notices
            if under_way.exchange is None:
                raise
            logger.exception("request %s failed", under_way.exchange.id)
            go_on, end = self._fail(under_way.exchange)
        finally:
            under_way.request = None
            if self._carrier.tunnel is None:
                under_way.finish(end, self._carrier)
        return go_on

    async def _serve(self, request: RequestHead, exchange: Exchange) -> tuple[bool, Reason]:
        """Take one request all the way; say whether another may follow, and how this one ended."""
        try:
            target, path = asked(request, exchange, self._under_way.inside)
        except ProxyError:  # costs as much as any other request, and is one
            if self._visit.stranger is None:
                self._visit.count()
            raise
        self._visit.admit(draining=self._gate.draining)
        if target.host == RESERVED_NAME:
            page = own_page(request, path, self._job.usage.denials)
            return self._answer(page, request, exchange), DONE
        policy = self._job.policy
        decision = self._job.decider.decide(policy, target)  # by name, before any DNS query
        exchange.rule = decision.rule
        if decision.reason is not None:
            if not policy.reports(decision.reason, by_node=decision.by_node):
                raise refusal(decision, target)
            exchange.overlook(decision.reason)
        if is_plain_connect(policy, target):
            return self._enter(target, exchange), DONE
        if request.method == b"CONNECT":
            return False, await self._carrier.connect(request, target, exchange) or DONE
        if max_forwards(request) == 0:
            return self._answer(options_reply, request, exchange), DONE
        return await self._forward(request, target, path, exchange), DONE

    async def _forward(self, request: RequestHead, target: Target, path: bytes, exchange: Exchange) -> bool:
        """Forward it, and what repeats it behind it; say whether another may follow."""
        carrier, client, generation = self._carrier, self._client, self._job.generation
        go_on = await carrier.forward(request, target, path, exchange)
        fast = self._fast_path(request, target, exchange, generation) if go_on else None
        while fast is not None and go_on:
            if client.blocked or client.inbox or client.at_eof or client.is_lost or self._is_over():
                break
            self._under_way.finish(DONE, carrier)
            left = await fast.run()
            if isinstance(left, bool):
                return left
            request, path, exchange, decided_in, answer_by = left
            go_on = await carrier.forward(
                request, target, path, exchange, decided_in=decided_in, answer_by=answer_by
            )
        return go_on

    def _fast_path(
        self, request: RequestHead, target: Target, exchange: Exchange, generation: int
    ) -> FastPath | None:
        """Prepare for what repeats a forwarded request; ``None``: each one goes the whole way."""
        under_way, prefix = self._under_way, origin_prefix(request)
        if prefix is None or under_way.inside is not None or exchange.would_refuse is not None:
            return None
        if self._job.generation != generation:
            return None
        return FastPath(
            self._gate,
            self._visit,
            self._client,
            self._heads,
            self._carrier,
            under_way,
            Last(generation, request, target, exchange.rule, prefix),
        )

    def _is_over(self) -> bool:
        """Say whether nothing more is waited for: the gate stops, or the job is gone for good."""
        is_removed = self._job.gone is Reason.UNKNOWN_JOB and not self._client.inbox
        return is_removed or self._gate.draining

    def _answer(self, write: Callable[..., bytes], request: RequestHead, exchange: Exchange) -> bool:
        """Answer with a response of our own; content that came with the request ends the connection."""
        exchange.allow()
        exchange.status = 200
        keep = request.keep_alive and request.content.kind == "none"
        self._client.write(write(close=not keep))
        return keep

    def _enter(self, target: Target, exchange: Exchange) -> bool:
        """Answer CONNECT to a plain-HTTP port undialled: plain requests follow, each decided on its own."""
        exchange.allow()
        exchange.status = 200
        self._under_way.enter(Authority(target.host, target.port))
        self._client.write(CONNECTED)
        return True

    def _join(self) -> None:
        """Be one of the job's connections: whatever changes for it changes for this one."""
        self._client.bound_unsent(self._job.down.send_buffer_bytes)
        self._job.open.add(self)

    def _change_job(self) -> None:
        """Be a connection of the job that the last request has shown."""
        self._job.open.discard(self)
        self._job = self._visit.job
        self._carrier = Carrier(self._gate, self._job, self._client)
        self._join()
        self._client.read_for(self._job.up, self._job.up.receive_buffer_bytes)

    # --- from outside -----------------------------------------------------------------

    def leave(self) -> None:
        """End if nothing is lost by it; else the request under way is the last."""
        if self._heads.idle and not self._client.inbox:
            self._client.abort()

    def cut(self) -> None:
        """End now."""
        if self.task is not None:
            self.task.cancel()

    def review(self) -> None:
        """Decide again about what is under way, and end it if it is refused now."""
        gate, under_way = self._gate, self._under_way
        if under_way.record is None:
            if self._job.gone is Reason.UNKNOWN_JOB:
                self.leave()
        elif under_way.overrule(
            self._job,
            gate.is_own,
            is_judging=self._carrier.is_judging,
            spares_running=not gate.settings.node.close_revoked,
        ):
            self.cut()

    # --- the ends ---------------------------------------------------------------------

    async def _taken(self) -> None:
        """Wait until the client has taken its answers: one that does not read is not answered further.

        Raises:
            TimeoutError: It took nothing for as long as a tunnel may be silent.
        """
        if self._client.blocked:
            now = asyncio.get_running_loop().time()
            await self._client.drained(now + self._gate.settings.timeouts.tunnel_idle_s)
        if self._visit.flooding:
            await asyncio.sleep(FLOOD_PAUSE_S)
        if self._client.inbox:
            await asyncio.sleep(0)  # requests that are there already let other connections go first

    def _refuse_head(self, error: ProxyError) -> bool:
        """Refuse what is no head; it counts as a request all the same."""
        self._under_way.begin(None, self._new_exchange())
        go_on, end = self._refuse(error)
        self._under_way.finish(end, self._carrier)
        self._visit.count()
        return go_on

    def _fail(self, exchange: Exchange) -> tuple[bool, Reason]:
        """Say that the gate failed, unless the client has been told something else."""
        if exchange.status is not None:
            return self._cut(Reason.INTERNAL)
        failure = ProxyError(Reason.INTERNAL, "The gate failed; this was logged.")
        return self._refuse(failure)

    def _refuse(self, error: ProxyError) -> tuple[bool, Reason]:
        """Turn an error into a reply to what is under way, or a close where HTTP may not be written."""
        request, exchange = self._under_way.request, self._under_way.exchange
        assert exchange is not None  # noqa: S101 (for the type checker)
        if self._under_way.inside is not None and (
            request is None or error.reason in (Reason.NOT_HTTP, Reason.BAD_REQUEST)
        ):
            self._under_way.leave(Reason.NOT_HTTP)
            return False, Reason.NOT_HTTP
        exchange.refuse(error.reason)
        exchange.status = status_of(error.reason)
        keep = request is not None and self._visit.is_welcome and may_follow(error, request)
        self._client.write(reply(error, request, close=not keep, note=self._gate.settings.node.refusal_note))
        self._carrier.let_go(reset=True)
        return keep, error.reason

    def _cut(self, reason: Reason) -> tuple[bool, Reason]:
        """Break off what the client was told to expect: only a reset says so."""
        self._client.abort(reset=True)
        return False, reason

    def _new_exchange(self, *, is_probe: bool = False) -> Exchange:
        """Begin the record of a request; that of a probe is read by nobody."""
        job, peer = self._visit.whose(), self._visit.peer.text
        usage, journal = (Usage(), Journal()) if is_probe else (job.usage, self._gate.journal)
        return Exchange(job.id, peer, usage, journal, time.monotonic)

    def _release(self, end: Reason) -> None:
        """Let both sides go; what was under way looks cut."""
        self._job.open.discard(self)
        self._under_way.finish(end, self._carrier)
        self._under_way.leave(end)
        is_cut = end is not DONE
        self._carrier.let_go(reset=is_cut)
        self._client.abort(reset=is_cut)
