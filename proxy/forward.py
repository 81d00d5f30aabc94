"""One plain-HTTP exchange over an upstream wire (edge).

The request goes up re-framed, the response comes down re-framed, at the job's rate;
what the parsers did not accept never reaches the other side. A response that was cut
looks cut to the client: nobody's content is completed for him (RFC 9112 §8).
"""

from __future__ import annotations

from dataclasses import dataclass

from .content import Chunked, Framing, KnownLength
from .errors import Cut, ProxyError, Reason
from .exchange import Exchange
from .framing import NO_CONTENT
from .head import (
    HeadLimits,
    RequestHead,
    ResponseHead,
    check_partial_response,
    find_head_end,
)
from .legs import Legs, pay
from .relay import End, Relay
from .repeats import Rewriter
from .tunnel import IdleWatch, Tunnel
from .upload import Upload

#: Interim responses accepted in front of a final one; more is an upstream that plays with us.
MAX_INTERIM = 32
#: Methods that may be sent again when a kept connection turns out to be dead (RFC 9110 §9.2.2).
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
#: Why a response was not whole.
_BROKEN = {
    End.EOF: Reason.UPSTREAM_CLOSED,
    End.INVALID: Reason.UPSTREAM_INVALID,
    End.SOURCE_LOST: Reason.UPSTREAM_RESET,
}


class Stale(Exception):
    """A kept upstream connection had ended before it took anything: dial and send again."""


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    """What of the configuration matters here."""

    limits: HeadLimits
    max_content_bytes: int
    response_s: float
    idle_s: float
    half_closed_s: float
    via: bytes


