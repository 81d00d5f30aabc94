from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from jobgate.proxy import linger as module
from jobgate.proxy.linger import LINGER_BYTES, linger
from jobgate.proxy.wire import Wire
from support.pairs import tcp_pair
from support.wait import until
from support.wires import Scratch


@contextlib.asynccontextmanager
async def lingering() -> AsyncIterator[tuple[Wire, socket.socket]]:
    """A wire that has answered, and its peer, whose bytes it has not read."""
    with tcp_pair() as (near, peer):
        wire = Wire(near, Scratch(65_536), 4096)
        wire.attach()
        peer.send(b"x" * 40_000)
        wire.write(b"refused")
        task = asyncio.get_running_loop().create_task(linger(wire))
        yield wire, peer
        await task
        await until(lambda: wire.is_lost)


async def receive(peer: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(peer, 100)


async def test_linger_delivers_a_reply_past_unread_input() -> None:
    async with lingering() as (_, peer):
        assert await receive(peer) == b"refused"
        assert await receive(peer) == b""
        peer.shutdown(socket.SHUT_WR)


async def test_linger_reads_on_only_so_much() -> None:
    async with lingering() as (wire, peer):
        with contextlib.suppress(ConnectionError):
            for _ in range(LINGER_BYTES // 65_536 + 1):
                await asyncio.get_running_loop().sock_sendall(peer, bytes(65_536))
        await until(lambda: wire.is_lost)


async def test_linger_reads_on_only_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.0)
    async with lingering() as (wire, _):
        await until(lambda: wire.is_lost)


async def test_linger_leaves_a_wire_alone_that_is_closing() -> None:
    async with lingering() as (wire, peer):
        wire.abort(reset=True)
        await linger(wire)
        with contextlib.suppress(ConnectionResetError):
            assert await receive(peer) == b"refused"
        with pytest.raises(ConnectionResetError):
            await receive(peer)
