"""What the kernel may hold for one connection of a job with a rate (edge).

Reading at a rate means that a fast sender fills the receive buffer, and a client that does
not read fills the send buffer; left alone, the kernel lets each grow to megabytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import socket
import sys
import termios
import threading
from array import array
from pathlib import Path

#: asm-generic/socket.h; Linux 5.14.
_SO_BUF_LOCK = 72


class _Own(threading.local):
    """What each thread has of its own: the kernel's answer, which it writes while others run."""

    def __init__(self) -> None:
        self.count = array("i", [0])


_OWN = _Own()


def bound_receive_buffer(sock: socket.socket, size_bytes: int | None) -> None:
    """Bound what is received and not read yet; TCP settles its window at the handshake.

    A bound that TCP does not reach by itself is left to it: asking would change nothing but
    cut a fast connection down to ``net.core.rmem_max``, which is far less on most hosts.

    Args:
        sock: Before ``connect``, or a listener: connections accepted from now on inherit it.
        size_bytes: ``None``: no bound, and that of before is lifted.
    """
    # The kernel doubles what it is asked for, for its own bookkeeping (socket(7)).
    if size_bytes is not None and 2 * size_bytes < _largest_buffer_bytes():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)
    else:
        with contextlib.suppress(OSError):  # an older kernel keeps to the bound
            sock.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)


def bound_unsent(sock: socket.socket, size_bytes: int | None) -> None:
    """Bound what is written and not sent yet, on a connection of any age.

    Not ``SO_SNDBUF``: that holds what is in flight, too, and would bound the rate of a long
    path. What is in flight is bounded by the peer's window, which a peer that does not read
    closes.

    Args:
        sock: Connected. A unix socket's buffer is small and does not grow.
        size_bytes: ``None``: no bound but the kernel's.
    """
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size_bytes or 0)


def unread_bytes(sock: socket.socket) -> int:
    """Return how many bytes have come that nobody has read yet."""
    count = _OWN.count
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, count, True)
    return count[0]


@functools.cache
def _largest_buffer_bytes() -> int:
    """Say to what size TCP lets a receive buffer grow (tcp(7))."""
    try:
        return int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2])
    except OSError:  # hidden: every bound is asked for
        return sys.maxsize