class Forward:
    """Sends one request and brings its response back.

    Args:
        legs: The wires; the upstream one is closed or left at a message boundary.
        request: The parsed head.
        exchange: Gets the counts and the status.
        options: Limits and deadlines.
        rewriter: Of the client connection.
    """

    def __init__(
        self,
        legs: Legs,
        request: RequestHead,
        exchange: Exchange,
        options: ForwardOptions,
        rewriter: Rewriter,
    ) -> None:
        self._legs = legs
        self._request = request
        self._exchange = exchange
        self._options = options
        self._rewriter = rewriter
        self._upload: Upload | None = None
        self._download: Relay | None = None

    async def run(self, head: bytes, *, reused: bool, answer_by: float | None = None) -> tuple[bool, bool]:
        """Carry the exchange through.

        Args:
            head: The request's head as the upstream is to see it.
            reused: The upstream connection served another request before.
            answer_by: Loop time, if the head, which is all there is, was paid for and sent before.

        Returns:
            Whether the client's and whether the upstream's connection can serve another request.

        Raises:
            Stale: Nothing was consumed and sending again is safe.
            ProxyError: The client can still be told.
            Cut: It cannot; both sides must be reset.
        """
        legs = self._legs
        legs.client.on_lost = self._client_lost
        legs.upstream.is_answering = True
        try:
            if answer_by is None:
                if not legs.up_lane.at_once(self._request.size_bytes):
                    await pay(legs.up_lane, self._request.size_bytes)
                self._send(head, reused)
            response = await self._response(reused, answer_by)
            if response.status == 101:
                await self._switch(response)
                return False, False
            return self._whole(response) or await self._deliver(response)
        finally:
            legs.client.on_lost = None
            legs.upstream.is_answering = False
            if self._download is not None:
                self._exchange.bytes_down += self._download.moved_bytes
            if self._upload is not None:
                self._exchange.bytes_up += self._upload.moved_bytes
                self._upload.on_end = None
                self._upload.stop()

    def _client_lost(self) -> None:
        self._legs.upstream.abort(reset=True)

    def _send(self, head: bytes, reused: bool) -> None:
        """Send the head, which is paid for; content follows by itself."""
        legs, request = self._legs, self._request
        if legs.client.is_lost:
            raise Cut(Reason.CLIENT_RESET)
        if reused and (legs.upstream.inbox or legs.upstream.at_eof or legs.upstream.is_lost):
            raise Stale  # what came before the request is not its response (RFC 9112 §9.2)
        legs.upstream.write(head)
        self._exchange.bytes_up += request.size_bytes
        content = request.content
        if content is not NO_CONTENT and (content.length or content.kind == "chunked"):
            self._upload = Upload(legs, content, self._options.max_content_bytes)
            self._upload.on_end = self._upload_ended
            self._upload.start()

    def _upload_ended(self, upload: Relay) -> None:
        """Never complete a request that is not whole: reset the upstream, which wakes whoever waits."""
        if upload.end is not End.COMPLETE:
            self._legs.upstream.abort(reset=True)
            if self._download is not None:
                self._download.stop()

    async def _response(self, reused: bool, answer_by: float | None) -> ResponseHead:
        """Wait for the final response, or 101; pass interim ones on."""
        upstream, response_s = self._legs.upstream, self._options.response_s
        now = upstream.loop.time
        for _ in range(MAX_INTERIM):
            scanned = seen_bytes = 0
            deadline = now() + response_s if answer_by is None else answer_by
            while not upstream.inbox or (end := find_head_end(upstream.inbox, scanned)) < 0:
                if upstream.inbox:
                    check_partial_response(upstream.inbox, self._options.limits, scanned)
                if upstream.at_eof or upstream.is_lost:
                    raise self._ended_early(reused)
                scanned = len(upstream.inbox)
                try:
                    await upstream.more(deadline)
                except TimeoutError:
                    seen_bytes = self._uploaded_since(seen_bytes)
                    deadline = now() + response_s
            raw = upstream.take(end)
            response = self._rewriter.response(raw, self._options.limits, self._request.method)
            if response.status >= 200:
                return response
            if response.status == 101:
                if self._request.upgrade is None:
                    raise ProxyError(
                        Reason.UPSTREAM_INVALID, "The origin switched protocols without being asked."
                    )
                return response
            reused, answer_by = False, None
            await self._pass_interim(response)
        raise ProxyError(Reason.UPSTREAM_INVALID, "The origin sent too many interim responses.")

    def _uploaded_since(self, seen_bytes: int) -> int:
        """Say how much content went up, if that is more: the origin's time counts from the last of it."""
        moved_bytes = self._upload.moved_bytes if self._upload else 0
        if moved_bytes == seen_bytes:
            raise ProxyError(Reason.UPSTREAM_TIMEOUT, "The origin did not answer in time.") from None
        return moved_bytes

    async def _pass_interim(self, response: ResponseHead) -> None:
        await pay(self._legs.down_lane, response.size_bytes)
        self._exchange.bytes_down += response.size_bytes
        if self._request.minor:
            self._legs.client.write(self._head_bytes(response, close=False))
            await self._taken()

    async def _taken(self) -> None:
        """Wait until the client has taken what it was told: it is not told more meanwhile."""
        client = self._legs.client
        try:
            await client.drained(client.loop.time() + self._options.idle_s)
        except TimeoutError:
            raise Cut(Reason.IDLE) from None

    def _ended_early(self, reused: bool) -> Exception:
        """Say why there is no response."""
        legs, upload = self._legs, self._upload
        if legs.client.is_lost:
            return Cut(Reason.CLIENT_RESET)
        if upload is not None and (refusal := upload.refusal) is not None:
            return refusal
        untouched = reused and upload is None and not legs.upstream.inbox
        if untouched and self._request.method in IDEMPOTENT:
            return Stale()
        return ProxyError(Reason.UPSTREAM_CLOSED, "The origin closed the connection without an answer.")

    def _kept(self, response: ResponseHead) -> tuple[bool, bool]:
        """Say which connections can serve another request behind this response: client's, upstream's."""
        request, kind = self._request, response.content.kind
        uploaded = self._upload is None or self._upload.is_whole
        ends = kind == "until-close" or (kind == "chunked" and not request.minor)
        return request.keep_alive and uploaded and not ends, response.keep_alive and uploaded

    def _whole(self, response: ResponseHead) -> tuple[bool, bool] | None:
        """Deliver the final response at once, where its content came with its head, as small ones do.

        Returns:
            As ``run``; ``None``: there is more to come, or to wait for.
        """
        legs, (kind, length) = self._legs, response.content
        size_bytes = response.size_bytes + length
        if (
            kind not in ("length", "none")
            or len(legs.upstream.inbox) < length
            or not legs.down_lane.at_once(size_bytes)
        ):
            return None
        kept = self._kept(response)
        self._exchange.bytes_down += size_bytes
        self._exchange.status = response.status
        message = self._head_bytes(response, close=not kept[0])
        if length:
            message += legs.upstream.take(length)
        legs.client.write(message)
        if legs.client.is_lost:
            raise Cut(Reason.CLIENT_RESET)
        return kept

    async def _deliver(self, response: ResponseHead) -> tuple[bool, bool]:
        """Bring the final response down; the client is told nothing else from here on."""
        legs, kind = self._legs, response.content.kind
        keep_client, keep_upstream = self._kept(response)
        if not legs.down_lane.at_once(response.size_bytes):
            await pay(legs.down_lane, response.size_bytes)
        self._exchange.bytes_down += response.size_bytes
        self._exchange.status = response.status
        framing: Framing | None = None
        if kind == "chunked":
            framing = Chunked(plain=not self._request.minor)
        elif kind != "until-close":
            framing = KnownLength(response.content.length)
        down = Relay(
            legs.upstream,
            legs.client,
            lane=legs.down_lane,
            framing=framing,
            preface=self._head_bytes(response, close=not keep_client),
        )
        self._download = down
        end = await self._bring(down)
        if legs.client.is_lost:
            raise Cut(Reason.CLIENT_RESET)
        if end is End.COMPLETE or (end is End.EOF and kind == "until-close"):
            return keep_client, keep_upstream and end is End.COMPLETE
        if end is End.TARGET_LOST:
            upload_failed = self._upload is not None and self._upload.has_failed
            raise Cut(Reason.CLIENT_RESET if upload_failed else Reason.IDLE)
        raise Cut(_BROKEN[end])

    async def _bring(self, down: Relay) -> End:
        """Relay the content; the usual small one has come with the head and needs no wait."""
        down.start()
        if down.end is None:
            relays = (down,) if self._upload is None else (down, self._upload)
            watch = IdleWatch(relays, self._options.idle_s, down.stop)
            self._legs.client.on_lost = down.stop
            try:
                return await down.wait()
            finally:
                watch.stop()
                down.on_end = None
                down.stop()
        return down.end

    async def _switch(self, response: ResponseHead) -> None:
        """Become a tunnel (RFC 9110 §7.8); what the client sent early is passed on only now."""
        legs, exchange = self._legs, self._exchange
        exchange.status = 101
        await pay(legs.down_lane, response.size_bytes)
        exchange.bytes_down += response.size_bytes
        legs.upstream.is_answering = False
        legs.client.write(self._head_bytes(response, close=False))
        up = Relay(legs.client, legs.upstream, lane=legs.up_lane)
        down = Relay(legs.upstream, legs.client, lane=legs.down_lane)
        tunnel = Tunnel(up, down, idle_s=self._options.idle_s, half_closed_s=self._options.half_closed_s)
        try:
            reason = await tunnel.run()
        finally:
            exchange.bytes_up += up.moved_bytes
            exchange.bytes_down += down.moved_bytes
        if reason is not Reason.DONE:
            raise Cut(reason)

    def _head_bytes(self, response: ResponseHead, *, close: bool) -> bytes:
        return self._rewriter.answer(
            response, client_minor=self._request.minor, close=close, via=self._options.via
        )
