"""Look at the head of a connection without taking it from there (edge).

The kernel says once that more has come (``EPOLLET``): a head that comes in pieces is looked
at with each piece, and a silent connection costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket

from .errors import ProxyError
from .head import HeadLimits, check_partial_request, find_head_end

_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Peeker:
    """Peeks at any number of connections; belongs to one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._waiting: dict[int, asyncio.Event] = {}
        self._ended: set[int] = set()  # of these nothing more comes
        self._closed = False
        self._loop.add_reader(self._epoll, self._on_events)

    async def head(self, sock: socket.socket, limits: HeadLimits, patience_s: float) -> bytes | None:
        """Wait for a whole head, and leave it where it is.

        Args:
            sock: Connected, non-blocking, and read by nobody.
            limits: Sizes.
            patience_s: Seconds.

        Returns:
            ``None`` where there is none to come that anybody could serve: whoever reads the
            connection will say why.
        """
        try:
            head = _look(sock, limits)
            if head is None and not self._closed:
                async with asyncio.timeout(patience_s):
                    head = await self._wait(sock, limits)
        except (ProxyError, OSError, EOFError, TimeoutError):
            return None
        return head

    def now(self, sock: socket.socket, limits: HeadLimits) -> bytes | None:
        """The head, if all of it is there."""
        try:
            return _look(sock, limits)
        except (ProxyError, OSError, EOFError):
            return None

    def close(self) -> None:
        """Wait for nothing any more."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._epoll)
            self._epoll.close()
            for event in self._waiting.values():
                event.set()

    async def _wait(self, sock: socket.socket, limits: HeadLimits) -> bytes | None:
        number, event = sock.fileno(), asyncio.Event()
        self._waiting[number] = event
        self._epoll.register(number, _EVENTS)
        try:
            seen_bytes = 0
            while True:
                there = _peek(sock, limits)
                if there is not None:
                    if (head := _head_of(there, limits, seen_bytes)) is not None:
                        return head
                    seen_bytes = len(there)
                if self._closed or number in self._ended:
                    return None
                await event.wait()
                event.clear()
        finally:
            del self._waiting[number]
            self._ended.discard(number)
            if not self._closed:
                with contextlib.suppress(OSError):
                    self._epoll.unregister(number)

    def _on_events(self) -> None:
        for number, events in self._epoll.poll(0):
            if number in self._waiting:
                self._waiting[number].set()
                if events & _ENDED:
                    self._ended.add(number)


def _look(sock: socket.socket, limits: HeadLimits) -> bytes | None:
    """Look at what is there; ``None``: it is the beginning of a head.

    Raises:
        ProxyError: It is no head.
        OSError, EOFError: Nothing more comes.
    """
    there = _peek(sock, limits)
    return None if there is None else _head_of(there, limits, 0)


def _peek(sock: socket.socket, limits: HeadLimits) -> bytes | None:
    try:
        there = sock.recv(limits.max_head_bytes + 1, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    if not there:
        raise EOFError
    return there


def _head_of(there: bytes, limits: HeadLimits, seen_bytes: int) -> bytes | None:
    """Find a head; what was judged before is not judged again: a head may come byte by byte."""
    end = find_head_end(there, seen_bytes)
    if end >= 0:
        return there[:end]
    check_partial_request(there, limits, seen_bytes)
    return None
