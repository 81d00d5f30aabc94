"""Streams that never end, through a proxy, with the time of every arrival: clients and origin in one process.

The sockets of both are in namespaces of their own (``rate_network.py``) and share one clock, so that
uploads are measured where they arrive, too. Every stream writes, and reads, at most its chunk at once.
The time of an arrival is the kernel's, when the last of the bytes came in: a receiver that is late
does not blur it.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rate_measures import Arrivals
from rate_network import Network

ORIGIN_PORT = 8080
_HEAD_END = b"\r\n\r\n"
_CONTENT_BYTES = 1 << 40
_MAX_CHUNK_BYTES = 1 << 20
_LEAST_READ_BYTES = 1 << 10
#: What a stream with a bound on what it offers begins with, in one piece: eight of them, twice a job's burst.
_FIRST_BYTES = 1 << 14
#: How often a stream that offers no more than a rate is looked at.
_PACE_S = 0.005
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_TIMESPEC = struct.Struct("ll")
_NOTE_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_TIMEOUT_S = 20.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Stream:
    """One connection of a job.

    Attributes:
        proxy: The job's listener.
        group: Whose arrivals it adds to; by habit the job and the direction.
        up: Upload; else download.
        connect: In a tunnel; else plain HTTP.
        chunk_bytes: Most that sender and receiver move in one call; receivers read 1 KiB at least.
        offered: Bytes/s, after a first piece as large as the burst; infinity fills every buffer on the
            way, which takes a core with tiny chunks.
        host: Name of the origin.
    """

    proxy: tuple[str, int]
    group: str
    up: bool = False
    connect: bool = True
    chunk_bytes: int = 1 << 16
    host: str = "near.test"
    offered: float = math.inf


@dataclass(slots=True)
class Measured:
    """What came of a run.

    Attributes:
        started_at: When the streams were asked for; seconds of the wall clock, as all times here.
        since: When the first burst was over.
        until: The end.
        groups: Arrivals by group.
        streams: Bytes of each stream between ``since`` and ``until``.
        broken: How many streams of a group ended before the run did.
    """

    started_at: float
    since: float
    until: float
    groups: dict[str, Arrivals]
    streams: list[int]
    broken: Counter[str]


@dataclass(slots=True)
class _Open:
    """A stream that runs."""

    stream: Stream
    client: socket.socket
    arrivals: Arrivals
    received: int = 0
    sent: int = 0
    broken: bool = False


@dataclass(slots=True)
class Traffic:
    """Moves bytes for a list of streams until it is told to stop."""

    network: Network
    streams: Sequence[Stream]
    _poll: select.epoll = field(default_factory=select.epoll)
    _handlers: dict[int, Callable[[], None]] = field(default_factory=dict)
    _sockets: list[socket.socket] = field(default_factory=list)
    _groups: dict[str, Arrivals] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)
    _paced: list[tuple[socket.socket, _Open]] = field(default_factory=list)
    _started_at: float = 0.0
    _buffer: bytearray = field(default_factory=lambda: bytearray(_MAX_CHUNK_BYTES))
    _content: memoryview = field(default_factory=lambda: memoryview(bytes(_MAX_CHUNK_BYTES)))

    def run(self, warm_s: float, seconds: float, *, needed: Callable[[], bool] = lambda: False) -> Measured:
        """Open everything, measure, reset everything.

        Args:
            warm_s: For the first burst, and for the ways to fill.
            seconds: Measured after that.
            needed: The streams go on after that while it says so.
        """
        with self.network.inside(self.network.origin):
            listener = socket.create_server(("", ORIGIN_PORT), backlog=1024)
        # The accepted ones inherit it, and the kernel needs a moment to begin with it.
        listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._watch(listener, select.EPOLLIN, lambda: self._accept(listener))
        try:
            clients = [self._connect(stream) for stream in self.streams]
            started_at = self._started_at = time.time()
            for number, client in enumerate(clients):
                self._start(number, client)
            since = started_at + warm_s
            self._move(since)
            before = [stream.received for stream in self._open]
            self._move(since + seconds)
            received = [stream.received - n for stream, n in zip(self._open, before, strict=True)]
            broken = Counter(opened.stream.group for opened in self._open if opened.broken)
            while needed():
                self._move(time.time() + _LOOK_EVERY_S)
            return Measured(started_at, since, since + seconds, self._groups, received, broken)
        finally:
            self._poll.close()
            for sock in self._sockets:
                sock.close()

    def _watch(self, sock: socket.socket, events: int, handler: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._sockets.append(sock)
        self._handlers[sock.fileno()] = handler
        self._poll.register(sock, events)

    def _move(self, until: float) -> None:
        longest = _PACE_S if any(stream.offered < math.inf for stream in self.streams) else math.inf
        paced_at = 0.0
        while (left := until - (now := time.time())) > 0:
            if self._paced and now - paced_at >= _PACE_S:
                paced_at = now
                for sock, opened in self._paced:
                    self._pace(sock, opened, now)
            for descriptor, _ in self._poll.poll(min(left, longest)):
                self._handlers[descriptor]()

    def _connect(self, stream: Stream) -> socket.socket:
        """Open a client connection, and the tunnel if it shall be one; nothing flows yet."""
        with self.network.inside(self.network.client):
            sock = socket.create_connection(stream.proxy, _TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if stream.connect:
            authority = f"{stream.host}:{ORIGIN_PORT}"
            sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            head = read_head(sock)
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"no tunnel: {head!r}")
        return sock

    def _start(self, number: int, client: socket.socket) -> None:
        """Ask for the stream.

        A download begins to flow. An upload does when the origin has read its head: what comes before
        the origin looks for it has no time of its own, and all of it would be dated when it looks.
        """
        stream = self.streams[number]
        opened = _Open(stream, client, self._groups.setdefault(stream.group, Arrivals()))
        self._open.append(opened)
        authority = f"{stream.host}:{ORIGIN_PORT}"
        target = f"/{number}" if stream.connect else f"http://{authority}/{number}"
        method, length = ("PUT", f"Content-Length: {_CONTENT_BYTES}\r\n") if stream.up else ("GET", "")
        client.sendall(f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\n{length}\r\n".encode())
        if not stream.up:
            self._flow(client, opened, sends=False)

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch(sock, select.EPOLLIN, lambda: self._asked(sock))

    def _asked(self, sock: socket.socket) -> None:
        """Read a request at the origin; its path is the number of its stream."""
        head = sock.recv(4096, socket.MSG_PEEK)
        end = head.find(_HEAD_END)
        if end < 0 and head:
            return
        self._forget(sock)
        if not head:  # the stream was given up before it began
            return
        sock.recv(end + len(_HEAD_END))
        opened = self._open[int(head.split(b" ")[1].lstrip(b"/"))]
        if opened.stream.up:
            self._flow(opened.client, opened, sends=True)
        else:
            sock.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
        self._flow(sock, opened, sends=not opened.stream.up)

    def _flow(self, sock: socket.socket, opened: _Open, *, sends: bool) -> None:
        if not sends:
            self._watch(sock, select.EPOLLIN, lambda: self._receive(sock, opened))
        elif opened.stream.offered < math.inf:
            self._watch(sock, 0, lambda: self._end(sock, opened))
            self._paced.append((sock, opened))
        else:
            self._watch(sock, select.EPOLLOUT, lambda: self._send(sock, opened))

    def _forget(self, sock: socket.socket) -> None:
        self._poll.unregister(sock)

    def _send(self, sock: socket.socket, opened: _Open) -> None:
        try:
            opened.sent += sock.send(self._content[: opened.stream.chunk_bytes])
        except BlockingIOError:
            pass
        except OSError:
            self._end(sock, opened)

    def _pace(self, sock: socket.socket, opened: _Open, now: float) -> None:
        """Send what is due of a stream that offers no more than a rate."""
        chunk = self._content[: opened.stream.chunk_bytes]
        due = _FIRST_BYTES + (now - self._started_at) * opened.stream.offered
        try:
            if not opened.sent:
                opened.sent = sock.send(self._content[:_FIRST_BYTES])
            while opened.sent < due:
                opened.sent += sock.send(chunk)
        except BlockingIOError:
            pass

    def _receive(self, sock: socket.socket, opened: _Open) -> None:
        view = memoryview(self._buffer)[: max(opened.stream.chunk_bytes, _LEAST_READ_BYTES)]
        try:
            size, notes, _, _ = sock.recvmsg_into([view], _NOTE_BYTES)
        except OSError:
            size = 0
        if size == 0:
            self._end(sock, opened)
            return
        opened.received += size
        if notes:
            seconds, nanoseconds = _TIMESPEC.unpack(notes[0][2])
            opened.arrivals.add(seconds + nanoseconds / 1e9, size)
        else:
            opened.arrivals.add(time.time(), size)

    def _end(self, sock: socket.socket, opened: _Open) -> None:
        opened.broken = True
        self._forget(sock)


def read_head(sock: socket.socket) -> bytes:
    """Read one HTTP head, byte by byte, so that what follows it stays in the socket."""
    head = b""
    while not head.endswith(_HEAD_END):
        byte = sock.recv(1)
        if not byte:
            raise RuntimeError(f"the proxy closed after {head!r}")
        head += byte
    return head
