"""Bounds of kernel buffers, on real sockets."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobgate.proxy import buffers
from jobgate.proxy.buffers import bound_receive_buffer, bound_unsent, unread_bytes
from support.pairs import tcp_pair

KIB = 1024


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


@pytest.fixture
def grown_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that TCP lets a receive buffer grow to this size."""
    return lambda size: monkeypatch.setattr(buffers, "_largest_buffer_bytes", lambda: size)


def receive_buffer(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def unsent(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


@pytest.mark.parametrize(
    ("grown_bytes", "is_set"), [(129 * KIB, True), (128 * KIB, False)], ids=["tighter", "reached-anyway"]
)
def test_receive_buffer_is_set_where_tcp_would_take_more(
    sock: socket.socket, grown_to: Callable[[int], None], grown_bytes: int, is_set: bool
) -> None:
    grown_to(grown_bytes)
    before = receive_buffer(sock)
    bound_receive_buffer(sock, 64 * KIB)
    assert receive_buffer(sock) == (128 * KIB if is_set else before)


def test_receive_buffer_without_a_bound_stays_as_it_is(sock: socket.socket) -> None:
    before = receive_buffer(sock)
    bound_receive_buffer(sock, None)
    assert receive_buffer(sock) == before


def test_bound_of_a_listener_is_inherited_and_can_be_lifted() -> None:
    """What was bound grows again with what is read: a locked buffer never does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bound_receive_buffer(listener, 8 * KIB)
        bound, lifted = taken_until_full(listener), 0
        bound_receive_buffer(listener, None)
        lifted = taken_until_full(listener)
    assert bound <= 128 * KIB
    assert lifted > 4 * bound


def taken_until_full(listener: socket.socket) -> int:
    """Send while the accepted side reads a little; say to what its buffer has grown."""
    with socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.setblocking(False)
            for _ in range(64):
                try:
                    while client.send(bytes(64 * KIB)):
                        pass
                except BlockingIOError:
                    accepted.recv(256 * KIB)
            return receive_buffer(accepted)


def test_unsent_is_bounded_and_freed(sock: socket.socket) -> None:
    for size, expected in ((131_072, 131_072), (None, 0)):
        bound_unsent(sock, size)
        assert unsent(sock) == expected


def test_client_that_does_not_read_costs_little() -> None:
    bounded, unbounded = written_until_full(128 * KIB), written_until_full(None)
    assert bounded <= 512 * KIB
    assert bounded < unbounded / 2


def written_until_full(size_bytes: int | None) -> int:
    """Write to a peer that does not read; say how much was taken, by the peer's side, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        writer = socket.create_connection(listener.getsockname())
        reader, _ = listener.accept()
    with writer, reader:
        bound_unsent(writer, size_bytes)
        writer.setblocking(False)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                written += writer.send(bytes(32 * KIB))
        return written


def test_unix_sockets_have_small_buffers_of_their_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bound_unsent(ours, 4096)
        ours.setblocking(False)
        assert ours.send(bytes(8192)) == 8192


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4096\t131072\t6291456\n", 6_291_456), (None, sys.maxsize)],
    ids=["shown", "hidden"],
)
def test_largest_buffer_is_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch, text: str | None, expected: int
) -> None:
    def read_text(path: Path) -> str:
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read_text)
    assert buffers._largest_buffer_bytes.__wrapped__() == expected


def test_unread_bytes_are_those_that_have_come_and_nobody_has_read() -> None:
    with tcp_pair() as (near, far):
        assert unread_bytes(far) == 0
        near.send(b"twelve bytes")
        assert unread_bytes(far) == 12
        far.recv(5)
        assert unread_bytes(far) == 7
        far.recv(100)
        near.shutdown(socket.SHUT_WR)
        assert unread_bytes(far) == 0
