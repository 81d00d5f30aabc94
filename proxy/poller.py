"""Tell which sockets of the data plane are ready, by one epoll of their own (edge).

The loop watches this epoll's descriptor alone. So a socket is taken up and let go by one system
call each, where a transport of the loop takes some turns of it and many calls, and waits for
them: a fifth of what a short tunnel cost.
"""

from __future__ import annotations

import asyncio
import select
import threading
from typing import Protocol

#: The peer has ended its sending side: an end is behind the bytes that are there, if there are any.
ENDED = select.EPOLLRDHUP
#: Told as ``EPOLLIN``, and with ``ENDED``.
READABLE = select.EPOLLIN | ENDED
WRITABLE = select.EPOLLOUT
#: Told in any case (epoll_ctl(2)): a reset, or the end of both directions.
BROKEN = select.EPOLLERR | select.EPOLLHUP

#: Told in one turn at most: timers, new connections and the control API have their turn before the others.
_MOST = 64


class Ready(Protocol):
    """Whose socket it is."""

    def ready(self, events: int) -> None:
        """Read, or write. It may be too late for that: a socket of the same number may have been meant."""

    def fail(self, error: Exception) -> None:
        """End, after an error in ``ready``: it would come again in each turn."""


class Poller:
    """The sockets that one loop waits for; each is told again in every turn, until it is not ready any more.

    Attributes:
        watched: By descriptor.
        descriptor: Of the epoll, for the loop.
    """

    __slots__ = ("_epoll", "descriptor", "loop", "watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.watched: dict[int, Ready] = {}
        self._epoll = select.epoll()
        self.descriptor = self._epoll.fileno()
        loop.add_reader(self.descriptor, self._poll)

    def add(self, descriptor: int, events: int, whose: Ready) -> None:
        """Watch a socket, which is not watched yet.

        Raises:
            OSError: The system watches no more.
        """
        self._epoll.register(descriptor, events)
        self.watched[descriptor] = whose

    def change(self, descriptor: int, events: int) -> None:
        """Watch it for something else; for nothing, it would still be told that it is broken."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Watch it no more. Before it is closed: the kernel goes on as long as there is a duplicate."""
        if self.watched.pop(descriptor, None) is not None:  # else the epoll is closed
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Let go of the epoll itself, whose loop is closed."""
        self.watched.clear()
        self._epoll.close()

    def _poll(self) -> None:
        watched = self.watched
        for descriptor, events in self._epoll.poll(0, _MOST):
            whose = watched.get(descriptor)
            if whose is None:  # let go for what came before it
                continue
            try:
                whose.ready(events)
            except Exception as error:  # a defect of ours, which the others must not notice
                self.loop.call_exception_handler(
                    {"message": "a socket of the gate failed", "exception": error, "whose": whose}
                )
                whose.fail(error)


class _Own(threading.local):
    """What each thread has of its own."""

    poller: Poller | None = None


_OWN = _Own()


def own_poller() -> Poller:
    """Return the poller of the running loop."""
    loop = asyncio.get_running_loop()
    poller = _OWN.poller
    if poller is None or poller.loop is not loop:
        if poller is not None and poller.loop.is_closed():
            poller.close()
        poller = _OWN.poller = Poller(loop)
    return poller
