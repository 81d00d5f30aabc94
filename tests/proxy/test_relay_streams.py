"""Streams of megabytes through a relay, over sockets and both loops: whole, counted, nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack

import pytest

from jobgate.proxy.relay import End, Relay
from jobgate.proxy.splice import Splicer
from jobgate.proxy.wire import Wire
from jobgate.ratelimit import FairQueue, Lane, Pacer
from support.pairs import PAIRS, reset, tcp_pair
from support.sockets import open_sockets
from support.splicers import CountingSplicer
from support.wait import until
from support.wires import Scratch

Pair = tuple[socket.socket, socket.socket]

WINDOW = 16_384
BULK = random.Random(4).randbytes(3_000_000)  # noqa: S311 (content)


class Stream:
    """A relay between two wires of the loop, from a peer that sends to one that receives."""

    def __init__(self, source: Pair, target: Pair, lane: Lane, splicer: Splicer) -> None:
        self._sockets = source[1], target[0]
        self._sender, self._receiver = source[0], target[1]
        self._lane, self._splicer = lane, splicer

    async def __aenter__(self) -> Stream:
        self.source, self.target = (Wire(sock, Scratch(WINDOW), WINDOW) for sock in self._sockets)
        self.source.attach()
        self.target.attach()
        self.relay = Relay(self.source, self.target, lane=self._lane, splicer=self._splicer)
        self.target.on_lost = self.relay.stop
        self.relay.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.relay.stop()
        self.source.abort()
        self.target.abort()
        await until(lambda: self.source.is_lost and self.target.is_lost)

    async def send(self, content: bytes, most: int = 200_000) -> None:
        """Send in pieces of any size; then FIN."""
        loop, at, sizes = asyncio.get_running_loop(), 0, random.Random(len(content))  # noqa: S311
        while at < len(content):
            n = sizes.randint(1, most)
            await loop.sock_sendall(self._sender, content[at : at + n])
            at += n
        self._sender.shutdown(socket.SHUT_WR)

    async def receive(self) -> str:
        """Read to the end in pieces of any size; the digest."""
        loop, digest, sizes = asyncio.get_running_loop(), hashlib.sha256(), random.Random(7)  # noqa: S311
        while piece := await loop.sock_recv(self._receiver, sizes.randint(1, 100_000)):
            digest.update(piece)
        return digest.hexdigest()

    async def run(self, content: bytes) -> str:
        """Move everything through; the digest of what arrived."""
        sending = asyncio.gather(self.send(content), self._carry_end())
        digest = await self.receive()
        await sending
        return digest

    async def _carry_end(self) -> None:
        assert await self.relay.wait() is End.EOF
        self.target.send_fin()


def new_queue(rate: float) -> FairQueue:
    loop = asyncio.get_running_loop()
    return FairQueue(rate, 2 * WINDOW, Pacer(loop.time, loop.call_at), cap_bytes=WINDOW)


@pytest.fixture
def splicer() -> Iterator[CountingSplicer]:
    splicer = CountingSplicer()
    yield splicer
    splicer.close()


@pytest.mark.parametrize("new_pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("rate", [math.inf, 3e7], ids=["unlimited", "limited"])
async def test_stream_arrives_whole_and_is_counted(
    splicer: CountingSplicer, new_pair: Callable[[], AbstractContextManager[Pair]], rate: float
) -> None:
    queue = new_queue(rate)
    with new_pair() as source, new_pair() as target:
        async with Stream(source, target, queue.lane(), splicer) as stream:
            assert await stream.run(BULK) == hashlib.sha256(BULK).hexdigest()
            assert stream.relay.moved_bytes == queue.supply.quota.moved_bytes == len(BULK)
            assert splicer.moved_bytes > 0


async def test_many_streams_share_one_pipe_and_leave_nothing_behind(splicer: CountingSplicer) -> None:
    before = open_sockets()
    queue = new_queue(6e7)
    contents = [BULK[number * 1000 : number * 1000 + 200_000] for number in range(32)]
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                Stream(
                    stack.enter_context(tcp_pair()), stack.enter_context(tcp_pair()), queue.lane(), splicer
                )
            )
            for _ in contents
        ]
        digests = await asyncio.gather(
            *(stream.run(content) for stream, content in zip(streams, contents, strict=True))
        )
    assert digests == [hashlib.sha256(content).hexdigest() for content in contents]
    assert queue.supply.quota.moved_bytes == sum(map(len, contents))
    assert splicer.moved_bytes > 0
    assert open_sockets() == before


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("rate", [math.inf, 1e6], ids=["target-full", "waiting"])
async def test_reset_in_mid_stream_ends_the_relay_and_the_next_stream_is_whole(
    splicer: CountingSplicer, side: str, rate: float
) -> None:
    queue = new_queue(rate)
    with tcp_pair() as source, tcp_pair() as target:
        target[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WINDOW)
        target[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        async with Stream(source, target, queue.lane(), splicer) as stream:
            sending = asyncio.gather(stream.send(BULK), return_exceptions=True)
            await until(lambda: stream.target.blocked or (queue.waiting > 0 and splicer.moved_bytes > 0))
            sending.cancel()
            await asyncio.wait([sending])
            if side == "sender":
                reset(source[0])
                reading = asyncio.gather(stream.receive(), return_exceptions=True)
                queue.set_rate(math.inf, 1)
                await until(lambda: stream.relay.end is not None)
                reading.cancel()
                await asyncio.wait([reading])
                assert stream.relay.end is End.SOURCE_LOST
            else:
                reset(target[1])
                queue.set_rate(math.inf, 1)
                await until(lambda: stream.relay.end is not None)
                assert stream.relay.end is End.TARGET_LOST
    with tcp_pair() as source, tcp_pair() as target:
        async with Stream(source, target, queue.lane(), splicer) as stream:
            assert await stream.run(BULK[:400_000]) == hashlib.sha256(BULK[:400_000]).hexdigest()


async def test_without_splice_the_stream_is_copied(
    splicer: CountingSplicer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object, **__: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.splice", refused)
    with tcp_pair() as source, tcp_pair() as target:
        async with Stream(source, target, new_queue(math.inf).lane(), splicer) as stream:
            assert await stream.run(BULK) == hashlib.sha256(BULK).hexdigest()
    assert splicer.moved_bytes == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
