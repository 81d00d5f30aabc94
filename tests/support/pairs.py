"""Connected sockets, both ends in the test, and what can be done with them without a loop."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator


@contextlib.contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection on loopback, non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


@contextlib.contextmanager
def unix_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The same of a stream between unix sockets."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


PAIRS = {"tcp": tcp_pair, "unix": unix_pair}


def fill(sock: socket.socket) -> int:
    """Write zeroes until the kernel takes no more; how many it took."""
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += sock.send(bytes(65536))
    return taken


def drain(sock: socket.socket) -> bytes:
    """Read what is there."""
    content = bytearray()
    with contextlib.suppress(BlockingIOError):
        while piece := sock.recv(65536):
            content += piece
    return bytes(content)


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
