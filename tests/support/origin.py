"""Origins that do exactly what a script says, byte for byte.

A script is a coroutine that owns one accepted connection; delays are events that
the test sets. Everything an origin received is kept as raw bytes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from .wait import Changes

_LINGER_ZERO = struct.pack("ii", 1, 0)
_READ_BYTES = 65536

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One accepted connection; ``received`` holds all of its bytes."""

    def __init__(self, sock: socket.socket, changes: Changes) -> None:
        self._sock = sock
        self._changes = changes
        self._position = 0
        self.received = bytearray()
        self.ended = False
        self.was_reset = False

    async def read_some(self) -> bytes:
        """Return unread bytes, waiting for some; ``b""`` once the other side has ended."""
        if self._position == len(self.received) and not self.ended:
            await self._receive()
        data = bytes(self.received[self._position :])
        self._position = len(self.received)
        return data

    async def read_until(self, marker: bytes) -> bytes:
        """Return the unread bytes up to and with the marker, or all of them at the end."""
        start = self._position
        while (at := self.received.find(marker, start)) < 0 and not self.ended:
            await self._receive()
        self._position = at + len(marker) if at >= 0 else len(self.received)
        return bytes(self.received[start : self._position])

    async def read_head(self) -> bytes:
        """Return one head with its blank line."""
        return await self.read_until(b"\r\n\r\n")

    async def read_exactly(self, size: int) -> bytes:
        """Return ``size`` unread bytes, fewer only if the other side ended."""
        start = self._position
        while len(self.received) - start < size and not self.ended:
            await self._receive()
        self._position = min(start + size, len(self.received))
        return bytes(self.received[start : self._position])

    async def read_to_end(self) -> bytes:
        """Return everything unread once the other side has ended."""
        start = self._position
        while not self.ended:
            await self._receive()
        self._position = len(self.received)
        return bytes(self.received[start:])

    async def send(self, data: bytes) -> None:
        """Write all of the data."""
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def now(self, data: bytes) -> None:
        """Put a few bytes into the kernel, in this very turn of the loop."""
        assert self._sock.send(data) == len(data)

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._sock.close()

    def close(self) -> None:
        """Close with FIN (or RST if unread bytes are left)."""
        self._sock.close()

    def shrink_receive_buffer(self) -> None:
        """Take as little as possible without reading, for tests of back-pressure."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def until_received(self, size: int) -> bytes:
        """Wait until ``size`` bytes in all came in; for tests, while a script reads."""
        await self._changes.until(lambda: len(self.received) >= size or self.ended)
        return bytes(self.received)

    async def until_ended(self) -> bytes:
        """Wait until the other side has ended; for tests, while a script reads."""
        await self._changes.until(lambda: self.ended)
        return bytes(self.received)

    async def _receive(self) -> None:
        try:
            data = await asyncio.get_running_loop().sock_recv(self._sock, _READ_BYTES)
        except ConnectionResetError:
            self.was_reset = True
            data = b""
        self.received += data
        self.ended = not data
        self._changes.notify()


class Origin:
    """A listener on loopback that runs one script for each connection.

    Leaving the context ends the scripts; an exception of a script, other than its
    cancellation and a broken connection, is raised there.
    """

    def __init__(self, script: Script, address: str = "127.0.0.1", port: int = 0) -> None:
        self._script = script
        self._changes = Changes()
        self._tasks: set[asyncio.Task[None]] = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.peers: list[Peer] = []
        self.errors: list[Exception] = []

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()
        if error is None and self.errors:
            raise self.errors[0]

    async def peer(self, index: int = 0) -> Peer:
        """Wait for the connection with that number."""
        await self._changes.until(lambda: len(self.peers) > index)
        return self.peers[index]

    async def until_all_ended(self) -> None:
        """Wait until every connection accepted so far has ended."""
        await self._changes.until(lambda: all(peer.ended for peer in self.peers))

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock, self._changes)
        self.peers.append(peer)
        self._changes.notify()
        task = asyncio.get_running_loop().create_task(self._serve(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            await self._script(peer)
        except ConnectionError:
            peer.was_reset = True
        except Exception as error:
            self.errors.append(error)
        finally:
            peer.close()
            peer.ended = True
            self._changes.notify()


async def swallow(peer: Peer) -> None:
    """Read everything, say nothing, end when the other side ends."""
    await peer.read_to_end()


async def echo(peer: Peer) -> None:
    """Send back what comes, and FIN after FIN."""
    while data := await peer.read_some():
        await peer.send(data)


def answer(*responses: bytes) -> Script:
    """Answer request after request (heads only) with these bytes, then read to the end."""

    async def script(peer: Peer) -> None:
        for response in responses:
            if not await peer.read_head():
                return
            await peer.send(response)
        await peer.read_to_end()

    return script


def answer_when(release: asyncio.Event, response: bytes) -> Script:
    """Answer one request (a head) with these bytes once it is told to, then read to the end."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(response)
        await peer.read_to_end()

    return script


def answer_and_close(response: bytes) -> Script:
    """Answer one request (a head) with these bytes, then FIN."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(response)

    return script
