"""Sockets as the data plane uses them (edge)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING


class StreamSocket(socket.socket):
    """A socket whose family and type are plain numbers.

    The standard one makes a member of an enumeration each time it is asked: as dear as a system call.
    """

    __slots__ = ()

    if not TYPE_CHECKING:
        family = socket.SocketType.family
        type = socket.SocketType.type


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
