"""Reading a head after the other; deadlines over the wire are in test_connection.py."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from jobgate.config.settings import TimeoutSettings
from jobgate.proxy.errors import ProxyError
from jobgate.proxy.head import HeadLimits, RequestHead
from jobgate.proxy.heads import HeadReader
from jobgate.proxy.wire import Wire
from support.messages import absolute
from support.narrow import turns
from support.wires import Scratch

LIMITS = HeadLimits(4096, 1024, 64)


@dataclass
class Node:
    """What bounds heads."""

    head_limits: HeadLimits = LIMITS


GET = absolute("http://ok.test/")


class Rig:
    """A reader on one end of a socket pair."""

    def __init__(self, wire: Wire, peer: socket.socket) -> None:
        self.wire, self.peer = wire, peer
        self.reader = HeadReader(wire)
        self.over = False
        self.node = Node()

    async def read(self, head_s: float = 8.0, keepalive_s: float = 8.0) -> RequestHead | None:
        timeouts = TimeoutSettings(head_s=head_s, keepalive_s=keepalive_s)
        return await self.reader.read(self.node, timeouts, lambda: self.over)


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    wire = Wire(ours, Scratch(4096), 4096)
    wire.attach()
    with peer:
        yield Rig(wire, peer)
        wire.abort()
        await turns(5)


@pytest.mark.parametrize("cut", [len(GET), 1, len(GET) - 1], ids=["whole", "first-byte", "all-but-one"])
async def test_head_is_read_however_it_comes(cut: int) -> None:
    async with rig() as at:
        reading = asyncio.ensure_future(at.read())
        at.peer.sendall(GET[:cut])
        await turns()
        assert at.reader.idle == (cut == len(GET) and not reading.done())
        at.peer.sendall(GET[cut:])
        head = await reading
        assert head is not None
        assert head.method == b"GET"
        assert at.wire.inbox == b""


async def test_what_follows_a_head_is_left_for_the_next() -> None:
    async with rig() as at:
        at.peer.sendall(GET + GET + b"rest")
        assert await at.read() is not None
        assert await at.read() is not None
        assert not at.reader.idle
        assert at.wire.inbox == b"rest"


async def test_end_of_the_client_is_none() -> None:
    async with rig() as at:
        at.peer.shutdown(socket.SHUT_WR)
        assert await at.read() is None


@pytest.mark.parametrize("first", [True, False], ids=["first", "kept"])
async def test_silence_is_none_and_each_wait_has_its_deadline(first: bool) -> None:
    async with rig() as at:
        if not first:
            at.peer.sendall(GET)
            assert await at.read() is not None
        deadlines = {"head_s": 0.01} if first else {"keepalive_s": 0.01}
        assert await at.read(**deadlines) is None


async def test_head_that_does_not_end_in_time_is_refused() -> None:
    async with rig() as at:
        at.peer.sendall(GET[:10])
        with pytest.raises(ProxyError, match="head-timeout"):
            await at.read(head_s=0.01)


async def test_who_waits_for_nothing_more_reads_what_is_whole_and_nothing_else() -> None:
    async with rig() as at:
        at.over = True
        at.peer.sendall(GET)
        await turns()
        assert await at.read() is not None
        assert await at.read() is None


async def test_head_that_was_waited_for_already_has_what_is_left_of_its_time() -> None:
    async with rig() as at:
        reader = HeadReader(at.wire, waited_since=at.wire.loop.time() - 60.0)
        at.peer.sendall(GET[:10])
        with pytest.raises(ProxyError, match="did not arrive in time"):
            await reader.read(at.node, TimeoutSettings(head_s=60.0), lambda: False)


async def test_limits_that_change_while_a_head_is_awaited_hold_for_it() -> None:
    async with rig() as at:
        reading = asyncio.ensure_future(at.read())
        await turns()
        at.node.head_limits = HeadLimits(4096, 4, 64)
        at.peer.sendall(GET)
        with pytest.raises(ProxyError, match="target-too-long"):
            await reading
