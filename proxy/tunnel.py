"""A tunnel: two relays over one pair of wires (edge).

A FIN ends its own direction and is carried through; the other direction goes on until
it is done. A reset ends both, as a reset. Silence is measured for the tunnel, never
for a direction: a download may run for hours while nothing goes up.

What the bytes are is not looked at here: ``hello.py`` has judged the first ones before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .alarms import Alarm, Alarms, own_alarms
from .errors import DONE, Reason
from .relay import EOF, End, Relay


class IdleWatch:
    """Calls back when none of the relays has moved a byte for a while.

    Costs nothing per byte: counters are compared when the alarm comes. So the silence
    noticed is at most ``GRAIN`` of the shortest one longer than it has to be.

    Args:
        relays: Of both directions.
        idle_s: How long a silence is meant now.
        on_idle: Called once.
        shortest_s: The shortest that will be meant; ``None``: this one.
        alarms: Of the loop; ``None``: of the running one.
    """

    GRAIN = 0.25

    __slots__ = ("_alarm", "_alarms", "_deadline", "_idle_s", "_look_s", "_on_idle", "_relays", "_seen_bytes")

    def __init__(
        self,
        relays: Sequence[Relay],
        idle_s: float,
        on_idle: Callable[[], None],
        shortest_s: float | None = None,
        alarms: Alarms | None = None,
    ) -> None:
        self._alarms = own_alarms() if alarms is None else alarms
        self._relays = relays
        self._on_idle = on_idle
        self._look_s = self.GRAIN * (idle_s if shortest_s is None else min(idle_s, shortest_s))
        self._idle_s = idle_s
        self._seen_bytes = 0  # by the first look
        now = self._alarms.loop.time()
        self._deadline = now + idle_s
        self._alarm: Alarm | None = self._alarms.at(now + self._look_s, self._check)

    def restart(self, idle_s: float) -> None:
        """Measure anew, for another length of silence."""
        self._idle_s = idle_s
        self._seen_bytes = self._moved_bytes()
        self._deadline = self._alarms.loop.time() + idle_s

    def stop(self) -> None:
        """Forget the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _moved_bytes(self) -> int:
        moved_bytes = 0
        for relay in self._relays:
            moved_bytes += relay.moved_bytes
        return moved_bytes

    def _check(self) -> None:
        now = self._alarms.loop.time()
        if self._moved_bytes() != self._seen_bytes:
            self.restart(self._idle_s)
        elif now >= self._deadline:
            self._alarm = None
            self._on_idle()
            return
        self._alarm = self._alarms.at(min(now + self._look_s, self._deadline), self._check)


class Tunnel:
    """Runs an upload and a download relay to their common end.

    Args:
        up: Client to upstream.
        down: Upstream to client.
        idle_s: Silence that ends the tunnel.
        half_closed_s: The same, once one direction has ended.
        alarms: Of the loop; ``None``: of the running one.
    """

    # Thousands are open for hours: methods here where functions made for each tunnel took 1 kB more.
    __slots__ = ("_down", "_half_closed_s", "_over", "_up", "_watch")

    def __init__(
        self, up: Relay, down: Relay, *, idle_s: float, half_closed_s: float, alarms: Alarms | None = None
    ) -> None:
        alarms = own_alarms() if alarms is None else alarms
        self._up = up
        self._down = down
        self._half_closed_s = half_closed_s
        self._watch = IdleWatch((up, down), idle_s, self._silent, half_closed_s, alarms)
        self._over: asyncio.Future[Reason] = alarms.loop.create_future()

    async def run(self) -> Reason:
        """Relay until both directions have ended; close both wires.

        Returns:
            ``done``, ``client-reset``, ``upstream-reset``, ``idle``, or what ``stop`` was told.
        """
        up, down = self._up, self._down
        client, upstream = up.source, down.source
        up.on_end = down.on_end = self._ended
        try:
            up.start()
            down.start()
            reason = await self._over
        finally:
            self._watch.stop()
            up.stop()
            down.stop()
            up.on_end = down.on_end = None  # which hold us: nothing is left to collect
            del self._watch  # likewise
        if reason is DONE:
            client.close()
            upstream.close()
        else:
            client.abort(reset=True)
            upstream.abort(reset=True)
        return reason

    @property
    def moved_bytes(self) -> tuple[int, int]:
        """What has gone up and down."""
        return self._up.moved_bytes, self._down.moved_bytes

    def stop(self, reason: Reason) -> None:
        """End the tunnel now; both sides see a reset."""
        if not self._over.done():
            self._over.set_result(reason)

    def _silent(self) -> None:
        self.stop(Reason.IDLE)

    def _client_lost(self) -> None:
        self.stop(Reason.CLIENT_RESET)

    def _upstream_lost(self) -> None:
        self.stop(Reason.UPSTREAM_RESET)

    def _ended(self, relay: Relay) -> None:
        """Carry an end of file through, and hear of a reset behind it, which no relay reads any more."""
        other = self._down if relay is self._up else self._up
        if relay.end is EOF:
            if other.end is EOF:
                self.stop(DONE)  # to close both wires sends this end, too
            elif other.end is None:
                relay.target.send_fin()
                relay.source.on_lost = self._client_lost if relay is self._up else self._upstream_lost
                self._watch.restart(self._half_closed_s)
        elif relay.end is End.SOURCE_LOST:
            self.stop(Reason.CLIENT_RESET if relay is self._up else Reason.UPSTREAM_RESET)
