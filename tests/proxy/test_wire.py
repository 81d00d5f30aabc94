from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from jobgate.proxy.poller import READABLE, Poller, own_poller
from jobgate.proxy.wire import Wire
from support.narrow import turns
from support.pairs import reset, tcp_pair
from support.wait import until
from support.wires import Scratch

WINDOW = 1024
INBOX_LIMIT = 4096


def far() -> float:
    return asyncio.get_running_loop().time() + 10


@pytest.fixture
def peers() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection on loopback; the second is the test's."""
    with tcp_pair() as pair:
        yield pair


@contextlib.asynccontextmanager
async def opened(sock: socket.socket) -> AsyncIterator[Wire]:
    wire = Wire(sock, Scratch(WINDOW), INBOX_LIMIT)
    wire.attach()
    try:
        yield wire
    finally:
        wire.abort()
        await until(lambda: wire.is_lost)


async def test_more_fills_the_inbox(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        peers[1].send(b"hello")
        await wire.more(far())
        assert wire.take_inbox() == b"hello"
        assert not wire.inbox


async def test_more_deadline_raises(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        with pytest.raises(TimeoutError):
            await wire.more(asyncio.get_running_loop().time() + 0.01)


async def test_inbox_is_bounded(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        peers[1].send(b"x" * 50_000)
        await until(lambda: len(wire.inbox) >= INBOX_LIMIT)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(wire.inbox) < INBOX_LIMIT + WINDOW


async def test_eof_leaves_the_sending_side_open(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        peers[1].shutdown(socket.SHUT_WR)
        await wire.more(far())
        assert wire.at_eof
        assert wire.write(b"late")
        assert await asyncio.get_running_loop().sock_recv(peers[1], 10) == b"late"


async def test_write_tells_when_the_kernel_is_full_and_sends_all_in_order(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    async with opened(peers[0]) as wire:
        block = bytearray(range(256)) * 1024
        sent = 0
        while wire.write(memoryview(block)):
            sent += len(block)
            assert sent < 1 << 28, "the kernel never had enough"
        sent += len(block)
        expected, block[:] = bytes(block), b"\0" * len(block)  # what the wire keeps must be a copy
        received = bytearray()
        while len(received) < sent:
            received += await asyncio.get_running_loop().sock_recv(peers[1], 1 << 20)
        assert bytes(received[-len(expected) :]) == expected
        await until(lambda: not wire.blocked)


async def test_on_writable_is_called_once_when_all_is_taken(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    async with opened(peers[0]) as wire:
        calls: list[int] = []
        while wire.write(b"x" * (1 << 20)):
            pass
        wire.on_writable = lambda: calls.append(1)
        while not calls:
            await asyncio.get_running_loop().sock_recv(peers[1], 1 << 20)
        assert calls == [1]


async def test_send_fin_waits_for_what_was_written(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        total = 0
        while wire.write(b"x" * (1 << 20)):
            total += 1 << 20
        total += 1 << 20
        wire.send_fin()
        received = 0
        while data := await asyncio.get_running_loop().sock_recv(peers[1], 1 << 20):
            received += len(data)
        assert received == total
        peers[1].send(b"still open")
        await wire.more(far())
        assert wire.inbox == b"still open"


async def test_abort_with_reset_is_seen_as_one(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        wire.abort(reset=True)
        await until(lambda: wire.is_lost)
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(peers[1], 10)


async def test_peer_reset_calls_on_lost(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        calls: list[int] = []
        wire.on_lost = lambda: calls.append(1)
        peers[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peers[1].close()
        await until(lambda: bool(calls))
        assert wire.is_lost
        assert wire.write(b"into the void")


@pytest.mark.parametrize("is_answering", [True, False], ids=["answering", "plain"])
async def test_failed_write_leaves_the_answer_of_a_wire_that_is_answering(
    peers: tuple[socket.socket, socket.socket], is_answering: bool
) -> None:
    async with opened(peers[0]) as wire:
        wire.is_answering = is_answering
        peers[1].send(b"answer")
        peers[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peers[1].close()
        assert wire.write(b"content") is not is_answering  # nothing is asked for before the wire is lost
        await until(lambda: wire.is_lost)
        assert bytes(wire.inbox) == (b"answer" if is_answering else b"")
        assert not wire.at_eof  # the reset was told to the write: the read ends like a FIN
        assert wire.error is not None


async def test_read_for_another_window_with_another_bound(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    async with opened(peers[0]) as wire:
        other = Scratch(7)
        wire.read_for(other, 8192)
        assert peers[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 8192  # socket(7): doubled
        wire.read_for(other, None)
        assert peers[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 8192
        peers[1].send(b"0123456789")
        await until(lambda: len(wire.inbox) == 10)
        assert bytes(other.window) == b"7893456"


async def test_read_for_a_lost_connection_is_nothing(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        wire.abort()
        await until(lambda: wire.is_lost)
        wire.read_for(Scratch(7), 8192)
        wire.bound_unsent(8192)


async def test_window_that_changes_bounds_the_next_read(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        source = Scratch(WINDOW)
        wire.read_for(source, None)
        pieces: list[int] = []

        class Pieces:
            def data(self, view: memoryview) -> None:
                pieces.append(len(view))
                source.window = source.window[: len(view) // 2]

            def eof(self) -> None:
                pytest.fail("no end was sent")

            def lost(self) -> None:
                pass

        wire.reader = Pieces()
        peers[1].send(bytes(WINDOW + WINDOW // 2 + WINDOW // 4))
        await until(lambda: len(pieces) == 3)
        assert pieces == [WINDOW, WINDOW // 2, WINDOW // 4]


async def test_unsent_is_bounded_on_the_socket(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        wire.bound_unsent(131_072)
        assert peers[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 131_072


async def test_read_takes_what_came_before_the_loop_had_a_turn(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    peers[1].send(b"early")
    async with opened(peers[0]) as wire:
        wire.read()
        assert wire.inbox == b"early"
        wire.read()  # nothing has come since, which is no end
        assert not wire.at_eof


async def test_pause_keeps_what_comes_and_resume_reads_it(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        wire.pause_reading()
        peers[1].send(b"x")
        await turns()
        assert not wire.inbox
        assert peers[0].fileno() not in own_poller().watched  # else each turn would tell of it
        wire.resume_reading()
        await until(lambda: bool(wire.inbox))


async def test_pause_that_ends_before_anything_comes_asks_the_system_nothing(
    peers: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(peers[0]) as wire:
        asked: list[int] = []
        with monkeypatch.context() as patched:
            for name in ("add", "change", "remove"):
                patched.setattr(Poller, name, lambda *_: asked.append(1))
            wire.pause_reading()
            wire.resume_reading()
        assert asked == []
        peers[1].send(b"x")
        await until(lambda: bool(wire.inbox))


async def test_close_sends_first_what_was_written(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        total = 0
        while wire.write(b"x" * (1 << 20)):
            total += 1 << 20
        total += 1 << 20
        wire.close()
        received = 0
        while data := await asyncio.get_running_loop().sock_recv(peers[1], 1 << 20):
            received += len(data)
        assert received == total
        await until(lambda: wire.is_lost)


@pytest.mark.parametrize("is_answering", [True, False], ids=["answering", "plain"])
async def test_close_with_unsent_bytes_ends_when_the_peer_is_gone(
    peers: tuple[socket.socket, socket.socket], is_answering: bool
) -> None:
    async with opened(peers[0]) as wire:
        wire.is_answering = is_answering
        while wire.write(b"x" * (1 << 20)):
            pass
        wire.close()
        assert not wire.is_lost
        peers[1].close()  # with unread bytes: a reset
        await until(lambda: wire.is_lost)
        assert peers[0].fileno() == -1


async def test_answer_of_a_wire_with_unsent_bytes_is_read_although_it_is_reset(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    async with opened(peers[0]) as wire:
        wire.is_answering = True
        while wire.write(b"x" * (1 << 20)):
            pass
        peers[1].send(b"answer")
        peers[1].close()
        await until(lambda: wire.is_lost)
        assert wire.inbox == b"answer"


async def test_abort_lets_go_at_once_and_wakes_who_waits(peers: tuple[socket.socket, socket.socket]) -> None:
    async with opened(peers[0]) as wire:
        waiting = asyncio.ensure_future(asyncio.wait_for(wire.more(far()), 10))
        await turns()
        wire.abort()
        assert (wire.is_lost, peers[0].fileno()) == (True, -1)
        await waiting
        wire.abort()
        wire.close()
        wire.resume_reading()
        wire.send_fin()


class Told:
    """A reader that says what it was told, and does something with its first piece."""

    def __init__(self, wire: Wire, first: Callable[[Wire], None]) -> None:
        self.told: list[bytes] = []
        self._wire, self._first = wire, first
        wire.reader = self

    def data(self, view: memoryview) -> None:
        self.told.append(bytes(view))
        if len(self.told) == 1:
            self._first(self._wire)

    def eof(self) -> None:
        self.told.append(b"end")

    def lost(self) -> None:
        self.told.append(b"lost")


def let_go(wire: Wire) -> None:
    wire.reader = None


@pytest.mark.parametrize(
    ("sent", "first", "told"),
    [
        (b"last", lambda wire: None, [b"last", b"end"]),
        (b"", lambda wire: None, [b"end"]),
        (bytes(3 * WINDOW), lambda wire: None, [bytes(WINDOW)] * 2),
        (b"last", Wire.pause_reading, [b"last"]),
        (b"last", let_go, [b"last"]),
        (b"last", Wire.abort, [b"last"]),
    ],
    ids=["bytes and end", "end alone", "more than two windows", "paused", "let go", "aborted"],
)
async def test_end_that_is_behind_the_bytes_is_told_in_the_same_turn(
    peers: tuple[socket.socket, socket.socket], sent: bytes, first: Callable[[Wire], None], told: list[bytes]
) -> None:
    async with opened(peers[0]) as wire:
        reader = Told(wire, first)
        peers[1].send(sent)
        peers[1].shutdown(socket.SHUT_WR)
        wire.ready(READABLE)
        assert reader.told == told


async def test_end_of_a_wire_without_a_reader_has_a_turn_of_its_own(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    async with opened(peers[0]) as wire:
        peers[1].send(b"all")
        peers[1].shutdown(socket.SHUT_WR)
        wire.ready(READABLE)
        assert (bytes(wire.inbox), wire.at_eof) == (b"all", False)
        await until(lambda: wire.at_eof)


async def test_defect_of_a_reader_ends_the_connection(peers: tuple[socket.socket, socket.socket]) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    lost: list[int] = []

    class Defect:
        def data(self, view: memoryview) -> None:
            raise RuntimeError("defect")

        def eof(self) -> None:
            pass

        def lost(self) -> None:
            lost.append(1)

    async with opened(peers[0]) as wire:
        wire.reader = Defect()
        peers[1].send(b"x")
        await until(lambda: wire.is_lost)
        assert wire.error is None
    assert lost == [1]
    assert [str(error) for error in reported] == ["defect"]


async def test_window_smaller_than_a_narrow_read_is_kept_to(
    peers: tuple[socket.socket, socket.socket],
) -> None:
    async with opened(peers[0]) as wire:
        wire.is_narrow = True
        peers[1].send(bytes(2 * WINDOW))
        await until(lambda: len(wire.inbox) == 2 * WINDOW)


@pytest.mark.parametrize("way", ["read", "answering", "kept", "fin"])
async def test_wire_that_was_reset_waits_for_no_collection(
    way: str, peers: tuple[socket.socket, socket.socket]
) -> None:
    async def use() -> int:
        wire = Wire(peers[0], Scratch(WINDOW), INBOX_LIMIT)
        wire.attach()
        wire.is_answering = way == "answering"
        while way == "kept" and wire.write(bytes(1 << 20)):
            pass
        reset(peers[1])
        if way == "fin":
            wire.send_fin()
        elif way == "answering":
            wire.write(b"x")
        await until(lambda: wire.is_lost)
        await turns()
        return id(wire)

    gc.collect()
    gc.disable()
    try:
        used = await use()
        assert not [held for held in gc.get_objects() if isinstance(held, Wire) and id(held) == used]
    finally:
        gc.enable()


@pytest.mark.parametrize("way", ["read", "write"])
async def test_wire_that_cannot_be_watched_again_ends(
    way: str, peers: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would ever read it again, or write what is left."""
    async with opened(peers[0]) as wire:
        if way == "read":
            wire.pause_reading()
            peers[1].send(b"x")
            await turns()  # told during the pause: not watched any more

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as short:
            short.setattr(Poller, "add", full)
            short.setattr(Poller, "change", full)
            wire.resume_reading()
            while way == "write" and wire.write(bytes(1 << 20)):
                pass
        await until(lambda: wire.is_lost)
        assert wire.error is not None
        assert wire.error.errno == errno.ENOSPC
