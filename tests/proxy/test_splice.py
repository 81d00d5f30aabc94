from __future__ import annotations

import errno
import fcntl
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple, NoReturn

import pytest

from jobgate.proxy.splice import BEYOND_ROOM_BYTES, OWN, Splicer
from support.pairs import PAIRS, drain, fill, reset, tcp_pair

CONTENT = bytes(range(251)) * 200


class Ends(NamedTuple):
    """A stream in, a stream out; ``sender`` and ``receiver`` are the peers."""

    sender: socket.socket
    source: socket.socket
    target: socket.socket
    receiver: socket.socket


@pytest.fixture(params=list(PAIRS.values()), ids=list(PAIRS))
def ends(
    request: pytest.FixtureRequest,
) -> Iterator[Ends]:
    new_pair: Callable[[], AbstractContextManager[tuple[socket.socket, socket.socket]]] = request.param
    with ExitStack() as stack:
        yield Ends(*stack.enter_context(new_pair()), *stack.enter_context(new_pair()))


@pytest.fixture
def splicer() -> Iterator[Splicer]:
    splicer = Splicer()
    yield splicer
    splicer.close()


def refusing(number: int) -> Callable[..., NoReturn]:
    """A system call that fails."""

    def call(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return call


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_move_takes_what_was_asked_for_in_order(ends: Ends, splicer: Splicer) -> None:
    ends.sender.sendall(CONTENT)
    assert splicer.queued(ends.source) == len(CONTENT)
    got = b""
    for n in (1, 1000, 30_000, len(CONTENT)):
        taken, rest = splicer.move(ends.source, ends.target, n)
        assert (0 < taken <= n, rest) == (True, b"")
        got += drain(ends.receiver)
    assert got == CONTENT
    assert splicer.queued(ends.source) == 0


@pytest.mark.parametrize("end", [False, True], ids=["silence", "fin"])
def test_move_with_nothing_there_takes_nothing(ends: Ends, splicer: Splicer, end: bool) -> None:
    if end:
        ends.sender.shutdown(socket.SHUT_WR)
    assert splicer.queued(ends.source) == 0
    assert splicer.move(ends.source, ends.target, 100) == (0, b"")
    assert ends.source.fileno() >= 0


def test_move_returns_what_a_full_target_does_not_take(ends: Ends, splicer: Splicer) -> None:
    filled = fill(ends.target)
    ends.sender.sendall(CONTENT)
    taken, rest = splicer.move(ends.source, ends.target, 20_000)
    assert 0 < taken <= 20_000
    passed = b""
    while len(passed) < filled + taken - len(rest):
        passed += drain(ends.receiver)
    assert passed[filled:] + rest == CONTENT[:taken]


def test_move_leaves_over_little_of_what_a_full_target_does_not_take(ends: Ends, splicer: Splicer) -> None:
    fill(ends.target)
    fill(ends.sender)
    queued = splicer.queued(ends.source)
    assert queued > BEYOND_ROOM_BYTES
    taken, rest = splicer.move(ends.source, ends.target, queued)
    assert 0 < len(rest) <= taken <= BEYOND_ROOM_BYTES


def test_move_takes_all_that_an_empty_target_has_room_for(ends: Ends, splicer: Splicer) -> None:
    ends.sender.sendall(bytes(BEYOND_ROOM_BYTES + 1000))
    queued = splicer.queued(ends.source)
    assert splicer.move(ends.source, ends.target, queued) == (queued, b"")


@pytest.mark.parametrize(
    ("buffers", "is_reset", "distrusts"),
    [
        pytest.param((100_000, 50_000), False, True, id="cut"),
        pytest.param((100_000, 100_000), False, False, id="full"),
        pytest.param((100_000, 50_000), True, False, id="broken"),
    ],
)
def test_move_offers_little_for_a_while_once_a_targets_buffer_was_cut_while_it_was_used(
    monkeypatch: pytest.MonkeyPatch, buffers: tuple[int, int], is_reset: bool, distrusts: bool
) -> None:
    now = [1000.0]
    splicer = Splicer(lambda: now[0])
    little = 8 * 1024
    sizes = itertools.cycle(buffers)
    monkeypatch.setattr("jobgate.proxy.splice.BEYOND_ROOM_BYTES", little)
    monkeypatch.setattr("jobgate.proxy.splice.send_room", lambda _: (10 * little, next(sizes)))
    with tcp_pair() as (sender, source), tcp_pair() as (target, receiver):
        if is_reset:
            reset(receiver)
        else:
            fill(target)
        fill(sender)
        for after_s, is_little in ((0.0, False), (0.0, distrusts), (9.9, distrusts), (0.2, False)):
            now[0] += after_s
            taken, rest = splicer.move(source, target, 2 * little)
            assert 0 < len(rest) <= taken
            assert (taken <= little) is is_little
    splicer.close()


def test_move_is_careful_where_the_system_does_not_say_how_much_room_there_is(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.splice._SO_MEMINFO", 9999)
    fill(ends.sender)
    queued = splicer.queued(ends.source)
    assert queued > BEYOND_ROOM_BYTES
    taken, rest = splicer.move(ends.source, ends.target, queued)
    assert 0 < taken <= BEYOND_ROOM_BYTES
    assert rest == b""


def test_move_through_a_small_pipe_says_how_much_was_taken(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.splice.PIPE_BYTES", 4096)
    ends.sender.sendall(CONTENT)
    total = 0
    while splicer.queued(ends.source):
        taken, rest = splicer.move(ends.source, ends.target, len(CONTENT))
        assert (0 < taken < len(CONTENT), rest) == (True, b"")
        total += taken
    assert total == len(CONTENT)
    assert drain(ends.receiver) == CONTENT


def test_pipe_of_the_kernels_size_will_do(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "fcntl", refusing(errno.EPERM))
    ends.sender.sendall(CONTENT[:1000])
    assert splicer.move(ends.source, ends.target, 1000) == (1000, b"")


def test_broken_source_raises_and_leaves_the_pipe_empty(splicer: Splicer) -> None:
    with tcp_pair() as (sender, source), tcp_pair() as (target, receiver):
        assert splicer.queued(source) == 0
        reset(sender)
        with pytest.raises(ConnectionResetError):
            splicer.move(source, target, 100)
        with tcp_pair() as (other_sender, other):
            other_sender.sendall(b"other")
            assert splicer.move(other, target, 100) == (5, b"")
        assert drain(receiver) == b"other"


def test_broken_target_returns_everything(splicer: Splicer) -> None:
    with tcp_pair() as (sender, source), tcp_pair() as (target, receiver):
        reset(receiver)
        sender.sendall(CONTENT)
        taken, rest = splicer.move(source, target, 1000)
        assert (taken, rest) == (1000, CONTENT[:1000])
        sender.close()
        with tcp_pair() as (other, other_receiver):
            splicer.move(source, other, 1000)
            assert drain(other_receiver) == CONTENT[1000:2000]


@pytest.mark.parametrize(
    "read", [refusing(errno.EIO), lambda *_: b"", lambda _, n: bytes(n - 1)], ids=["error", "nothing", "less"]
)
def test_pipe_that_cannot_be_emptied_is_replaced(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch, read: Callable[[int, int], bytes]
) -> None:
    filled = fill(ends.target)
    ends.sender.sendall(CONTENT)
    splicer.queued(ends.source)
    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, "read", read)
        with pytest.raises(OSError, match=r"Input/output|from a pipe"):
            splicer.move(ends.source, ends.target, 1000)
    passed = len(drain(ends.receiver)) - filled
    assert passed < 1000
    assert descriptors() == before - 2
    taken, rest = splicer.move(ends.source, ends.target, 500)
    assert drain(ends.receiver)[-taken:] + rest == CONTENT[1000 : 1000 + taken]
    assert descriptors() == before


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL], ids=os.strerror)
def test_system_without_splice_is_off_for_good_and_says_so_once(
    ends: Ends,
    splicer: Splicer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    before = descriptors()
    ends.sender.sendall(CONTENT)
    with monkeypatch.context() as patched:
        patched.setattr(os, "splice", refusing(number))
        assert splicer.queued(ends.source) == 0
    assert splicer.queued(ends.source) == 0
    assert splicer.move(ends.source, ends.target, 100) == (0, b"")
    assert descriptors() == before
    assert [record.name for record in caplog.records] == ["jobgate"]
    assert drain(ends.source) == CONTENT


@pytest.mark.parametrize("fails_at", [1, 2], ids=["in", "out"])
def test_splice_that_is_refused_later_loses_nothing(
    ends: Ends,
    splicer: Splicer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails_at: int,
) -> None:
    ends.sender.sendall(CONTENT)
    splicer.queued(ends.source)
    calls = 0
    splice = os.splice

    def sometimes(source: int, target: int, n: int, *, flags: int) -> int:
        nonlocal calls
        calls += 1
        return refusing(errno.EINVAL)() if calls == fails_at else splice(source, target, n, flags=flags)

    monkeypatch.setattr(os, "splice", sometimes)
    taken, rest = splicer.move(ends.source, ends.target, 1000)
    assert (taken, rest) == ((0, b"") if fails_at == 1 else (1000, CONTENT[:1000]))
    assert rest + drain(ends.source) == CONTENT
    assert splicer.queued(ends.source) == 0
    assert len(caplog.records) == 1


def test_bytes_of_an_interrupted_splice_are_nobody_elses(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    ends.sender.sendall(CONTENT[:100])
    splicer.queued(ends.source)
    splice = os.splice

    def interrupted(source: int, target: int, n: int, *, flags: int) -> int:
        if target == ends.target.fileno():
            raise KeyboardInterrupt
        return splice(source, target, n, flags=flags)

    with monkeypatch.context() as patched:
        patched.setattr(os, "splice", interrupted)
        with pytest.raises(KeyboardInterrupt):
            splicer.move(ends.source, ends.target, 100)
    assert descriptors() == before
    ends.sender.sendall(b"next")
    assert splicer.move(ends.source, ends.target, 4) == (4, b"")
    assert drain(ends.receiver) == b"next"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM], ids=os.strerror)
