"""Close a connection in stages, so that the last answer is not lost (edge)."""

from __future__ import annotations

from .wire import Wire

#: A lingering close reads on for this long …
LINGER_S = 2.0
#: … and throws away at most this much.
LINGER_BYTES = 1 << 20


async def linger(wire: Wire) -> None:
    """Send FIN, read on for a moment, close; nothing where the wire is closed already.

    A close with unread input would send a reset, which can overtake the reply.

    Source: RFC 9112 §9.6.
    """
    if wire.is_closing:
        return
    wire.reader = wire.on_writable = wire.on_lost = None
    deadline = wire.loop.time() + LINGER_S
    thrown_away = len(wire.take_inbox())
    try:
        await wire.drained(deadline)
        wire.send_fin()
        while not wire.at_eof and not wire.is_lost and thrown_away < LINGER_BYTES:
            await wire.more(deadline)
            thrown_away += len(wire.take_inbox())
    except TimeoutError:
        pass
    wire.abort()
