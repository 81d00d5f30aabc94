"""Load on a proxy: tunnels with one small request, keep-alive requests, one bulk tunnel.

The generators are cheap and check every answer. None of their time counts: what is
measured is the CPU time of the proxy.
"""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

SMALL = "/small"
BIG = "/big"
SMALL_BYTES = 1024
_CONNECTED = re.compile(rb"HTTP/1\.[01] 200 [^\r]*\r\n(?:[^\r]+\r\n)*\r\n")
_CONCURRENT_TUNNELS = 16
_CONCURRENT_REQUESTS = 32
_READ_BYTES = 1 << 20


class LoadError(Exception):
    """An answer was not the right one."""


def until_accepting(port: int, timeout_s: float = 20.0) -> None:
    """Wait until something listens.

    Raises:
        LoadError: Nothing did.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.001)
    raise LoadError(f"nothing listens on port {port}")


def small_content() -> bytes:
    """Return what the origin has at ``SMALL``."""
    return bytes(range(256)) * (SMALL_BYTES // 256)


def _connect_bytes(origin: int) -> bytes:
    return f"CONNECT localhost:{origin} HTTP/1.1\r\nHost: localhost:{origin}\r\n\r\n".encode()


def _get_bytes(target: str, origin: int) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: localhost:{origin}\r\nConnection: close\r\n\r\n".encode()


def _read_until(sock: socket.socket, pattern: re.Pattern[bytes]) -> bytes:
    data = b""
    while not pattern.match(data):
        more = sock.recv(65536)
        if not more:
            raise LoadError(f"the proxy answered {data[:200]!r}")
        data += more
    return data


def check(port: int, origin: int) -> None:
    """Assert that one request of each kind brings the right content, and that a stranger is refused.

    Raises:
        LoadError: One did not.
    """
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(_connect_bytes(origin))
        _read_until(sock, _CONNECTED)
        sock.sendall(_get_bytes(SMALL, origin))
        _expect_small(_read_to_end(sock))
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(_get_bytes(f"http://localhost:{origin}{SMALL}", origin))
        _expect_small(_read_to_end(sock))
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(f"CONNECT other.test:{origin} HTTP/1.1\r\nHost: other.test:{origin}\r\n\r\n".encode())
        status = sock.recv(12)
        if not re.match(rb"HTTP/1\.[01] 403", status):
            raise LoadError(f"a name that is not listed got {status!r}")


def _read_to_end(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def _expect_small(data: bytes) -> None:
    if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")) or not data.endswith(small_content()):
        raise LoadError(f"wrong answer {data[:100]!r}")


@dataclass(slots=True)
class _Tunnel:
    sock: socket.socket
    connected: bool = False
    received: bytes = b""


def tunnels(port: int, origin: int, count: int) -> None:
    """Open ``count`` tunnels, 16 at a time, with one small GET in each.

    Raises:
        LoadError: An answer was wrong.
    """
    hello, request = _connect_bytes(origin), _get_bytes(SMALL, origin)
    poll = select.epoll()
    open_tunnels: dict[int, _Tunnel] = {}
    started = 0
    while started < count or open_tunnels:
        while started < count and len(open_tunnels) < _CONCURRENT_TUNNELS:
            sock = socket.create_connection(("127.0.0.1", port), 10)
            sock.sendall(hello)
            sock.setblocking(False)
            open_tunnels[sock.fileno()] = _Tunnel(sock)
            poll.register(sock, select.EPOLLIN)
            started += 1
        for descriptor, _ in poll.poll(10.0):
            tunnel = open_tunnels[descriptor]
            if _step(tunnel, request):
                poll.unregister(descriptor)
                tunnel.sock.close()
                del open_tunnels[descriptor]
    poll.close()


def _step(tunnel: _Tunnel, request: bytes) -> bool:
    """Go on with one tunnel; True when its answer is complete."""
    data = tunnel.sock.recv(65536)
    tunnel.received += data
    if not tunnel.connected:
        if not data:
            raise LoadError(f"no tunnel: {tunnel.received[:200]!r}")
        if _CONNECTED.match(tunnel.received):
            tunnel.connected = True
            tunnel.received = b""
            tunnel.sock.sendall(request)
        return False
    if data:
        return False
    _expect_small(tunnel.received)
    return True


def requests(port: int, origin: int, seconds: float, core: int) -> int:
    """Send keep-alive GETs over 32 connections by ``wrk``; return how many were answered.

    Raises:
        LoadError: ``wrk`` is missing, or an answer was wrong.
    """
    program = shutil.which("wrk")
    if program is None:
        raise LoadError("wrk is not installed")
    script = f'wrk.path = "http://localhost:{origin}{SMALL}"\nwrk.headers["Host"] = "localhost:{origin}"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        arguments = ["-t1", f"-c{_CONCURRENT_REQUESTS}", f"-d{seconds:g}s", "-s", file.name]
        command = ["taskset", "-c", str(core), program, *arguments, f"http://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) requests in", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise LoadError(f"wrk: {done.stdout}")
    return int(found[1])


def bulk(port: int, origin: int, size: int) -> float:
    """Download the big file through one tunnel; return the seconds it took.

    Raises:
        LoadError: Less came than should have.
    """
    buffer = bytearray(_READ_BYTES)
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(_connect_bytes(origin))
        _read_until(sock, _CONNECTED)
        started = time.perf_counter()
        sock.sendall(_get_bytes(BIG, origin))
        head = sock.recv(4096)
        end = head.index(b"\r\n\r\n") + 4
        received = len(head) - end
        # MSG_TRUNC: the kernel throws the bytes away (tcp(7)), so that the client costs next to nothing.
        while n := sock.recv_into(buffer, _READ_BYTES, socket.MSG_TRUNC):
            received += n
        took = time.perf_counter() - started
    if received != size:
        raise LoadError(f"{received} of {size} bytes came through the tunnel")
    return took
