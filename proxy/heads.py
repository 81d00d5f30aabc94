"""The heads of one client connection, each read before its deadline (edge)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from jobgate.config.settings import TimeoutSettings

from .connects import START, ConnectHeads
from .errors import ProxyError, Reason
from .head import HeadLimits, RequestHead, check_partial_request, find_head_end
from .repeats import RequestHeads
from .wire import Wire

#: To read what has come of a head whose time is over before it is answered.
LEAST_S = 0.1


class Bounds(Protocol):
    """A gate: its limits may change while a head is awaited."""

    head_limits: HeadLimits


class HeadReader:
    """Reads one head after the other.

    Args:
        client: Where they come from.
        connects: Of the job, where it is known whose they are.
        waited_since: Loop time since when the first one is waited for, if that is not when it is read.

    Attributes:
        idle: Nothing of a request has come since the last one: nothing is lost by closing now.
    """

    __slots__ = ("_client", "_connects", "_heads", "_is_first", "_waited_since", "idle")

    def __init__(
        self, client: Wire, connects: ConnectHeads | None = None, waited_since: float = math.inf
    ) -> None:
        self._client = client
        self._connects = connects
        self._heads: RequestHeads | None = None  # no tunnel needs one
        self._is_first = True
        self._waited_since = waited_since
        self.idle = True

    def again(self, raw: bytes, limits: HeadLimits) -> RequestHead | None:
        """Read what came as one head with the fields of the last one; ``None``: it is something else."""
        return None if self._heads is None else self._heads.again(raw, limits)

    async def read(
        self, bounds: Bounds, timeouts: TimeoutSettings, is_over: Callable[[], bool]
    ) -> RequestHead | None:
        """Read the next head.

        Args:
            bounds: Has the sizes.
            timeouts: ``head_s`` from its first byte, ``keepalive_s`` between two requests.
            is_over: Says whether no request is waited for any more.

        Returns:
            ``None`` when the client asks for nothing more.

        Raises:
            ProxyError: It is no head, is too large, or takes too long.
        """
        client = self._client
        self.idle = not client.inbox
        end = -1 if self.idle else find_head_end(client.inbox)
        if end < 0:
            end = await self._end(bounds, timeouts, is_over)
            if end < 0:
                return None
        self._is_first = False
        raw, limits = client.take(end), bounds.head_limits
        if self._connects is not None and raw.startswith(START):
            return self._connects.parse(raw, limits)
        heads = self._heads = self._heads or RequestHeads()
        return heads.parse(raw, limits)

    async def _end(self, bounds: Bounds, timeouts: TimeoutSettings, is_over: Callable[[], bool]) -> int:
        """Wait for the end of the head, and return its index; -1 when the client asks for nothing more."""
        client = self._client
        now = client.loop.time
        began = now()
        head_s = timeouts.head_s
        if self._is_first and self._waited_since < began:
            head_s = max(LEAST_S, head_s - (began - self._waited_since))
        deadline = began + (head_s if self._is_first or not self.idle else timeouts.keepalive_s)
        scanned = 0
        while True:
            if client.inbox:
                check_partial_request(client.inbox, bounds.head_limits, scanned)
            if client.at_eof or client.is_lost or is_over():
                return -1
            scanned = len(client.inbox)
            try:
                await client.more(deadline)
            except TimeoutError:
                if not client.inbox:
                    return -1
                raise ProxyError(Reason.HEAD_TIMEOUT, "The request head did not arrive in time.") from None
            if self.idle and client.inbox:
                self.idle = False
                deadline = now() + head_s
            if client.inbox and (end := find_head_end(client.inbox, scanned)) >= 0:
                return end
