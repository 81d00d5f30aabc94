"""Whether a gate answers: a module that is a program, too, for the health check of the container image.

Standard library only, and little of it: an engine runs it every second.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

PROBE = b"GET / HTTP/1.1\r\nHost: jobgate\r\nConnection: close\r\n\r\n"
"""A request to the proxy itself: never valid, so every working gate refuses it at once."""

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  what a listener may say, never dialled
DEFAULT_ADDRESS = "127.0.0.1:3128"
BACALHAU_ADDRESS = "127.0.0.1:8080"
DEFAULT_TIMEOUT_S = 2.0
MAX_HEAD_BYTES = 16384


def connect(address: str, timeout_s: float) -> socket.socket:
    """A connection to ``ip:port`` or ``unix:/path``; a wildcard listener is asked over loopback.

    Raises:
        ValueError: The address has no port.
        OSError: Nobody answers there.
    """
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        sock.connect(address.removeprefix("unix:"))
        return sock
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f'"{address}": write ADDRESS:PORT or unix:/path')
    where = ANY_ADDRESS.get(host, host).strip("[]"), int(port)
    return socket.create_connection(where, timeout_s, _source(*where))


def _source(host: str, port: int) -> tuple[str, int] | None:
    """Loopback, where the address is one of this machine: checks from elsewhere are logged by the gate.

    Raises:
        OSError: There is no way to it.
    """
    family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as asked:
        asked.connect(where)  # which sends nothing
        is_here = asked.getsockname()[0] == asked.getpeername()[0]
    return ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0) if is_here else None


def probe(address: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
    """Why the gate is not healthy; empty if it is.

    Raises:
        ValueError: The address has no port.
    """
    try:
        with connect(address, timeout_s) as sock:
            sock.sendall(PROBE)
            head = read_head(sock)
    except OSError as error:
        return error.strerror or str(error)
    return judge(head)


def read_head(sock: socket.socket) -> bytes:
    """What comes up to the blank line, the end of the stream or the limit."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        piece = sock.recv(4096)
        if not piece:
            break
        head += piece
    return head


def judge(head: bytes) -> str:
    """Why this answer to ``PROBE`` is not that of a gate at work; empty if it is."""
    status, *fields = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    reasons = [
        line.partition(b":")[2].strip() for line in fields if line[:17].lower() == b"x-jobgate-reason:"
    ]
    if not reasons:
        return "no jobgate answers there"
    if status.split(b" ")[1:2] != [b"400"]:
        return f"refuses requests ({reasons[0].decode('ascii', 'replace')})"
    return ""


def main(environ: Mapping[str, str]) -> int:
    """Ask the gate that the image starts with these variables; exit code 0 if it is healthy, else 1."""
    is_bacalhau = "BACALHAU_HTTP_DOMAINS" in environ
    address = BACALHAU_ADDRESS if is_bacalhau else environ.get("JOBGATE_LISTEN") or DEFAULT_ADDRESS
    try:
        problem = probe(address)
    except ValueError as error:
        problem = str(error)
    if problem:
        sys.stderr.write(f"jobgate: {address}: {problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
