from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobgate.proxy import peeking
from jobgate.proxy.head import HeadLimits
from jobgate.proxy.peeking import Peeker
from support.narrow import turns

LIMITS = HeadLimits(4096, 1024, 64)
HEAD = b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n"
PATIENCE_S = 8.0


@asynccontextmanager
async def rig(kind: str) -> AsyncIterator[tuple[Peeker, socket.socket, socket.socket]]:
    """A peeker, a connection, and its other end."""
    if kind == "unix":
        ours, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
    peeker = Peeker()
    ours.setblocking(False)
    with ours, peer:
        yield peeker, ours, peer
        peeker.close()


kinds = pytest.mark.parametrize("kind", ["unix", "tcp"])


@kinds
@pytest.mark.parametrize("size", [1, 20, len(HEAD)], ids=["bytes", "pieces", "whole"])
async def test_head_is_seen_however_it_comes_and_stays_where_it_is(kind: str, size: int) -> None:
    async with rig(kind) as (peeker, ours, peer):
        looking = asyncio.ensure_future(peeker.head(ours, LIMITS, PATIENCE_S))
        for start in range(0, len(HEAD), size):
            peer.sendall(HEAD[start : start + size])
            await turns()
        assert await looking == HEAD
        assert ours.recv(4096) == HEAD


async def test_head_that_comes_byte_by_byte_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[tuple[int, int]] = []

    def check(there: bytes, limits: HeadLimits, start: int = 0) -> None:
        judged.append((start, len(there)))

    monkeypatch.setattr(peeking, "check_partial_request", check)
    async with rig("tcp") as (peeker, ours, peer):
        looking = asyncio.ensure_future(peeker.head(ours, LIMITS, PATIENCE_S))
        await turns()
        for start in range(20):
            peer.sendall(HEAD[start : start + 1])
            await turns()
        peer.sendall(HEAD[20:])
        assert await looking == HEAD
    assert judged[0][0] == 0
    assert [start for start, _ in judged[1:]] == [end for _, end in judged[:-1]]


@kinds
async def test_head_that_is_there_is_seen_at_once(kind: str) -> None:
    async with rig(kind) as (peeker, ours, peer):
        assert peeker.now(ours, LIMITS) is None
        peer.sendall(HEAD + b"content")
        assert await peeker.head(ours, LIMITS, PATIENCE_S) == HEAD
        assert peeker.now(ours, LIMITS) == HEAD


@kinds
@pytest.mark.parametrize(
    "sent",
    [b"", HEAD[:10], b"\x16\x03\x01", b"GET /" + b"a" * 2000, HEAD[:-2] + b"A: b\r\n" * 1000],
    ids=["nothing", "unfinished", "not-http", "long-target", "long-head"],
)
async def test_connection_that_brings_no_head_is_given_up_at_its_end(kind: str, sent: bytes) -> None:
    async with rig(kind) as (peeker, ours, peer):
        looking = asyncio.ensure_future(peeker.head(ours, LIMITS, PATIENCE_S))
        await turns()
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        assert await looking is None
        assert peeker.now(ours, LIMITS) is None


@kinds
async def test_patience_has_an_end(kind: str) -> None:
    async with rig(kind) as (peeker, ours, peer):
        peer.sendall(HEAD[:10])
        assert await peeker.head(ours, LIMITS, 0.01) is None
        peer.sendall(HEAD[10:])
        assert await peeker.head(ours, LIMITS, PATIENCE_S) == HEAD


async def test_closed_peeker_waits_for_nothing() -> None:
    async with rig("tcp") as (peeker, ours, _):
        looking = asyncio.ensure_future(peeker.head(ours, LIMITS, PATIENCE_S))
        await turns()
        peeker.close()
        peeker.close()
        assert await looking is None
        assert await peeker.head(ours, LIMITS, PATIENCE_S) is None


async def test_cancelled_wait_leaves_nothing_behind() -> None:
    async with rig("tcp") as (peeker, ours, peer):
        looking = asyncio.ensure_future(peeker.head(ours, LIMITS, PATIENCE_S))
        await turns()
        looking.cancel()
        await asyncio.wait({looking})
        peer.sendall(HEAD)
        assert await peeker.head(ours, LIMITS, PATIENCE_S) == HEAD
