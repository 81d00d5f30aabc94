"""Connections that hold few bytes, and looking at the gate's side of a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobgate.proxy.connection import Connection

from .client import Client
from .gate import RunningGate
from .wait import until

_SMALL_BYTES = 4096


@asynccontextmanager
async def narrow_client(gate: RunningGate) -> AsyncIterator[Client]:
    """Connect to the first job where the kernel's buffers, of both ends, are as small as they get."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BYTES)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    gate.gate.listen(next(iter(gate.gate.jobs.values())), listener)
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    async with Client(sock) as client:
        yield client


async def only_connection(gate: RunningGate) -> Connection:
    """Wait for the one connection of the gate."""
    await until(lambda: len(gate.gate.reception.open) == 1)
    (connection,) = gate.gate.reception.open
    return connection


async def turns(count: int = 50) -> None:
    """Let the loop turn: what was about to happen has happened."""
    for _ in range(count):
        await asyncio.sleep(0)
