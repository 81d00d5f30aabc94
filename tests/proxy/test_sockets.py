from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from jobgate.proxy.sockets import StreamSocket, accept, kind_of


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["ipv4", "ipv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    host, family = request.param
    with socket.create_server((host, 0), family=family) as sock:
        sock.setblocking(False)
        yield sock


def test_accepted_connection_is_ready_for_a_loop(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as client:
        sock, peer = accept(listener, kind_of(listener))
        with sock:
            assert peer == client.getsockname()
            assert sock.getpeername() == client.getsockname()
            assert not sock.getblocking()
            assert (sock.family, sock.proto) == (listener.family, listener.proto)
            assert int(sock.type) == int(socket.SOCK_STREAM)
            assert not os.get_inheritable(sock.fileno())


def test_nobody_there_is_an_error(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        accept(listener, kind_of(listener))


def test_nothing_in_python_makes_or_closes_one() -> None:
    assert StreamSocket.__init__ is socket.SocketType.__init__
    assert StreamSocket.close is socket.SocketType.close


def test_family_and_type_are_plain_numbers() -> None:
    with StreamSocket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert (type(sock.family), type(sock.type)) == (int, int)
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
