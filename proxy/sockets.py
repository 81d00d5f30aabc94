"""Sockets as the data plane uses them (edge)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = socket.SocketType  # the interpreter's own, of which the standard one is made


class StreamSocket(_Socket):
    """A socket without what the standard one adds in Python.

    That is functions to make and to close it, which every tunnel calls twice, and family and type as
    members of an enumeration, made each time they are asked for: as dear as a system call. It has no
    ``accept``, ``dup``, ``makefile`` and ``sendfile``, nor ``get_inheritable``.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()


def kind_of(sock: socket.socket) -> tuple[int, int, int]:
    """Return family, type and protocol as plain numbers."""
    return int(sock.family), int(sock.type), sock.proto


def accept(listener: socket.socket, kind: tuple[int, int, int]) -> tuple[StreamSocket, object]:
    """Accept one connection, non-blocking.

    Args:
        listener: Non-blocking.
        kind: Of it, found out once.

    Returns:
        The connection, and where it comes from as the kernel says it.

    Raises:
        OSError: There is none, or it cannot be taken.
    """
    # What ``accept`` itself makes a socket of, which is not one of ours; not in typeshed.
    descriptor, peer = listener._accept()  # type: ignore[attr-defined]
    family, type_, protocol = kind
    sock = StreamSocket(family, type_, protocol, descriptor)
    sock.setblocking(False)
    return sock, peer
