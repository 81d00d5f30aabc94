"""A thousand of each kind of slow peer: held in bounded memory, ended by their deadline, for its reason.

The bounds are for the gate's own memory, per connection; what the kernel holds for a socket is bounded
by its buffers. Peers are plain sockets without any code of their own: most of them do nothing.
"""

from __future__ import annotations

import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.gate_process import GateProcess, gate_process, job, node, raise_descriptor_limit
from support.messages import absolute, connect
from support.tls import hello_for

PEERS = 1000
KIB = 1024
#: A connection, and what the other side did not take of bulk.
UNTAKEN = 160 * KIB
DEADLINES = ("head_s", "hello_s", "upstream_response_s", "tunnel_idle_s", "half_closed_s")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of slow peer.

    Attributes:
        ask: What each client sends first, to an origin at a port.
        reason: How each of them ends; ``None``: without a line, since nothing was asked.
        bound: What the gate may hold for each, in bytes.
        drip: What each client, or the origin if ``origin_drips``, sends again and again …
        opening: … behind this.
        fin: The client ends its sending side behind its request.
        tls: Of the job.
        deadline_s: Of everything; longer than it takes to connect them all.
    """

    ask: Callable[[int], bytes]
    reason: str | None
    bound: int
    drip: bytes = b""
    opening: bytes = b""
    origin_drips: bool = False
    fin: bool = False
    tls: str = "any"
    deadline_s: float = 4.0


def tunnel(port: int) -> bytes:
    return connect(f"ok.test:{port}")


def get(port: int) -> bytes:
    return absolute(f"http://ok.test:{port}/", "Connection: close")


def endless_upload(port: int) -> bytes:
    return absolute(f"http://ok.test:{port}/", "Content-Length: 1000000000", method="POST")


KINDS = {
    "silent-clients": Kind(lambda port: b"", None, 16 * KIB),
    "clients-whose-head-never-ends": Kind(
        lambda port: b"GET http://ok.test/ HTTP/1.1\r\nX: ", "head-timeout", 16 * KIB, drip=b"a"
    ),
    "clients-stuck-inside-the-hello": Kind(
        lambda port: tunnel(port) + hello_for(b"ok.test")[:40], "hello-timeout", 24 * KIB, tls="require"
    ),
    "tunnels-without-a-byte": Kind(tunnel, "idle", 24 * KIB),
    "half-closed-tunnels": Kind(tunnel, "idle", 24 * KIB, fin=True),
    "clients-that-never-read": Kind(
        tunnel, "idle", UNTAKEN, drip=bytes(64 * KIB), origin_drips=True, deadline_s=6.0
    ),
    "origins-that-never-answer": Kind(get, "upstream-timeout", 24 * KIB),
    "origins-that-answer-byte-by-byte": Kind(
        get, "upstream-timeout", 24 * KIB, opening=b"HTTP/1.1 200 OK\r\nX: ", drip=b"a", origin_drips=True
    ),
    "origins-that-never-read": Kind(
        endless_upload, "upstream-timeout", UNTAKEN, drip=bytes(64 * KIB), deadline_s=6.0
    ),
}


class Clients:
    """The clients' ends; ``open`` by their descriptors until the gate has ended them."""

    def __init__(self) -> None:
        self.open: dict[int, socket.socket] = {}
        self._poll = select.poll()

    def add(self, sock: socket.socket) -> None:
        """Wait for FIN or RST, without reading."""
        self.open[sock.fileno()] = sock
        self._poll.register(sock, select.POLLRDHUP)

    def all_ended(self) -> bool:
        """Close those that the gate has ended, so that it need not linger; say whether these are all."""
        for descriptor, _ in self._poll.poll(0):
            self._poll.unregister(descriptor)
            self.open.pop(descriptor).close()
        return not self.open


@contextmanager
def dripping(kind: Kind, clients: Clients, origin: socket.socket) -> Iterator[None]:
    """Send on one side of all connections whenever there is room; little data slowly."""
    stop = threading.Event()
    with selectors.DefaultSelector() as selector, ExitStack() as accepted:
        if kind.origin_drips:
            selector.register(origin, selectors.EVENT_READ)
        else:
            for sock in clients.open.values():
                selector.register(sock, selectors.EVENT_WRITE)

        def run() -> None:
            while not stop.is_set():
                for key, _ in selector.select(0.05):
                    if key.fileobj is origin:
                        sock = accepted.enter_context(origin.accept()[0])
                        selector.register(sock, selectors.EVENT_WRITE)
                        _send(selector, sock, kind.opening)
                    elif isinstance(key.fileobj, socket.socket):
                        _send(selector, key.fileobj, kind.drip)
                if len(kind.drip) < KIB:
                    stop.wait(0.1)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _send(selector: selectors.BaseSelector, sock: socket.socket, data: bytes) -> None:
    try:
        sock.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    except OSError:  # ended by the gate, or closed by the test since
        selector.unregister(sock)


def keep_small(sock: socket.socket) -> None:
    """Let the kernel hold little for a socket, and for what it accepts: so it is the gate that is filled."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * KIB)


@contextmanager
def peers(gate: GateProcess, kind: Kind) -> Iterator[Clients]:
    """Connect them all; the origin is a listener whose connections nobody serves, or one that drips."""
    with ExitStack() as stack:
        origin = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        keep_small(origin)
        clients = Clients()
        for _ in range(PEERS):
            sock = stack.enter_context(socket.socket())
            keep_small(sock)
            sock.connect(("127.0.0.1", gate.port))
            sock.send(kind.ask(origin.getsockname()[1]))
            if kind.fin:
                sock.shutdown(socket.SHUT_WR)
            clients.add(sock)
        if kind.drip:
            stack.enter_context(dripping(kind, clients, origin))
        yield clients


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_thousand_slow_peers_are_held_in_bounded_memory_and_ended(
    kind: Kind, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    raise_descriptor_limit()
    timeouts = "\n".join(f"{name} = {kind.deadline_s}" for name in DEADLINES)
    configuration = node(timeouts=timeouts) + job(tls=kind.tls)
    with gate_process(configuration, tmp_path, "uvloop") as gate:
        empty = gate.report()
        with peers(gate, kind) as clients:
            started = time.monotonic()
            most = empty
            while (report := gate.report()).held.connections or not most.held.connections:
                most = max(most, report, key=lambda found: (found.held.connections, found.rss_bytes))
                clients.all_ended()
                assert time.monotonic() - started < 10 * kind.deadline_s, report
            gate.until(lambda _: clients.all_ended())
        per_peer = (most.rss_bytes - empty.rss_bytes) / PEERS
        record_property("rss_kib_per_peer", round(per_peer / KIB, 1))
        assert most.held.connections == PEERS
        assert per_peer < kind.bound
        assert gate.report().reasons.get("job", {}) == ({kind.reason: PEERS} if kind.reason else {})
        left = gate.until(lambda report: report.held.descriptors == empty.held.descriptors)
        assert left.held == empty.held
