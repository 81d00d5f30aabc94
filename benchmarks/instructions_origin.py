"""The origin of ``instructions.py``: a thread for each connection, every answer in few pieces.

nginx is not needed, so that the counts can be had wherever valgrind is.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator

from load_target import BIG, BIG_BYTES, content


class _Answers(socketserver.StreamRequestHandler):
    """One connection: GETs, one after the other."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            path = line.split()[1].decode()
            fields = b"".join(iter(self.rfile.readline, b"\r\n")).lower()
            size = BIG_BYTES if path == BIG else len(content(path))
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
            if path == BIG:
                self.connection.sendall(head)
                self._send_big()
            else:
                self.connection.sendall(head + content(path))
            if b"connection: close" in fields:
                return

    def _send_big(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.truncate(BIG_BYTES)
            self.connection.sendfile(file)


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
