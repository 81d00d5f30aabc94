"""Requests that repeat: of the origin and with the fields of the last one, answered in one piece (edge).

What was worked out for a request that went the whole way holds for the next one while neither its fields
nor any setting has changed: whose it is, that it is allowed, its head for the upstream but for the path.
Such a request is served in the callbacks of its wires, without a step of the connection's task. It is read
as any other, unless it is the same byte for byte, and is counted, admitted, paid for and logged as any
other. Whatever is different leaves the fast path, before it has begun or in the middle, and goes on in
``carrier.py``.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

from jobgate.config.host import Authority

from .buffers import unread_bytes
from .decision import Target
from .errors import DONE, Cut, ProxyError, Reason
from .exchange import Exchange
from .framing import NO_CONTENT
from .head import RequestHead, find_head_end
from .headers import origin_line
from .heads import HeadReader
from .repeats import MOST_BYTES
from .underway import UnderWay
from .visit import Visit
from .wire import Wire

if TYPE_CHECKING:
    from .carrier import Carrier
    from .gate import Gate

_METHODS = frozenset((b"GET", b"HEAD"))
_AUTHORITY_AT = len(b"http://")


def origin_prefix(request: RequestHead) -> bytes | None:
    """Return what the targets of requests that repeat this one begin with; ``None``: none may.

    Nothing but a path may be asked for: no content, no other protocol, and the connection goes on.

    Args:
        request: In absolute-form, and forwarded.
    """
    prefix = request.target[: request.target.find(b"/", _AUTHORITY_AT) + 1]
    is_plain = (
        request.method in _METHODS
        and request.minor == 1
        and request.keep_alive
        and request.content is NO_CONTENT
        and request.upgrade is None
        and not request.expect_continue
        and request.size_bytes <= MOST_BYTES
        and b"?" not in prefix  # which ends the authority, too
    )
    return prefix if prefix and is_plain else None


class Last(NamedTuple):
    """A request that was forwarded just now, after which both its connections can serve another one.

    Attributes:
        generation: Of the job, when it was decided.
        target: Whom it asked for.
        rule: The entry that allowed it.
        prefix: What its target begins with, to the slash that its path begins with.
    """

    generation: int
    request: RequestHead
    target: Target
    rule: str | None
    prefix: bytes


class Unfinished(NamedTuple):
    """A request that has left the fast path: its record is open, its upstream connection the carrier's.

    Attributes:
        generation: Of the job, when it was decided.
        answer_by: Loop time, if it has been sent.
    """

    request: RequestHead
    path: bytes
    exchange: Exchange
    generation: int
    answer_by: float | None


class FastPath:
    """Serves what repeats one request of a client connection.

    Args:
        gate: Shared services and settings.
        visit: Whose the requests are.
        client: Where they come from.
        heads: Reads those that do not repeat.
        carrier: Of the connection and the job.
        under_way: Has the record of what is served.
        last: What is repeated.
    """

    __slots__ = (
        "_answers",
        "_authority",
        "_carrier",
        "_client",
        "_deadline",
        "_down_lane",
        "_exchange",
        "_fields",
        "_gate",
        "_generation",
        "_head",
        "_headers",
        "_heads",
        "_is_busy",
        "_is_settled",
        "_job",
        "_left",
        "_method",
        "_options",
        "_path",
        "_path_at",
        "_prefix",
        "_request",
        "_rule",
        "_target",
        "_under_way",
        "_up_lane",
        "_upstream",
        "_visit",
    )

    # Of what is under way.
    _exchange: Exchange
    _upstream: Wire

    def __init__(
        self,
        gate: Gate,
        visit: Visit,
        client: Wire,
        heads: HeadReader,
        carrier: Carrier,
        under_way: UnderWay,
        last: Last,
    ) -> None:
        generation, request, target, rule, prefix = last
        self._gate = gate
        self._visit = visit
        self._job = job = visit.job
        self._generation = generation
        self._client = client
        self._heads = heads
        self._carrier = carrier
        self._up_lane, self._down_lane = carrier.lanes()
        self._under_way = under_way
        self._is_settled = visit.is_settled
        self._options = gate.forward_options
        self._method = request.method.decode("ascii")
        self._target, self._rule = target, rule
        self._authority = authority = Authority(target.host, target.port)
        self._fields = carrier.rewriter.fields(request, authority, via=gate.via, job_header=job.header)
        self._headers = request.headers
        self._prefix, self._path_at = prefix, len(prefix) - 1
        # Of the last request, which the next one often is again:
        self._request = request
        self._path = request.target[self._path_at :]
        self._head = origin_line(request.method, self._path) + self._fields
        self._answers: _Answers | None = None
        self._is_busy = False
        self._left: bool | Unfinished | Exception | None = None
        self._deadline = math.inf

    async def run(self) -> bool | Unfinished:
        """Serve until something else comes.

        Returns:
            Whether another request may follow; or the one that has to go on elsewhere.

        Raises:
            ProxyError: The request under way is refused, and the client can still be told.
            Cut: It cannot.
        """
        client = self._client
        client.reader = self
        self._answers = _Answers(self)
        self._left = None
        self._rest()
        client.resume_reading()  # it was held back if it sent much at once
        try:
            while self._left is None and not client.is_lost:
                await client.until(self._deadline)
        except TimeoutError:
            if self._is_busy:
                raise ProxyError(Reason.UPSTREAM_TIMEOUT, "The origin did not answer in time.") from None
            return False
        finally:
            self._let_go()
            self._answers = None  # which holds us: nothing is left to collect
        left = Cut(Reason.CLIENT_RESET) if client.is_lost and self._is_busy else self._left
        if isinstance(left, Cut):
            self._carrier.let_go(reset=True)
        if isinstance(left, Exception):
            raise left
        return left or False

    # --- as the reader of the client ------------------------------------------------

    def data(self, view: memoryview) -> None:
        """Send a request that repeats on; what else comes is read behind what is under way."""
        if not self._is_busy:
            try:
                if self._begin(bytes(view)):
                    return
            except Exception as error:  # a refusal, or a defect of ours
                self._fail(error)
                return
            self._leave(True)
        self._client.hold(view)

    def eof(self) -> None:
        """Serve what is under way; nothing comes behind it."""
        if not self._is_busy:
            self._leave(True)

    def lost(self) -> None:
        """Let the upstream see that nobody waits for its answer."""
        if self._is_busy:
            self._upstream.abort(reset=True)

    # --- as the reader of the upstream -----------------------------------------------

    def answer(self, view: memoryview) -> None:
        """Pass on a response that has come in one piece; another one is for the carrier to bring."""
        try:
            if self._pass(bytes(view)):
                return
        except Exception as error:  # no response, or a defect of ours
            self._fail(error)
            return
        self.no_answer()
        self._upstream.hold(view)

    def no_answer(self) -> None:
        """Let the carrier see why."""
        self._leave(self._unfinished(self._deadline))

    # --- inside --------------------------------------------------------------------

    def _begin(self, raw: bytes) -> bool:
        """Send a request on; ``False``: it does not repeat, or has to go the whole way."""
        gate, job, carrier, options = self._gate, self._job, self._carrier, self._options
        request = self._heads.again(raw, options.limits)
        if (
            request is None
            or request.headers is not self._headers
            or job.generation != self._generation
            or gate.forward_options is not options
            or gate.retiring
            or gate.draining
            or self._authority not in job.pool
        ):
            return False
        if request is not self._request:
            if not request.target.startswith(self._prefix) or b"#" in request.target:
                return False
            self._request, self._path = request, request.target[self._path_at :]
            self._head = origin_line(request.method, self._path) + self._fields
        if not self._is_settled and (self._visit.look(request.headers) or self._visit.stranger is not None):
            self._visit.flooding = False  # until it is looked at again, and answered
            return False
        exchange = Exchange(job.id, self._visit.peer.text, job.usage, gate.journal, time.monotonic)
        exchange.method, exchange.target = self._method, self._target
        self._exchange, self._is_busy, self._heads.idle = exchange, True, False
        self._under_way.begin(request, exchange)
        self._visit.admit(draining=False)
        exchange.rule = self._rule
        upstream = carrier.take_kept(self._authority, exchange)
        if upstream is None or unread_bytes(upstream.sock) or not self._up_lane.at_once(request.size_bytes):
            self._leave(self._unfinished(None))
            return True
        self._upstream = upstream
        upstream.reader = self._answers
        upstream.is_answering = True
        upstream.write(self._head)
        exchange.bytes_up += request.size_bytes
        self._wait(options.response_s)
        return True

    def _pass(self, raw: bytes) -> bool:
        """Pass a whole final response on, and rest; ``False``: it is not one, or has to wait."""
        client, carrier, exchange, options = self._client, self._carrier, self._exchange, self._options
        end = find_head_end(raw)
        if end < 0:
            return False
        response = carrier.rewriter.response(raw[:end], options.limits, self._request.method)
        kind, length = response.content
        if (
            end + length != len(raw)
            or kind not in ("length", "none")
            or response.status < 200
            or not response.keep_alive
            or self._job.generation != self._generation
            or not self._down_lane.at_once(len(raw))
        ):
            return False
        exchange.bytes_down += len(raw)
        exchange.status = response.status
        head = carrier.rewriter.answer(response, client_minor=1, close=False, via=options.via)
        client.write(head + raw[end:] if length else head)
        if client.is_lost or client.error is not None:
            raise Cut(Reason.CLIENT_RESET)
        self._upstream.is_answering = False
        carrier.keep(self._authority, exchange)
        self._under_way.finish(DONE, carrier)
        self._is_busy = False
        if client.blocked or client.inbox or client.at_eof or self._gate.draining:
            self._leave(True)
        else:
            self._rest()
        return True

    def _unfinished(self, answer_by: float | None) -> Unfinished:
        return Unfinished(self._request, self._path, self._exchange, self._generation, answer_by)

    def _rest(self) -> None:
        """Wait for the next request."""
        self._is_busy, self._heads.idle = False, True
        self._wait(self._gate.settings.timeouts.keepalive_s)

    def _wait(self, most_s: float) -> None:
        self._deadline = self._client.loop.time() + most_s
        self._client.prolong(self._deadline)

    def _leave(self, left: bool | Unfinished | Exception) -> None:
        self._left = left
        self._let_go()
        self._client.wake()

    def _fail(self, error: Exception) -> None:
        """Raise an error in the task, which knows what to say about it."""
        self._leave(error)

    def _let_go(self) -> None:
        """Read nothing more: what comes is kept for those who go on."""
        self._client.reader = None
        if self._is_busy and self._carrier.upstream is not None:
            self._carrier.upstream.reader = None


class _Answers:
    """Reads the upstream connection of a fast path."""

    __slots__ = ("data", "eof", "lost")

    def __init__(self, path: FastPath) -> None:
        self.data = path.answer
        self.eof = self.lost = path.no_answer
