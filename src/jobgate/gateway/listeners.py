"""Listening sockets."""

from __future__ import annotations

import contextlib
import errno
import socket
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.proxy.buffers import bound_receive_buffer

BACKLOG = 1024
"""Connections that the kernel holds while the loop is busy; it caps the number at ``somaxconn``."""

UNIX_MODE = 0o660
"""Owner and group may connect: whoever is to be a client of this job gets the group."""


class ListenError(Exception):
    """A listener that cannot be opened; the text says which and why."""


def open_listener(
    where: Endpoint | UnixPath,
    *,
    receive_buffer_bytes: int | None = None,
    netns: str = "",
    mode: int = UNIX_MODE,
    both_families: bool = False,
) -> socket.socket:
    """Open a bound, listening, non-blocking socket.

    Accepted connections inherit the receive buffer. It is set before ``listen``:
    afterwards the window scale is already chosen. A path whose socket nobody serves
    any more is taken over.

    Args:
        where: An address or a path.
        receive_buffer_bytes: ``None``: as the kernel likes.
        netns: The network namespace that the address is one of; ``""``: ours.
        mode: Of the file at the path.
        both_families: ``[::]`` takes IPv4, too.

    Raises:
        ListenError: The address is not ours, in use, or not permitted; no such namespace.
    """
    if not netns:
        return _open(where, receive_buffer_bytes, mode, both_families)
    from .netns import NamespaceError, call_inside  # by ctypes, which only this needs

    try:
        return call_inside(netns, lambda: _open(where, receive_buffer_bytes, mode, both_families))
    except NamespaceError as error:
        raise ListenError(f"cannot listen on {where}: {error}") from error


def _open(
    where: Endpoint | UnixPath, receive_buffer_bytes: int | None, mode: int, both_families: bool
) -> socket.socket:
    sock = socket.socket(_family(where), socket.SOCK_STREAM)
    try:
        if receive_buffer_bytes is not None:
            bound_receive_buffer(sock, receive_buffer_bytes)
        if isinstance(where, UnixPath):
            _bind_path(sock, Path(where.path), mode)
        else:
            _bind_address(sock, where, both_families)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from error
    return sock


def bound_to(sock: socket.socket) -> Endpoint | UnixPath:
    """Say where a listener is, with the port that the kernel picked."""
    name = sock.getsockname()
    return UnixPath(name) if sock.family is socket.AF_UNIX else Endpoint(ip_address(name[0]), name[1])


_kept: set[UnixPath] = set()
"""As with the variables that name them, this is said once for the whole process."""


def keep_path(where: Endpoint | UnixPath) -> None:
    """Leave a path alone from now on: the service manager holds its socket for the next process."""
    if isinstance(where, UnixPath):
        _kept.add(where)


def remove_path(where: Endpoint | UnixPath) -> None:
    """Remove the path of a closed unix listener; there is none of the others."""
    if isinstance(where, UnixPath) and where not in _kept:
        with contextlib.suppress(OSError):
            Path(where.path).unlink()


def _family(where: Endpoint | UnixPath) -> socket.AddressFamily:
    if isinstance(where, UnixPath):
        return socket.AF_UNIX
    return socket.AF_INET6 if isinstance(where.address, IPv6Address) else socket.AF_INET


def _bind_address(sock: socket.socket, where: Endpoint, both_families: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family is socket.AF_INET6:
        # "[::]" means IPv6 unless said otherwise: bindv6only changes nothing.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_families)
    sock.bind((str(where.address), where.port))


def _bind_path(sock: socket.socket, path: Path, mode: int) -> None:
    if path.is_socket() and not _is_served(path):
        path.unlink()
    sock.bind(str(path))
    path.chmod(mode)  # nobody can connect before it listens


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        # EAGAIN is a full backlog: somebody is there.
        return client.connect_ex(str(path)) != errno.ECONNREFUSED
