"""Tunnels that both ends finish in a chosen way, and what each end saw."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass
from itertools import product
from typing import Protocol

from .client import Client
from .messages import connect
from .origin import Origin, Peer
from .wait import until

FIN, RESET = "fin", "reset"
_HEADER_BYTES = 16
_PAYLOAD = bytes(range(251)) * 1000


@dataclass(frozen=True, slots=True)
class Ending:
    """How one tunnel is to end.

    Attributes:
        client: ``fin`` or ``reset``.
        origin: The same.
        first: Who ends first, ``client`` or ``origin``; the other one waits for it. Or ``both`` at once.
        size: Bytes sent each way before the end.
        is_narrow: The client's kernel holds little, so that much is pending when the end comes.
    """

    client: str
    origin: str
    first: str
    size: int
    is_narrow: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether every byte must arrive, each way."""
        return self.client == self.origin == FIN


@dataclass(frozen=True, slots=True)
class Seen:
    """What one end received: how the other side ended, and whether its bytes were right."""

    end: str
    is_prefix: bool
    is_whole: bool


def all_endings() -> list[Ending]:
    """Return every order of FIN and RST, with nothing, little and much under way."""
    ways = product((FIN, RESET), (FIN, RESET), ("client", "origin", "both"))
    amounts = [(0, False), (3000, False), (100_000, False), (100_000, True)]
    return [Ending(*way, *amount) for way in ways for amount in amounts]


class _End(Protocol):
    """A client or an origin's side of a connection."""

    async def read_to_end(self) -> bytes: ...
    async def send(self, data: bytes) -> None: ...
    def half_close(self) -> None: ...
    def reset(self) -> None: ...

    was_reset: bool


class EndingOrigin:
    """An origin that ends each tunnel as its first bytes ask for; ``seen`` by the tunnel's number."""

    def __init__(self, endings: list[Ending]) -> None:
        self._endings = endings
        self._origin = Origin(self._serve)
        self.port = self._origin.port
        self.seen: dict[int, Seen] = {}

    async def __aenter__(self) -> EndingOrigin:
        await self._origin.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._origin.__aexit__(None, None, None)

    async def until_over(self) -> None:
        """Wait until every connection has ended."""
        await until(lambda: not self._origin._tasks)
        self._origin.peers.clear()

    async def _serve(self, peer: Peer) -> None:
        header = await peer.read_exactly(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            return  # the client's reset overtook it
        number = int(header)
        ending = self._endings[number % len(self._endings)]
        self.seen[number] = await _finish(peer, number, ending, ending.origin, is_first="origin")
        peer.received.clear()


async def run_tunnel(port: int, origin: EndingOrigin, number: int, ending: Ending) -> Seen:
    """Open a tunnel through the gate at a port, and end it."""
    async with await _client(port, ending.is_narrow) as client:
        response = await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")
        assert response.status == 200
        await client.send(b"%016d" % number)
        return await _finish(client, number, ending, ending.client, is_first="client")


async def _client(port: int, is_narrow: bool) -> Client:
    sock = socket.socket()
    sock.setblocking(False)
    if is_narrow:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)  # else a small window waits for timers
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return Client(sock)


async def _finish(end: _End, number: int, ending: Ending, way: str, *, is_first: str) -> Seen:
    """Send everything, then end in this way: at once, or after the other side has."""
    payload = _payload(number, ending.size)
    received = b""
    try:
        if ending.first in (is_first, "both"):
            await end.send(payload)
            _end(end, way)
            received = await end.read_to_end() if way == FIN else b""
        else:
            reading = asyncio.ensure_future(end.read_to_end())
            try:
                await end.send(payload)
            finally:
                received = await reading
            _end(end, way)
    except ConnectionError:
        end.was_reset = True
    seen_end = RESET if end.was_reset else FIN
    return Seen(seen_end, payload.startswith(received), received == payload)


def _end(end: _End, way: str) -> None:
    if way == RESET:
        end.reset()
        return
    try:
        end.half_close()
    except OSError as error:  # the other side's reset was first
        if error.errno != errno.ENOTCONN:
            raise
        end.was_reset = True


def _payload(number: int, size: int) -> bytes:
    """Return bytes that are another tunnel's nowhere near."""
    return _PAYLOAD[number % 251 : number % 251 + size]
