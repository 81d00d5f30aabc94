"""Tunnels that are full of bytes, at next to no cost: origin and clients in one process.

The origin sends the pages of one file (``sendfile``, no copy), to each tunnel a little more than its
share of the rate, so that there is always something to limit; the clients let the kernel throw
away what comes (MSG_TRUNC, no copy). Both go from socket to socket by the clock instead of asking
which ones are ready.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rate_streams import read_head

#: One visit to a sender or a receiver, in bytes: the larger, the cheaper.
PIECE_BYTES = 1 << 16
#: What the origin offers, in shares of the rate.
SURPLUS = 1.05
#: Pieces that the origin sends ahead, so that no tunnel is ever empty: they lie in the kernel.
_AHEAD = 2
_DISCARD_BYTES = 1 << 22
_BUFFER_BYTES = 1 << 20
_TIMEOUT_S = 20.0


class Turns:
    """Visits all members again and again, at an even pace."""

    def __init__(self, count: int, period_s: float, visit: Callable[[int], None]) -> None:
        self._count, self._per_s, self._visit = count, count / period_s, visit
        self._done = 0
        self._since = time.monotonic()

    def catch_up(self, now: float) -> None:
        """Make the visits that are due; what lies more than a round behind is left out."""
        due = int((now - self._since) * self._per_s)
        for number in range(max(self._done, due - self._count), due):
            self._visit(number % self._count)
        self._done = due


@dataclass(slots=True)
class _Receiver:
    """The client's end of one tunnel, and what it got since it was last told to count anew."""

    sock: socket.socket
    job: int
    total: int = 0
    first_at: float = 0.0
    first_total: int = 0
    last_at: float = 0.0

    def rate(self) -> float:
        """Return bytes/s between the first visit that brought something and the last."""
        took = self.last_at - self.first_at
        return (self.total - self.first_total) / took if took else 0.0


class Flow:
    """Open tunnels through the listeners of many jobs, and keep them full.

    Args:
        ports: One listener for each job, on the loopback address.
        tunnels: For each job.
        rate: Bytes/s of a job.
        connect: Authority to ask the listener for; ``""``: it leads to the origin by itself.
        origin: The origin's listening socket.
    """

    def __init__(
        self, ports: Sequence[int], tunnels: int, rate: float, *, connect: str, origin: socket.socket
    ) -> None:
        self._jobs = len(ports)
        self._origin = origin
        self._source = os.memfd_create("content")
        os.write(self._source, bytes(PIECE_BYTES))
        self._buffer = bytearray(_DISCARD_BYTES)
        self._senders: list[socket.socket] = []
        self._receivers: list[_Receiver] = []
        request = f"CONNECT {connect} HTTP/1.1\r\nHost: {connect}\r\n\r\n".encode() if connect else b""
        for job, port in enumerate(ports):
            self._open(port, job, tunnels, request)
        for number in [*range(len(self._senders))] * _AHEAD:
            self._send(number)
        period_s = PIECE_BYTES * tunnels / rate
        self._sending = Turns(len(self._senders), period_s / SURPLUS, self._send)
        self._receiving = Turns(len(self._receivers), period_s, self._receive)

    def run(self, seconds: float) -> list[float]:
        """Move bytes; return the rate of each job in bytes/s."""
        for receiver in self._receivers:
            receiver.first_at = receiver.last_at = 0.0
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self._sending.catch_up(now)
            self._receiving.catch_up(now)
            time.sleep(0.001)
        rates = [0.0] * self._jobs
        for receiver in self._receivers:
            rates[receiver.job] += receiver.rate()
        return rates

    def close(self) -> None:
        """Let go of every connection."""
        for sock in [*self._senders, *(receiver.sock for receiver in self._receivers)]:
            sock.close()
        os.close(self._source)

    def _open(self, port: int, job: int, tunnels: int, request: bytes) -> None:
        opened = [socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) for _ in range(tunnels)]
        for sock in opened:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            sock.sendall(request)
        for sock in opened:
            if request and b" 200 " not in (head := read_head(sock)).split(b"\r\n")[0]:
                raise RuntimeError(f"no tunnel: {head!r}")
            sender, _ = self._origin.accept()
            sender.setblocking(False)
            sock.setblocking(False)
            self._senders.append(sender)
            self._receivers.append(_Receiver(sock, job))

    def _send(self, number: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.sendfile(self._senders[number].fileno(), self._source, 0, PIECE_BYTES)

    def _receive(self, number: int) -> None:
        receiver = self._receivers[number]
        try:
            receiver.total += receiver.sock.recv_into(self._buffer, _DISCARD_BYTES, socket.MSG_TRUNC)
        except BlockingIOError:
            return
        receiver.last_at = time.monotonic()
        if not receiver.first_at:
            receiver.first_at, receiver.first_total = receiver.last_at, receiver.total
