from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket

import pytest

from jobgate.proxy import listener as module
from jobgate.proxy.listener import Listener
from support.wait import until


class Troubled(socket.socket):
    """A listening socket whose ``accept(2)`` fails as often as it is told to, with what it is told."""

    failures: list[int]
    calls = 0

    def _accept(self) -> tuple[int, object]:
        self.calls += 1
        if self.failures:
            raise OSError(self.failures.pop(0), "no")
        found: tuple[int, object] = super()._accept()  # type: ignore[misc]
        return found


def troubled(*failures: int) -> Troubled:
    sock = Troubled(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen(8)
    sock.failures = list(failures)
    return sock


async def accept_one(sock: socket.socket) -> str:
    """Connect once; return the peer's address as the listener tells it."""
    accepted: list[tuple[socket.socket, str]] = []
    listener = Listener(sock, lambda sock, peer: accepted.append((sock, peer)))
    try:
        with socket.create_connection(listener.sock.getsockname()) as client:
            await until(lambda: bool(accepted))
            taken, peer = accepted[0]
            assert not taken.getblocking()
            taken.close()
            assert peer == f"127.0.0.1:{client.getsockname()[1]}"
            return peer
    finally:
        listener.close()


async def test_accepts_and_names_the_peer() -> None:
    await accept_one(troubled())


async def test_accepted_connection_sends_small_pieces_at_once() -> None:
    accepted: list[socket.socket] = []
    listener = Listener(troubled(), lambda sock, _: accepted.append(sock))
    with socket.create_connection(listener.sock.getsockname()):
        await until(lambda: bool(accepted))
        with accepted[0] as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    listener.close()


async def test_accepts_ipv6() -> None:
    accepted: list[str] = []

    def accept(sock: socket.socket, peer: str) -> None:
        sock.close()
        accepted.append(peer)

    listener = Listener(socket.create_server(("::1", 0), family=socket.AF_INET6), accept)
    with socket.create_connection(listener.sock.getsockname()[:2]) as client:
        await until(lambda: bool(accepted))
        assert accepted == [f"[::1]:{client.getsockname()[1]}"]
    listener.close()


class Coming(contextlib.ExitStack):
    """Connections to a listener whose turns the test takes."""

    def __init__(self) -> None:
        super().__init__()
        self.sock, self.accepted = troubled(), list[socket.socket]()
        self.listener = Listener(self.sock, self._take)
        self.callback(self.listener.close)

    def come(self, count: int) -> None:
        for _ in range(count):
            self.enter_context(socket.create_connection(self.sock.getsockname()))

    def _take(self, sock: socket.socket, _: str) -> None:
        self.accepted.append(self.enter_context(sock))


async def test_one_is_taken_alone_behind_one_that_came_alone_and_then_all_that_wait() -> None:
    with Coming() as coming:
        listener, sock, accepted = coming.listener, coming.sock, coming.accepted
        for arriving, taken, asked in ((3, 3, 4), (1, 1, 2), (3, 1, 1), (0, 2, 3), (1, 1, 2), (1, 1, 1)):
            coming.come(arriving)
            before, calls = len(accepted), sock.calls
            listener._accept()
            assert (len(accepted) - before, sock.calls - calls) == (1, 1)  # its first step is next
            if listener._asking is not None:
                listener._asking.cancel()
                listener._accept_more()
            assert (len(accepted) - before, sock.calls - calls) == (taken, asked)


async def test_others_are_taken_behind_the_first_step_of_the_first() -> None:
    order: list[str] = []
    with Coming() as coming:

        def take(sock: socket.socket, _: str) -> None:
            coming.enter_context(sock)
            order.append("accepted")
            asyncio.get_running_loop().call_soon(order.append, "first step")

        coming.listener._on_accept = take
        coming.come(3)
        await until(lambda: order.count("first step") == 3)
    assert order[:3] == ["accepted", "first step", "accepted"]


async def test_nobody_is_taken_behind_a_detach() -> None:
    with Coming() as coming:
        coming.come(3)
        coming.listener._accept()
        coming.listener.detach()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(coming.accepted) == 1


async def test_aborted_connection_does_not_stop_accepting() -> None:
    await accept_one(troubled(errno.ECONNABORTED, errno.EPROTO))


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get
)
async def test_exhaustion_backs_off_logs_once_and_recovers(
    code: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", 0.01)
    sock = troubled(code, code, code)
    with caplog.at_level(logging.WARNING, "jobgate"):
        await accept_one(sock)
    assert len(caplog.records) == 1
    assert sock.calls < 10, "it spun instead of backing off"


async def test_close_while_backing_off_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", 0.01)
    sock = troubled(*[errno.EMFILE] * 1000)
    listener = Listener(sock, lambda sock, peer: None)
    with socket.create_connection(sock.getsockname()):
        await until(lambda: sock.calls > 0)
        listener.close()
    assert sock.fileno() == -1


def test_ipv4_in_a_socket_for_both_families_is_written_as_ipv4() -> None:
    assert module._peer_text(("::ffff:192.0.2.7", 49152, 0, 0)) == "192.0.2.7:49152"
    assert module._peer_text(("::ffff:0:c000:207", 49152, 0, 0)) == "[::ffff:0:c000:207]:49152"
    assert module._peer_text(("2001:db8::1", 49152, 0, 0)) == "[2001:db8::1]:49152"
