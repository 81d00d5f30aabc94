"""The client's side of one operation of the soak: through which job, to which name, how it went."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from soak_content import Ended, head_of, pieces, reset
from soak_content import field as field_of
from soak_names import DOMAIN
from soak_origin import PORT

#: Good names in use at a time; each is asked for again when its TTL is over.
_NAMES = 8


class Wrong(Exception):
    """Something was lost, altered, or answered otherwise than it must be."""


class Broken(Exception):
    """It failed as it was meant to; the text says how."""


@dataclass(slots=True)
class Moved:
    """Content bytes, as counted by the client."""

    up_bytes: int = 0
    down_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its clients know it."""

    name: str
    address: str
    port: int


@dataclass(slots=True)
class Stream:
    """One connection to the gate."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send, no faster than it is taken."""
        self.writer.write(data)
        await self.writer.drain()

    async def send_content(self, seed: int, size: int) -> None:
        """Send content."""
        for piece in pieces(seed, size):
            await self.send(piece)

    def end(self) -> None:
        """Send FIN; the other direction goes on."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Send RST."""
        reset(self.writer)


_counter = itertools.count(1)


@dataclass(slots=True)
class Operation:
    """What a kind of load is given for one turn.

    Attributes:
        moved: To be counted up.
        seed: Different for each; decides all its choices.
    """

    job: Job
    moved: Moved = field(default_factory=Moved)
    seed: int = field(default_factory=lambda: next(_counter))
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 (no secret)

    @property
    def authority(self) -> str:
        """A good one."""
        return self.authority_of(f"good-{self.seed % _NAMES}")

    def choose(self, among: int) -> int:
        """Choose a number below ``among``; each call, another one."""
        return self.chance.randrange(among)

    def authority_of(self, word: str, port: int = PORT) -> str:
        """``word.soak.test:port``."""
        return f"{word}.{DOMAIN}:{port}"

    @contextlib.asynccontextmanager
    async def connection(self, receive_buffer_bytes: int | None = None) -> AsyncIterator[Stream]:
        """Connect to the gate; closed in the end with what the system does by itself."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        limit = 65536
        try:
            sock.setblocking(False)
            if receive_buffer_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
                limit = receive_buffer_bytes
            await asyncio.get_running_loop().sock_connect(sock, (self.job.address, self.job.port))
        except BaseException:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
        try:
            yield Stream(reader, writer)
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def tunnel(
        self, authority: str = "", receive_buffer_bytes: int | None = None
    ) -> AsyncIterator[Stream]:
        """Open a tunnel.

        Raises:
            Refused: The gate answered something else than 200.
        """
        authority = authority or self.authority
        async with self.connection(receive_buffer_bytes) as stream:
            await stream.send(connect_bytes(authority))
            head = await head_of(stream.reader)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Refused(head)
            yield stream


class Refused(Exception):
    """The gate's own answer, instead of the origin's."""

    def __init__(self, head: bytes) -> None:
        self.status = int(head.split(None, 2)[1])
        self.reason = field_of(head, "x-jobgate-reason")
        super().__init__(f"{self.status} {self.reason}")


async def final_word(stream: Stream) -> Ended:
    """Read until the end of a connection that must not say anything more.

    Raises:
        Wrong: It did.
    """
    data = await stream.reader.read(65536)
    if data:
        raise Wrong(f"unexpected {data[:80]!r}")
    return Ended("fin")


def connect_bytes(authority: str) -> bytes:
    """Return a CONNECT request."""
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()


def request_bytes(method: str, authority: str, path: str, fields: str = "") -> bytes:
    """Return the head of a plain request; each of ``fields`` ends with CRLF."""
    return f"{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n".encode()
