"""A server that answers the probe of a gate."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

HEALTHY = b"HTTP/1.1 400 Bad Request\r\nX-Jobgate-Reason: bad-request\r\nConnection: close\r\n\r\n"
DRAINING = HEALTHY.replace(b"400", b"503").replace(b"bad-request", b"draining")


@contextmanager
def one_answer(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[list[bytes]]:
    """A server that reads one request and answers it as told."""
    received: list[bytes] = []

    def serve() -> None:
        with listener, listener.accept()[0] as sock:
            received.append(sock.recv(4096))
            answer(sock)

    thread = Thread(target=serve)
    thread.start()
    yield received
    thread.join()


def tcp_listener() -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, int(listener.getsockname()[1])
