"""The origin of ``instructions.py``: a thread for each connection, every answer in one piece.

nginx is not needed, so that the counts can be had wherever valgrind is.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from load_target import content


class _Answers(socketserver.StreamRequestHandler):
    """One connection: GETs, one after the other."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            answer = content(line.split()[1].decode())
            fields = b"".join(iter(self.rfile.readline, b"\r\n")).lower()
            self.connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer
            )
            if b"connection: close" in fields:
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class _Server6(_Server):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def origin(port: int) -> Iterator[None]:
    """Serve on this port of the loopback, by both families, while the context is entered."""
    servers = [_Server(("127.0.0.1", port), _Answers), _Server6(("::1", port), _Answers)]
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