def test_without_descriptors_there_is_nothing_to_splice_for_now(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = descriptors()
    ends.sender.sendall(CONTENT)
    for name in ("os.pipe2", "socket.socketpair"):
        with monkeypatch.context() as patched:
            patched.setattr(name, refusing(number))
            assert splicer.queued(ends.source) == 0
            assert splicer.move(ends.source, ends.target, 100) == (0, b"")
        assert descriptors() == before
    assert splicer.queued(ends.source) == len(CONTENT)


def test_close_frees_the_pipe_and_the_next_use_opens_another(ends: Ends, splicer: Splicer) -> None:
    before = descriptors()
    for _ in range(2):
        ends.sender.sendall(b"x")
        assert splicer.move(ends.source, ends.target, 1) == (1, b"")
        assert descriptors() == before + 2
        splicer.close()
        assert descriptors() == before


def test_pipe_is_not_inherited_and_never_blocks(
    ends: Ends, splicer: Splicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes: list[tuple[int, int]] = []
    pipe2 = os.pipe2

    def opened(flags: int) -> tuple[int, int]:
        pipes.append(pipe2(flags))
        return pipes[-1]

    monkeypatch.setattr(os, "pipe2", opened)
    splicer.queued(ends.source)
    (pipe,) = pipes
    assert not any(os.get_inheritable(number) or os.get_blocking(number) for number in pipe)


def test_each_thread_has_its_own_pipe_and_takes_it_along() -> None:
    before = descriptors()
    seen: list[int] = []
    mine = id(OWN.splicer)

    def use() -> None:
        with tcp_pair() as (_, source):
            OWN.splicer.queued(source)
        seen.extend((id(OWN.splicer), descriptors()))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen[0] != mine == id(OWN.splicer)
    assert (seen[1], descriptors()) == (before + 2, before)


def test_small_piece_asks_no_target_for_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many bytes may be left over in any case: each piece of a limited job is one."""

    def asked(_: socket.socket) -> tuple[int, int]:
        raise AssertionError("asked for the room of a target")

    monkeypatch.setattr("jobgate.proxy.splice.send_room", asked)
    splicer = Splicer()
    with tcp_pair() as (source, feeder), tcp_pair() as (target, sink):
        feeder.sendall(b"x" * 1000)
        while splicer.queued(source) < 1000:
            pass
        assert splicer.move(source, target, BEYOND_ROOM_BYTES) == (1000, b"")
        assert sink.recv(2000) == b"x" * 1000
    splicer.close()
