"""A raw client: sends bytes as given, parses the answers with h11, strictly."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import h11

from .wait import DEADLINE_S

_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Response:
    """One final response, with the statuses of the interim ones before it."""

    status: int
    phrase: str
    minor: int
    headers: list[tuple[str, str]]
    body: bytes
    interim: list[int]

    def values(self, name: str) -> list[str]:
        """Return the values of a field, in order; ``name`` in lower case."""
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        """Return the only value of a field.

        Raises:
            ValueError: The field is missing or repeated.
        """
        (only,) = self.values(name)
        return only


class Client:
    """One connection to the gate; ``received`` holds all of its bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unread = b""
        self.received = bytearray()
        self.ended = False
        self.was_reset = False

    @classmethod
    async def connect(cls, port: int, address: str = "127.0.0.1", *, source: str = "") -> Self:
        """Open a connection, from an address of our own if one is named."""
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if source:
                sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    @property
    def endpoint(self) -> str:
        """The client's own ``ip:port``, as the journal shows it."""
        address, port = self._sock.getsockname()[:2]
        return f"{address}:{port}"

    async def send(self, data: bytes) -> None:
        """Write all of the data."""
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def now(self, data: bytes) -> None:
        """Put a few bytes into the kernel, in this very turn of the loop."""
        assert self._sock.send(data) == len(data)

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        """Close with FIN (or RST if unread bytes are left)."""
        self._sock.close()

    async def read_some(self) -> bytes:
        """Return unread bytes, waiting for some; ``b""`` at the end or after a reset."""
        if not self._unread and not self.ended:
            await self._receive()
        data, self._unread = self._unread, b""
        return data

    async def read_exactly(self, size: int) -> bytes:
        """Return ``size`` bytes.

        Raises:
            EOFError: The connection ended before.
        """
        while len(self._unread) < size:
            if self.ended:
                raise EOFError(f"got {len(self._unread)} of {size} bytes")
            await self._receive()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    async def read_to_end(self) -> bytes:
        """Return everything unread once the gate has closed; see ``was_reset``."""
        while not self.ended:
            await self._receive()
        data, self._unread = self._unread, b""
        return data

    async def response(self, method: str = "GET") -> Response:
        """Read one final response to a request with that method.

        Raises:
            EOFError: The connection ended before the first byte.
            h11.RemoteProtocolError: What came is not a complete, valid response.
        """
        parser = _ResponseParser(method)
        while not parser.feed(self._unread, self.ended):
            self._unread = b""
            await self._receive()
            if self.ended and not parser.started:
                raise EOFError("the connection ended without a response")
        self._unread = parser.rest
        return parser.response

    async def request(self, data: bytes, method: str = "GET") -> Response:
        """Send the bytes of one request and read its response."""
        await self.send(data)
        return await self.response(method)

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                data = await asyncio.get_running_loop().sock_recv(self._sock, _READ_BYTES)
        except ConnectionResetError:
            self.was_reset = True
            data = b""
        self.ended = not data
        self.received += data
        self._unread += data


class _ResponseParser:
    """Bytes to one final response, by h11 in the role of a client."""

    def __init__(self, method: str) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        # Whether the request asked for an upgrade is the gate's affair: h11 only has to accept a 101.
        headers = [("Host", "origin.test"), ("Connection", "upgrade"), ("Upgrade", "websocket")]
        self._connection.send(h11.Request(method=method, target="/", headers=headers))
        self._connection.send(h11.EndOfMessage())
        self._interim: list[int] = []
        self._head: h11.Response | h11.InformationalResponse | None = None
        self._body = bytearray()
        self.started = False

    def feed(self, data: bytes, ended: bool) -> bool:
        """Take more bytes; True once the response is complete."""
        self.started = self.started or bool(data)
        if data:
            self._connection.receive_data(data)
        elif ended:
            self._connection.receive_data(b"")
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                self._interim.append(event.status_code)
            elif isinstance(event, h11.Response | h11.InformationalResponse):
                self._head = event
                if self._connection.their_state is h11.SWITCHED_PROTOCOL:
                    return True
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return True

    @property
    def rest(self) -> bytes:
        """The bytes behind the response."""
        return bytes(self._connection.trailing_data[0])

    @property
    def response(self) -> Response:
        """The complete response."""
        if self._head is None:
            raise EOFError("no response yet")
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in self._head.headers]
        return Response(
            status=self._head.status_code,
            phrase=self._head.reason.decode("latin-1"),
            minor=int(self._head.http_version[-1:]),
            headers=headers,
            body=bytes(self._body),
            interim=self._interim,
        )
