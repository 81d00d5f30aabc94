"""Load on a proxy: tunnels with one small request, keep-alive requests, one bulk tunnel, idle tunnels.

The generators are cheap and check every answer. None of their time counts where CPU is asked for: that is
the proxy's, from ``/proc``.
"""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from load_target import BIG, BIG_BYTES, SMALL, LoadError, Target, content, is_answer, is_connected

_CONCURRENT_TUNNELS = 16
_CONCURRENT_REQUESTS = 32
_READ_BYTES = 1 << 20
_WRK = ("-t1", "--timeout", "20s")


@dataclass(slots=True)
class Exchange:
    """One tunnel with one small GET.

    Attributes:
        due: When it should have begun, by ``time.perf_counter``.
        took_s: From then to the last byte of the content, once that is there.
    """

    sock: socket.socket
    is_connected: bool
    due: float = 0.0
    took_s: float = 0.0
    received: bytes = b""


class Exchanges:
    """How tunnels with one small GET go on."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._request = target.get_bytes(SMALL)
        self._content = content(SMALL)

    def started(self, turn: int, due: float = 0.0) -> Exchange:
        """Connect and send what comes first."""
        sock = self._target.connection(turn)
        sock.sendall(self._target.hello or self._request)
        sock.setblocking(False)
        return Exchange(sock, not self._target.is_proxy, due)

    def step(self, exchange: Exchange) -> bool:
        """Go on after something was received; True when all is there, and the client may close.

        Raises:
            LoadError: The answer is wrong.
        """
        data = exchange.sock.recv(65536)
        if not data:
            raise LoadError(f"ended after {exchange.received[:200]!r}")
        exchange.received += data
        if not exchange.is_connected:
            if is_connected(exchange.received):
                exchange.is_connected, exchange.received = True, b""
                exchange.sock.sendall(self._request)
            return False
        if not exchange.received.endswith(self._content):
            return False
        exchange.took_s = time.perf_counter() - exchange.due
        if not is_answer(exchange.received):
            raise LoadError(f"wrong answer {exchange.received[:100]!r}")
        return True


def tunnels(target: Target, count: int) -> float:
    """Open ``count`` tunnels, 16 at a time, with one small GET in each; return the seconds it took.

    Raises:
        LoadError: An answer was wrong.
    """
    exchanges, poll = Exchanges(target), select.epoll()
    under_way: dict[int, Exchange] = {}
    began, started = time.perf_counter(), 0
    while started < count or under_way:
        while started < count and len(under_way) < _CONCURRENT_TUNNELS:
            exchange = exchanges.started(started)
            under_way[exchange.sock.fileno()] = exchange
            poll.register(exchange.sock, select.EPOLLIN)
            started += 1
        for descriptor, _ in poll.poll(10.0):
            if exchanges.step(under_way[descriptor]):
                under_way.pop(descriptor).sock.close()
    poll.close()
    return time.perf_counter() - began


def requests(target: Target, path: str, seconds: int, core: int) -> int:
    """Send keep-alive GETs over 32 connections by ``wrk``; return how many were answered.

    Raises:
        LoadError: ``wrk`` is missing, or an answer was wrong.
    """
    program = shutil.which("wrk")
    if program is None:
        raise LoadError("wrk is not installed")
    script = f'wrk.path = "{target.url(path)}"\nwrk.headers["Host"] = "localhost:{target.origin}"\n'
    connections = _CONCURRENT_REQUESTS // len(target.ports)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["taskset", "-c", str(core), program, *_WRK, f"-c{connections}", f"-d{seconds}s"]
        running = [
            subprocess.Popen(
                [*command, "-s", file.name, f"http://127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True
            )
            for port in target.ports
        ]
        outputs = [process.communicate()[0] for process in running]
    return sum(map(_answered, outputs))


def _answered(output: str) -> int:
    found = re.search(r"(\d+) requests in", output)
    # A proxy that closes after each answer is a "read" error each time, and the request still answered.
    failed = re.search(r"Socket errors: connect (?!0,)|write (?!0,)|timeout (?!0$)", output, re.MULTILINE)
    if found is None or failed or "Non-2xx" in output:
        raise LoadError(f"wrk: {output}")
    return int(found[1])


def bulk(target: Target, turn: int = 0) -> float:
    """Download the big file through one tunnel; return the seconds it took.

    Raises:
        LoadError: Less came than should have.
    """
    buffer = bytearray(_READ_BYTES)
    with target.tunnel(turn) as sock:
        started = time.perf_counter()
        sock.sendall(target.get_bytes(BIG))
        head = sock.recv(4096)
        end = head.index(b"\r\n\r\n") + 4
        received = len(head) - end
        # MSG_TRUNC: the kernel throws the bytes away (tcp(7)), so that the client costs next to nothing.
        while n := sock.recv_into(buffer, _READ_BYTES, socket.MSG_TRUNC):
            received += n
        took = time.perf_counter() - started
    if received != BIG_BYTES:
        raise LoadError(f"{received} of {BIG_BYTES} bytes came through the tunnel")
    return took


@contextmanager
def idle_tunnels(target: Target, count: int) -> Iterator[None]:
    """Hold so many tunnels open while the context is entered; afterwards each must still work.

    Raises:
        LoadError: One did not open, or brings nothing afterwards.
    """
    request, wanted = target.get_bytes(SMALL), content(SMALL)
    with ExitStack() as stack:
        opened = [stack.enter_context(target.tunnel(turn)) for turn in range(count)]
        yield
        for sock in opened:
            sock.sendall(request)
        for sock in opened:
            answer = b""
            while data := sock.recv(65536):
                answer += data
            if not is_answer(answer) or not answer.endswith(wanted):
                raise LoadError(f"a tunnel that was idle brought {answer[:100]!r}")
