"""CONNECT heads that come again: what a job's clients send byte for byte as before is not read again. Pure.

Every tunnel is a connection of its own, and begins as the last one to the same place did. A memory
belongs to one job, so that none can find out by the time it takes what another has asked for.
"""

from __future__ import annotations

from .decision import Kind, Target
from .errors import BadRequest
from .head import HeadLimits, RequestHead, parse_request_head
from .target import parse_connect

START = b"CONNECT "


class ConnectHeads:
    """Knows the last heads of one job that asked for a tunnel, none of them large."""

    __slots__ = ("_heads", "_limits")

    #: More are forgotten together.
    MOST = 16
    MOST_BYTES = 512
    #: A field takes more memory than its bytes: with both bounds a job that is full holds some 30 kB.
    MOST_FIELDS = 16

    def __init__(self) -> None:
        self._limits: HeadLimits | None = None
        self._heads: dict[bytes, RequestHead] = {}

    def parse(self, raw: bytes, limits: HeadLimits) -> RequestHead:
        """Read one head that begins with ``START``, as ``parse_request_head``."""
        if limits is not self._limits:
            self._heads.clear()
            self._limits = limits
        head = self._heads.get(raw)
        if head is None:
            head = parse_request_head(raw, limits)
            if len(raw) <= self.MOST_BYTES and len(head.headers) <= self.MOST_FIELDS:
                self._keep(raw, head)
        return head

    def _keep(self, raw: bytes, head: RequestHead) -> None:
        try:
            head.asked = Target(Kind.CONNECT, *parse_connect(head.target))
        except BadRequest:  # it is refused, now as ever
            return
        if len(self._heads) >= self.MOST:
            self._heads.clear()
        self._heads[raw] = head
