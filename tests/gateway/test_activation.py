from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobgate.config.endpoints import parse_listen
from jobgate.gateway.activation import activated_sockets
from jobgate.gateway.inherited import Inheritance
from jobgate.gateway.listeners import ListenError, bound_to, open_listener, remove_path


def passed(sockets: list[socket.socket]) -> int:
    """Give duplicates of these sockets consecutive numbers, as a service manager does; return the first."""
    first = 700
    for number, sock in enumerate(sockets, first):
        os.dup2(sock.fileno(), number, inheritable=True)
    return first


def environment(count: int | str, pid: int | str = "") -> dict[str, str]:
    return {
        "LISTEN_PID": str(pid or os.getpid()),
        "LISTEN_FDS": str(count),
        "LISTEN_FDNAMES": "a:b",
        "HOME": "/",
    }


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_sockets_are_taken_and_found_by_their_addresses(stack: ExitStack, tmp_path: Path) -> None:
    places = [parse_listen("127.0.0.1:0"), parse_listen("[::1]:0"), parse_listen(f"unix:{tmp_path}/a.sock")]
    opened = [stack.enter_context(open_listener(place)) for place in places]
    variables = environment(3)
    taken = activated_sockets(variables, passed(opened))
    for found in taken:
        stack.enter_context(found.sock)
    assert variables == {"HOME": "/"}
    assert [bound_to(found.sock) for found in taken] == list(map(bound_to, opened))
    assert not any(found.sock.get_inheritable() or found.sock.getblocking() for found in taken)
    assert Inheritance(taken).take(bound_to(opened[1])) is taken[1].sock


def test_path_of_a_socket_stays_for_the_next_process(stack: ExitStack, tmp_path: Path) -> None:
    kept, own = (parse_listen(f"unix:{tmp_path}/{name}.sock") for name in ("kept", "own"))
    opened = [stack.enter_context(open_listener(place)) for place in (kept, own)]
    (taken,) = activated_sockets(environment(1), passed(opened[:1]))
    taken.sock.close()
    for place in (kept, own):
        remove_path(place)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.sock"]


NOT_OURS = [
    ("none", {}),
    ("of another process", environment(1, 1)),
    ("no number", environment("one")),
    ("negative", environment("-1")),
    ("no count", {"LISTEN_PID": str(os.getpid())}),
]


@pytest.mark.parametrize("variables", [case[1] for case in NOT_OURS], ids=[case[0] for case in NOT_OURS])
def test_without_sockets_for_this_process_there_are_none(variables: dict[str, str]) -> None:
    assert activated_sockets(dict(variables)) == []


def test_socket_that_does_not_listen_is_refused(stack: ExitStack) -> None:
    sock = stack.enter_context(socket.socket())
    first = passed([sock])
    with pytest.raises(ListenError, match="does not listen: write ListenStream="):
        activated_sockets(environment(1), first)


def test_datagram_socket_is_refused(stack: ExitStack) -> None:
    sock = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    first = passed([sock])
    with pytest.raises(ListenError, match="does not listen"):
        activated_sockets(environment(1), first)


def test_descriptor_that_is_no_socket_is_refused(stack: ExitStack) -> None:
    reader, writer = os.pipe()
    os.dup2(reader, 700)
    for descriptor in (reader, writer, 700):
        stack.callback(os.close, descriptor)
    with pytest.raises(ListenError, match="descriptor 700 from systemd: Socket operation on non-socket"):
        activated_sockets(environment(1), 700)


def test_socket_for_both_families_is_refused(stack: ExitStack) -> None:
    sock = stack.enter_context(socket.socket(socket.AF_INET6))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.listen()
    first = passed([sock])
    with pytest.raises(ListenError, match=r"takes IPv4, too: write BindIPv6Only=ipv6-only"):
        activated_sockets(environment(1), first)
