"""The heads of one client connection, each read before its deadline (edge)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobgate.config.settings import TimeoutSettings

from .errors import ProxyError, Reason
from .head import HeadLimits, RequestHead, check_partial_request, find_head_end, parse_request_head
from .wire import Wire


class HeadReader:
    """Reads one head after the other.

    Attributes:
        idle: Nothing of a request has come since the last one: nothing is lost by closing now.
    """

    __slots__ = ("_client", "_is_first", "idle")

    def __init__(self, client: Wire) -> None:
        self._client = client
        self._is_first = True
        self.idle = True

    async def read(
        self, limits: HeadLimits, timeouts: TimeoutSettings, is_over: Callable[[], bool]
    ) -> RequestHead | None:
        """Read the next head.

        Args:
            limits: Sizes.
            timeouts: ``head_s`` from its first byte, ``keepalive_s`` between two requests.
            is_over: Says whether no request is waited for any more.

        Returns:
            ``None`` when the client asks for nothing more.

        Raises:
            ProxyError: It is no head, is too large, or takes too long.
        """
        client = self._client
        now = asyncio.get_running_loop().time
        self.idle = not client.inbox
        deadline = now() + (timeouts.head_s if self._is_first or not self.idle else timeouts.keepalive_s)
        self._is_first = False
        scanned = 0
        while not client.inbox or (end := find_head_end(client.inbox, scanned)) < 0:
            if client.inbox:
                check_partial_request(client.inbox, limits, scanned)
            if client.at_eof or client.is_lost or is_over():
                return None
            scanned = len(client.inbox)
            try:
                await client.more(deadline)
            except TimeoutError:
                if not client.inbox:
                    return None
                raise ProxyError(Reason.HEAD_TIMEOUT, "The request head did not arrive in time.") from None
            if self.idle and client.inbox:
                self.idle = False
                deadline = now() + timeouts.head_s
        return parse_request_head(client.take(end), limits)
