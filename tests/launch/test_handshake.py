from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from signal import Signals

import pytest

from jobgate.launch import handshake
from jobgate.launch.errors import SetupError, Step

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = handshake.connected_pair()
    with ours, theirs:
        yield ours, theirs


def test_ready_hands_over_the_very_socket(pair: Pair) -> None:
    ours, theirs = pair
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        handshake.send_ready(theirs, proxy)
        (received,) = handshake.receive_ready(ours)
        with received:
            assert received.getsockname() == proxy.getsockname()
            assert received.fileno() != proxy.fileno()


def test_ready_without_a_proxy_hands_over_nothing(pair: Pair) -> None:
    handshake.send_ready(pair[1], None)
    assert handshake.receive_ready(pair[0]) == []


def test_failed_step_arrives_as_the_error_it_was(pair: Pair) -> None:
    handshake.send_failed(pair[1], SetupError(Step.ID_MAP, errno.EPERM))
    with pytest.raises(SetupError) as caught:
        handshake.receive_ready(pair[0])
    assert (caught.value.step, caught.value.number) == (Step.ID_MAP, errno.EPERM)


def test_silent_end_is_an_end_of_file(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(EOFError):
        handshake.receive_ready(pair[0])


def test_job_begins_only_when_told(pair: Pair) -> None:
    ours, theirs = pair
    handshake.send_begin(ours)
    assert handshake.await_begin(theirs)
    ours.close()
    assert not handshake.await_begin(theirs)


def test_signals_arrive_in_order_and_end_with_the_launcher(pair: Pair) -> None:
    ours, theirs = pair
    handshake.send_signals(ours, [Signals.SIGTERM, Signals.SIGUSR1])
    assert handshake.receive_signals(theirs) == [Signals.SIGTERM, Signals.SIGUSR1]
    ours.close()
    assert handshake.receive_signals(theirs) is None


def test_signals_for_a_job_that_is_gone_are_dropped(pair: Pair) -> None:
    pair[1].close()
    handshake.send_signals(pair[0], [Signals.SIGTERM])


def test_stop_is_told_apart_from_the_end(pair: Pair) -> None:
    ours, theirs = pair
    handshake.send_stopped(theirs)
    assert handshake.receive_stopped(ours)
    theirs.close()
    assert not handshake.receive_stopped(ours)
