from __future__ import annotations

import math
import os
import socket
from pathlib import Path

import pytest

from jobgate.config.endpoints import UnixPath
from jobgate.config.policy import JobPolicy, Network
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings
from jobgate.gateway.inherited import Inheritance, Inherited
from jobgate.gateway.listeners import ListenError
from jobgate.gateway.places import Place, key_of, opened

RATE = 1_250_000.0


def job(id: str, listen: str, *, network: Network = Network.HTTP, rate: float = RATE) -> JobSettings:
    domains = RuleSet.parse(["a.test"])
    return JobSettings(id, JobPolicy(network=network, domains=domains, rate_up=rate), listen=listen)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (job("a", "127.0.0.1:3128"), ("", "127.0.0.1:3128")),
        (JobSettings("a", job("a", "").policy, listen="127.0.0.1:3128", netns="n"), ("n", "127.0.0.1:3128")),
        (job("a", ""), None),
        (job("a", "127.0.0.1:3128", network=Network.NONE), None),
    ],
    ids=["own", "namespace", "shared", "none"],
)
def test_key_of_a_job(settings: JobSettings, key: tuple[str, str] | None) -> None:
    assert key_of(settings) == key


def test_all_places_or_none_are_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        jobs = [job("first", f"unix:{tmp_path}/first"), job("second", place)]
        message = rf"^job second: cannot listen on {place}: Address already in use$"
        with pytest.raises(ListenError, match=message), opened(jobs):
            pass
    assert os.listdir(tmp_path) == []


def test_error_inside_the_block_closes_what_was_opened(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), opened([job("a", f"unix:{tmp_path}/a")]):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_jobs_without_a_listener_of_their_own_have_no_place() -> None:
    with opened([job("a", ""), job("b", "127.0.0.1:0", network=Network.NONE)]) as places:
        assert places == {}


def test_socket_that_is_given_up_goes_on_with_its_backlog(tmp_path: Path) -> None:
    with opened([job("old", f"unix:{tmp_path}/a")]) as places:
        old = places["old"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/a")
        client.sendall(b"waiting")
        with opened([job("new", f"unix:{tmp_path}/a")], {old.key: old}) as places:
            new = places["new"]
        old.sock.close()
        accepted, _ = new.sock.accept()
        with accepted:
            assert (accepted.recv(10), new.where) == (b"waiting", UnixPath(f"{tmp_path}/a"))
    new.sock.close()


def test_socket_that_is_not_taken_over_stays_where_it_was(tmp_path: Path) -> None:
    with opened([job("old", f"unix:{tmp_path}/a")]) as places:
        old = places["old"]
    with pytest.raises(RuntimeError), opened([job("new", f"unix:{tmp_path}/a")], {old.key: old}):
        raise RuntimeError
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/a")
    old.discard()
    assert os.listdir(tmp_path) == []


def test_inherited_socket_is_taken_and_left_where_it_is(tmp_path: Path) -> None:
    path = f"{tmp_path}/a"
    with socket.socket(socket.AF_UNIX) as before:
        before.bind(path)
        before.listen()
        inheritance = Inheritance([Inherited(before.dup())])
        with pytest.raises(RuntimeError), opened([job("a", f"unix:{path}")], inheritance=inheritance):
            raise RuntimeError
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


@pytest.mark.parametrize("is_free", [True, False], ids=["free", "taken"])
def test_port_of_before_is_taken_where_it_is_free(is_free: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        wished = f"127.0.0.1:{before.getsockname()[1]}"
        if is_free:
            before.close()
        with opened([job("a", "127.0.0.1:0")], wished=wished) as places:
            (place,) = places.values()
            assert (str(place.where) == wished) is is_free
            assert place.key == ("", "127.0.0.1:0")
            assert not place.exclusive
            place.discard()


def test_place_of_a_limited_job_bounds_the_receive_buffer() -> None:
    with (
        opened([job("a", "127.0.0.1:0"), job("b", "127.0.0.1:0", rate=math.inf)]) as places,
        socket.socket() as s,
    ):
        untouched = s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 625_000)  # half a second; the kernel may allow less
        bounded = s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert buffer_of(places["a"]) == bounded
        assert buffer_of(places["b"]) == untouched
        places["b"].fit(RATE)
        assert buffer_of(places["b"]) == bounded
        for place in places.values():
            place.discard()


def buffer_of(place: Place) -> int:
    return place.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
