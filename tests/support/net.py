"""Ports that do not answer, each in its own way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache


def _listener(address: str, port: int = 0, backlog: int = 1) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=backlog)


@cache
def closed_port(address: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens: a connection is refused.

    It is one for the whole process, which keeps it, so that nobody else can listen there.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.bind((address, 0))
    port: int = sock.getsockname()[1]
    sock.detach()
    return port


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port for a listener of another process, which must be quick to take it."""
    with _listener(address) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def silent_port(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Listen and never accept, with a full queue: a SYN is not answered."""
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(address, port, backlog=0))
        for _ in range(2):
            sock = stack.enter_context(socket.socket(listener.family))
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
