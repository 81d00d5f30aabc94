from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest

from jobgate.gateway import link
from jobgate.gateway.link import MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, Link, LinkError
from support.sockets import open_sockets
from support.wait import until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def frame(body: object) -> bytes:
    text = json.dumps(body).encode()
    return len(text).to_bytes(4, "big") + text


async def test_messages_arrive_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = map(Link, pair)
    for number in range(3):
        await left.send({"number": number, "text": "ü"})
    assert [(await right.receive()).body for _ in range(3)] == [{"number": n, "text": "ü"} for n in range(3)]


async def test_message_larger_than_every_buffer_arrives_whole(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    left, right = map(Link, pair)
    body = {"text": "x" * 3_000_000}
    message, _ = await asyncio.gather(right.receive(), left.send(body))
    assert message.body == body


async def test_descriptors_arrive_with_their_message(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = map(Link, pair)
    with socket.socket() as sock:
        inode = os.fstat(sock.fileno()).st_ino
        await left.send({"first": 1})
        await left.send({"second": 2}, [sock.fileno()] * MAX_DESCRIPTORS)
        await left.send({"third": 3}, [sock.fileno()])
    assert (await right.receive()).descriptors == ()
    received = [*(await right.receive()).descriptors, *(await right.receive()).descriptors]
    assert len(set(received)) == MAX_DESCRIPTORS + 1
    for descriptor in received:
        assert os.fstat(descriptor).st_ino == inode
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)


@pytest.mark.parametrize("code", [errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
async def test_what_the_kernel_has_no_room_for_now_is_sent_later(
    code: int, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many descriptors under way: the other process has not ended, it has not read them yet."""
    left, right = map(Link, pair)
    failures = [OSError(code, os.strerror(code))] * 2
    send_fds = socket.send_fds

    def sometimes(sock: socket.socket, buffers: Sequence[bytes], descriptors: Sequence[int]) -> int:
        if failures:
            raise failures.pop()
        return send_fds(sock, buffers, descriptors)

    monkeypatch.setattr(socket, "send_fds", sometimes)
    monkeypatch.setattr(link, "SHORT_S", 0.0)
    with socket.socket() as sock:
        assert not left.send_now({"n": 1}, [sock.fileno()])
        await left.send({"n": 1}, [sock.fileno()])
    (descriptor,) = (await right.receive()).descriptors
    os.close(descriptor)


async def test_short_message_goes_at_once_while_there_is_room(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    left, right = map(Link, pair)
    with socket.socket() as sock:
        sent = 0
        while left.send_now({"n": sent}, [sock.fileno()]):
            sent += 1
    assert sent > 10
    for number in range(sent):
        body, (descriptor,) = await right.receive()
        assert body == {"n": number}
        os.close(descriptor)
    assert left.send_now({"n": sent})  # nothing of the one that had no room was sent
    assert (await right.receive()).body == {"n": sent}


async def test_message_that_is_long_or_behind_others_does_not_go_at_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    left, right = map(Link, pair)
    assert not left.send_now({"text": "x" * 16_000})
    sending = asyncio.ensure_future(left.send({"text": "x" * 3_000_000}))
    await asyncio.sleep(0)
    assert not left.send_now({"n": 1})
    await asyncio.gather(sending, right.receive())
    assert left.send_now({"n": 1})
    assert (await right.receive()).body == {"n": 1}


async def test_message_that_the_kernel_might_take_in_parts_does_not_go_at_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that the system allows
    left, right = map(Link, pair)
    body = {"text": "x" * 5000}
    assert not left.send_now(body)
    message, _ = await asyncio.gather(right.receive(), left.send(body))
    assert message.body == body
    assert left.send_now({"n": 1})


async def test_message_to_a_process_that_has_ended_does_not_go_at_once_or_later(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    left = Link(pair[0])
    pair[1].close()
    with pytest.raises(LinkError, match="has ended: Broken pipe"):
        left.send_now({})


class WatchingLoop:
    """The loop, and how often it was told to watch, or no more, for something to read."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.told: list[str] = []

    def create_future(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    def add_reader(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self.told.append("add")
        self._loop.add_reader(sock, callback)

    def remove_reader(self, sock: socket.socket) -> None:
        self.told.append("remove")
        self._loop.remove_reader(sock)


@pytest.fixture
async def watched(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Link, Link, WatchingLoop]]:
    """Two ends; the loop of the second one can be watched."""
    left, right = map(Link, pair)
    loop = WatchingLoop()
    monkeypatch.setattr(right, "_loop", loop)
    yield left, right, loop
    right.close()


async def test_receiving_one_message_after_another_tells_the_loop_once(
    watched: tuple[Link, Link, WatchingLoop],
) -> None:
    left, right, loop = watched
    for number in range(3):
        receiving = asyncio.ensure_future(right.receive())
        await until(lambda: loop.told != [])
        await asyncio.sleep(0)
        await left.send({"number": number})
        assert (await receiving).body == {"number": number}
    assert loop.told == ["add"]


async def test_message_that_nobody_receives_yet_wakes_nobody_again_and_again(
    watched: tuple[Link, Link, WatchingLoop],
) -> None:
    left, right, loop = watched
    await left.send({"number": 1})
    await right.receive()
    receiving = asyncio.ensure_future(right.receive())
    await until(lambda: loop.told == ["add"])
    receiving.cancel()
    await asyncio.wait({receiving})
    await left.send({"number": 2})
    await until(lambda: loop.told == ["add", "remove"])
    assert (await right.receive()).body == {"number": 2}


async def test_closed_link_is_watched_no_more(watched: tuple[Link, Link, WatchingLoop]) -> None:
    left, right, loop = watched
    receiving = asyncio.ensure_future(right.receive())
    await until(lambda: loop.told == ["add"])
    receiving.cancel()
    await asyncio.wait({receiving})
    right.close()
    assert loop.told == ["add", "remove"]
    with pytest.raises(LinkError):
        await left.receive()


async def test_descriptors_that_nobody_took_are_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = map(Link, pair)
    before = open_sockets()
    with socket.socket() as sock:
        await left.send({}, [sock.fileno()])
        pair[0].sendall(b"\0\0\0\5[")  # the next one never ends: the first stays in the link
        right._read()
    assert len(open_sockets() - before) == 1
    right.close()
    assert open_sockets() <= before


BROKEN = [
    ("no object", frame([1])),
    ("no count", frame({"a": 1})),
    ("count is no number", frame({"descriptors": "one"})),
    ("more descriptors than came", frame({"descriptors": 1})),
    ("no JSON", b"\0\0\0\2{{"),
    ("no UTF-8", b"\0\0\0\2\xff\xff"),
    ("too long", (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")),
    ("ended", b""),
    ("ended inside", b"\0\0\0\2{"),
]


@pytest.mark.parametrize("data", [case[1] for case in BROKEN], ids=[case[0] for case in BROKEN])
async def test_anything_else_is_an_error(data: bytes, pair: tuple[socket.socket, socket.socket]) -> None:
    right = Link(pair[1])
    pair[0].sendall(data)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(LinkError):
        await right.receive()


async def test_sending_to_a_process_that_has_ended_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    left = Link(pair[0])
    pair[1].close()
    with pytest.raises(LinkError, match="has ended: Broken pipe"):
        await left.send({})


async def test_reset_is_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    """Closed with something unread."""
    left, right = map(Link, pair)
    await left.send({})
    right.close()
    with pytest.raises(LinkError, match="has ended"):
        await left.receive()


async def test_own_user_is_trusted(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    link, uid = Link(pair[0]), os.geteuid()
    assert link.is_trusted()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert link.is_trusted() == (uid == 0)
