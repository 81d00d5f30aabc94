"""A bare rate-limited splice loop: what limiting in user space costs at least.

One epoll loop, one token bucket per job and direction, one wheel of 1 ms ticks for all of
them, two ``splice(2)`` a chunk. Whoever connects to a job's port is joined to the origin:
no HTTP, no policy, no names, no log, no fairness but turns. The yardstick of
``rate_cost.py``; run by itself:

    python rate_loop.py FIRST_PORT JOBS ORIGIN_PORT RATE_BYTES_PER_S BURST_BYTES CHUNK_BYTES
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
import time
from collections import deque
from heapq import heappop, heappush

_TICKS_PER_S = 1000
_PIPE_BYTES = 1 << 18
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
#: Kernel receive buffer of a limited connection, as the gate bounds it.
_RECEIVE_BUFFER_BYTES = 1 << 18


class Bucket:
    """One direction of one job, and the ways that wait for its tokens."""

    __slots__ = ("burst", "level", "rate", "scheduled", "since", "waiting")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self.rate, self.burst, self.level, self.since = rate, burst, float(burst), now
        self.waiting: deque[Way] = deque()
        self.scheduled = False


class Way:
    """One direction of one connection."""

    __slots__ = ("bucket", "held", "pipe", "queued", "source", "target")

    def __init__(self, source: int, target: int, bucket: Bucket) -> None:
        self.source, self.target, self.bucket = source, target, bucket
        self.queued = False
        #: Bytes that the target did not take, and the pipe they are in.
        self.held = 0
        self.pipe: tuple[int, int] | None = None


class Loop:
    """All jobs of the process."""

    def __init__(self, chunk_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self._poll = select.epoll()
        self._by_source: dict[int, Way] = {}
        self._by_target: dict[int, Way] = {}
        self._listeners: dict[int, tuple[socket.socket, Bucket, Bucket]] = {}
        self._open: list[socket.socket] = []
        self._pipes: list[tuple[int, int]] = []
        self._wheel: dict[int, list[Bucket]] = {}
        self._ticks: list[int] = []

    def listen(self, port: int, rate: float, burst: int) -> None:
        """Add a job."""
        sock = socket.create_server(("127.0.0.1", port), backlog=128)
        now = time.monotonic()
        self._listeners[sock.fileno()] = sock, Bucket(rate, burst, now), Bucket(rate, burst, now)
        self._poll.register(sock, select.EPOLLIN)

    def run(self, origin: int) -> None:
        """Serve until killed."""
        while True:
            timeout = None
            if self._ticks:
                timeout = max(0.0, self._ticks[0] / _TICKS_PER_S - time.monotonic())
            for descriptor, event in self._poll.poll(timeout):
                if descriptor in self._listeners:
                    self._accept(*self._listeners[descriptor], origin)
                    continue
                if event & select.EPOLLOUT and self._by_target[descriptor].held:
                    self._enqueue(self._by_target[descriptor])
                if event & ~select.EPOLLOUT:
                    self._enqueue(self._by_source[descriptor])
            self._turn(time.monotonic())

    def _accept(self, listener: socket.socket, up: Bucket, down: Bucket, origin: int) -> None:
        client, _ = listener.accept()
        upstream = socket.create_connection(("127.0.0.1", origin))
        for source, target, bucket in ((client, upstream, up), (upstream, client, down)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            way = Way(source.fileno(), target.fileno(), bucket)
            self._by_source[way.source] = self._by_target[way.target] = way
            self._open.append(source)
        for sock in (client, upstream):
            self._poll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def _enqueue(self, way: Way) -> None:
        if not way.queued:
            way.queued = True
            way.bucket.waiting.append(way)
            if not way.bucket.scheduled:
                self._serve(way.bucket, time.monotonic())

    def _turn(self, now: float) -> None:
        while self._ticks and self._ticks[0] <= now * _TICKS_PER_S:
            for bucket in self._wheel.pop(heappop(self._ticks)):
                bucket.scheduled = False
                self._serve(bucket, now)

    def _serve(self, bucket: Bucket, now: float) -> None:
        """Move chunks while there are tokens; then wait for those of the next one."""
        chunk = self._chunk_bytes
        level = min(bucket.level + (now - bucket.since) * bucket.rate, bucket.burst)
        bucket.since = now
        waiting = bucket.waiting
        while waiting and level >= chunk:
            way = waiting.popleft()
            moved = self._move(way, chunk)
            level -= moved
            if moved and not way.held:
                waiting.append(way)
            else:
                way.queued = False
        bucket.level = level
        if waiting:
            bucket.scheduled = True
            tick = int((now + (chunk - level) / bucket.rate) * _TICKS_PER_S) + 1
            if tick in self._wheel:
                self._wheel[tick].append(bucket)
            else:
                self._wheel[tick] = [bucket]
                heappush(self._ticks, tick)

    def _move(self, way: Way, chunk: int) -> int:
        """Read a chunk and write it; what was held back by the target goes first and is paid."""
        pipe = way.pipe or (self._pipes.pop() if self._pipes else _new_pipe())
        moved = 0
        if not way.held:
            try:
                moved = way.held = os.splice(way.source, pipe[1], chunk, flags=_FLAGS)
            except BlockingIOError:
                self._pipes.append(pipe)
                return 0
        try:
            if way.held:
                way.held -= os.splice(pipe[0], way.target, way.held, flags=_FLAGS)
        except BlockingIOError:
            pass
        if way.held:
            way.pipe = pipe
        else:
            way.pipe = None
            self._pipes.append(pipe)
        return moved


def _new_pipe() -> tuple[int, int]:
    pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return pipe


def main(first_port: int, jobs: int, origin: int, rate: float, burst: int, chunk: int) -> None:
    """Serve."""
    loop = Loop(chunk)
    for port in range(first_port, first_port + jobs):
        loop.listen(port, rate, burst)
    loop.run(origin)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
