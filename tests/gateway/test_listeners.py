from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jobgate.config.endpoints import Endpoint, UnixPath, parse_listen
from jobgate.gateway.listeners import UNIX_MODE, ListenError, bound_to, open_listener, remove_path
from jobgate.gateway.netns import call_inside
from support.netns import namespace, needs_namespaces


def test_port_zero_picks_one() -> None:
    with open_listener(parse_listen("127.0.0.1:0")) as sock:
        where = bound_to(sock)
        assert isinstance(where, Endpoint)
        assert (str(where.address), where.port > 0) == ("127.0.0.1", True)
        socket.create_connection(("127.0.0.1", where.port)).close()


def test_listener_never_blocks() -> None:
    with open_listener(parse_listen("127.0.0.1:0")) as sock, pytest.raises(BlockingIOError):
        sock.accept()


def test_accepted_connections_inherit_the_receive_buffer() -> None:
    listener = open_listener(parse_listen("127.0.0.1:0"), receive_buffer_bytes=32768)
    with listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            # The kernel doubles the number for its own bookkeeping (socket(7)).
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 65536


def test_address_in_use_is_named() -> None:
    with open_listener(parse_listen("127.0.0.1:0")) as sock:
        where = bound_to(sock)
        with pytest.raises(ListenError, match=rf"^cannot listen on {where}: Address already in use$"):
            open_listener(where)


def test_foreign_address_is_named() -> None:
    with pytest.raises(
        ListenError, match=r"^cannot listen on 192\.0\.2\.1:0: Cannot assign requested address$"
    ):
        open_listener(parse_listen("192.0.2.1:0"))


def test_unix_listener_is_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    with open_listener(UnixPath(str(path))) as sock:
        assert bound_to(sock) == UnixPath(str(path))
        assert path.stat().st_mode & 0o777 == UNIX_MODE


def test_path_that_nobody_serves_is_taken_over(tmp_path: Path) -> None:
    where = UnixPath(str(tmp_path / "gate.sock"))
    open_listener(where).close()
    with open_listener(where), socket.socket(socket.AF_UNIX) as client:
        client.connect(where.path)


def test_path_that_is_served_is_left_alone(tmp_path: Path) -> None:
    where = UnixPath(str(tmp_path / "gate.sock"))
    with open_listener(where), pytest.raises(ListenError, match="Address already in use"):
        open_listener(where)


def test_path_of_a_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    path.write_text("mine")
    with pytest.raises(ListenError, match="Address already in use"):
        open_listener(UnixPath(str(path)))
    assert path.read_text() == "mine"


def test_remove_path_removes_only_paths(tmp_path: Path) -> None:
    where = UnixPath(str(tmp_path / "gate.sock"))
    open_listener(where).close()
    remove_path(where)
    remove_path(where)
    remove_path(parse_listen("127.0.0.1:3128"))
    assert list(tmp_path.iterdir()) == []


@needs_namespaces
def test_listener_of_another_namespace_is_reached_from_there_alone() -> None:
    with namespace() as other, open_listener(parse_listen("127.0.0.1:0"), netns=other.path) as sock:
        sock.setblocking(True)
        sock.settimeout(10)
        address = sock.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        client = call_inside(other.path, lambda: socket.create_connection(address))
        with client:
            accepted, peer = sock.accept()
            accepted.close()
            assert peer == client.getsockname()


def test_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(
        ListenError,
        match=r"^cannot listen on 127\.0\.0\.1:1: there is no network namespace /run/netns/no-such$",
    ):
        open_listener(parse_listen("127.0.0.1:1"), netns="no-such")


def test_one_listener_can_take_both_families() -> None:
    with open_listener(parse_listen("[::]:0"), both_families=True) as sock:
        port = sock.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port)).close()
