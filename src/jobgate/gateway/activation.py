"""Socket activation: systemd has opened the listeners, and keeps them open while the service restarts."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from .inherited import Inherited
from .listeners import ListenError, bound_to, keep_path

#: SD_LISTEN_FDS_START of sd_listen_fds(3).
FIRST_DESCRIPTOR = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def activated_sockets(
    environment: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR
) -> list[Inherited]:
    """Take the sockets that systemd passed to this process, and its variables; their paths stay.

    Args:
        environment: ``LISTEN_PID`` says for which process they are, ``LISTEN_FDS`` how many.
        first: The descriptor of the first one; the others follow.

    Raises:
        ListenError: One of them is no listening stream socket, or takes both families: IPv4
            clients would come with IPv6 addresses.

    Source: sd_listen_fds(3).
    """
    pid, count, _ = (environment.pop(variable, "") for variable in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [Inherited(_listening(number)) for number in range(first, first + int(count))]


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(f"descriptor {descriptor} from systemd: {error.strerror}") from error
    problem = _problem(sock)
    if problem:
        sock.close()
        raise ListenError(f"descriptor {descriptor} from systemd {problem}")
    sock.setblocking(False)
    keep_path(bound_to(sock))
    return sock


def _problem(sock: socket.socket) -> str:
    """Say why a socket cannot be served, and what to write in its unit."""
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or sock.type != socket.SOCK_STREAM:
        return "does not listen: write ListenStream="
    if sock.family is socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return "takes IPv4, too: write BindIPv6Only=ipv6-only"
    return ""
