from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobgate.config.endpoints import UnixPath, parse_listen
from jobgate.gateway.inherited import Inheritance, Inherited
from jobgate.gateway.listeners import bound_to, open_listener


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[list[socket.socket]]:
    """Two on ports that the kernel picked, one on a path."""
    with ExitStack() as stack:
        places = ["127.0.0.1:0", "127.0.0.1:0", f"unix:{tmp_path}/a.sock"]
        yield [stack.enter_context(open_listener(parse_listen(place))) for place in places]


def test_listener_is_found_by_where_it_is_bound_and_only_once(sockets: list[socket.socket]) -> None:
    inheritance = Inheritance([Inherited(sock) for sock in sockets])
    for sock in reversed(sockets):
        assert inheritance.take(bound_to(sock)) is sock
        assert inheritance.take(bound_to(sock)) is None


def test_port_that_is_left_open_is_the_one_of_the_same_job(sockets: list[socket.socket]) -> None:
    first, second, _ = sockets
    inheritance = Inheritance([Inherited(first, "", "one"), Inherited(second, "", "two")])
    anywhere = parse_listen("127.0.0.1:0")
    assert inheritance.take(anywhere, name="three") is None
    assert inheritance.take(parse_listen("127.0.0.2:0"), name="two") is None
    assert inheritance.take(anywhere, name="two") is second
    assert inheritance.take(anywhere, name="one") is first


def test_port_that_is_left_open_is_none_of_a_socket_without_a_name(sockets: list[socket.socket]) -> None:
    assert Inheritance([Inherited(sockets[0])]).take(parse_listen("127.0.0.1:0")) is None


def test_job_of_another_id_may_have_the_same_place(sockets: list[socket.socket]) -> None:
    sock = sockets[0]
    assert Inheritance([Inherited(sock, "", "before")]).take(bound_to(sock), name="after") is sock


def test_same_address_in_another_namespace_is_another_place(sockets: list[socket.socket]) -> None:
    inheritance = Inheritance([Inherited(sockets[0], "there")])
    where = bound_to(sockets[0])
    assert inheritance.take(where) is None
    assert inheritance.take(where, netns="there") is sockets[0]


def test_what_nobody_took_is_closed_and_named(sockets: list[socket.socket]) -> None:
    inheritance = Inheritance(map(Inherited, sockets))
    inheritance.take(bound_to(sockets[0]))
    wheres = [bound_to(sock) for sock in sockets[1:]]
    assert inheritance.discard() == wheres
    assert [sock.fileno() >= 0 for sock in sockets] == [True, False, False]
    assert inheritance.discard() == []
    where = wheres[1]
    assert isinstance(where, UnixPath)
    assert Path(where.path).is_socket()
