"""The content of a request on its way up: its framing, and what its end means (edge)."""

from __future__ import annotations

from .content import Chunked, ContentTooLarge, Framing, KnownLength
from .errors import BadRequest, ProxyError, Reason
from .framing import Content
from .legs import Legs
from .relay import End, Relay


class Upload(Relay):
    """Relays the content of one request.

    Args:
        legs: Of its exchange.
        content: As the head announced it; not ``none``.
        max_content_bytes: Most that is accepted of one without a length; 0 is no limit.
    """

    __slots__ = ()

    def __init__(self, legs: Legs, content: Content, max_content_bytes: int) -> None:
        framing: Framing
        if content.kind == "chunked":
            framing = Chunked(max_bytes=max_content_bytes)
        else:
            framing = KnownLength(content.length)
        super().__init__(legs.client, legs.upstream, lane=legs.up_lane, framing=framing)

    @property
    def is_whole(self) -> bool:
        """Whether all of it has gone up."""
        return self.end is End.COMPLETE

    @property
    def has_failed(self) -> bool:
        """Whether it never will."""
        return self.end is not None and self.end is not End.COMPLETE

    @property
    def refusal(self) -> ProxyError | None:
        """What the client did wrong, if that is why it has failed."""
        if self.end is End.EOF:
            return BadRequest("The request's content ended early.")
        if self.end is not End.INVALID:
            return None
        if isinstance(self.error, ContentTooLarge):
            return ProxyError(Reason.CONTENT_TOO_LARGE, "The request's content is larger than allowed here.")
        return BadRequest("The request's chunked coding is broken.")
