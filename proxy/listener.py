"""Accept connections, and survive a process that has run out of descriptors (edge)."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from .sockets import accept, kind_of

logger = logging.getLogger("jobgate")

#: Accepted in one turn at most, so that a flood on one listener does not keep the others waiting.
BATCH = 64
#: Pause after the process or the system ran out of descriptors or memory.
BACK_OFF_S = 0.25

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Accepts on one listening socket.

    Args:
        sock: Bound and listening; owned by the listener from now on.
        on_accept: Takes a connected non-blocking socket and the peer's address as text.
    """

    def __init__(self, sock: socket.socket, on_accept: Callable[[socket.socket, str], None]) -> None:
        self._sock = sock
        self._kind = kind_of(sock)
        self._on_accept = on_accept
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._troubled = False
        self._came_alone = False  # the last one, and whether another waits was asked in vain
        self._asking: asyncio.Handle | None = None  # for those behind the first
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            # Inherited by what is accepted: without it an answer in two pieces waits 40 ms for the
            # acknowledgement of the first.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(sock, self._accept)

    @property
    def sock(self) -> socket.socket:
        """The listening socket."""
        return self._sock

    def close(self) -> None:
        """Stop accepting; what waits in the backlog is reset."""
        self.detach().close()

    def detach(self) -> socket.socket:
        """Stop accepting and give the socket away; what waits in its backlog is for whoever listens next."""
        for due in (self._timer, self._asking):
            if due is not None:
                due.cancel()
        self._timer = self._asking = None
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
        return self._sock

    def resume(self) -> None:
        """Accept again after ``detach``, if the socket is still open."""
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        """Take the first one that waits; the others behind its first step, which does not wait for them."""
        was_alone, self._came_alone = self._came_alone, False
        # To ask for another in vain costs 3.5 µs, so the one behind one that came alone is taken alone. What
        # waits behind that is taken in the next turn.
        if self._take(1) and not was_alone and self._asking is None:
            self._asking = self._loop.call_soon(self._accept_more)

    def _accept_more(self) -> None:
        self._asking = None
        self._came_alone = not self._take(BATCH - 1)

    def _take(self, most: int) -> int:
        """Accept as many as wait, and say how many were taken."""
        taken = 0
        for _ in range(most):
            try:
                sock, peer = accept(self._sock, self._kind)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._back_off(error)
                    break
                continue  # this connection was gone before it was accepted (ECONNABORTED and its kin)
            self._troubled = False
            taken += 1
            self._on_accept(sock, _peer_text(peer))
        return taken

    def _back_off(self, error: OSError) -> None:
        """Leave the backlog alone for a moment: polling a readable listener would spin."""
        if not self._troubled:
            logger.warning("cannot accept connections for the moment: %s", error.strerror)
        self._troubled = True
        self._loop.remove_reader(self._sock)
        self._timer = self._loop.call_later(BACK_OFF_S, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        self._loop.add_reader(self._sock, self._accept)


def _peer_text(peer: object) -> str:
    """Write a peer's address: ``192.0.2.7:49152``, ``[2001:db8::1]:49152``, ``unix``."""
    if not isinstance(peer, tuple):
        return "unix"
    host, port = peer[0], peer[1]
    if ":" not in host:
        return f"{host}:{port}"
    if "." in host:  # IPv4 in a socket for both families (RFC 4291 §2.5.5.2)
        host = host.removeprefix("::ffff:")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
