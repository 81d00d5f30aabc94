"""A strict HTTP/1.1 origin: h11 parses what arrives, every request is answered 200."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h11

from .origin import Origin, Peer

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class ReceivedRequest:
    """A request as the origin parsed it; names of fields are lower-case."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field, in order."""
        return [value for key, value in self.headers if key == name]


class HttpOrigin:
    """Answers 200 with ``X-Origin: 1`` and a length, keeps the connection, records all."""

    def __init__(self, body: bytes = b"hello\n", address: str = "127.0.0.1", port: int = 0) -> None:
        self._body = body
        self._origin = Origin(self._serve, address, port)
        self.port = self._origin.port
        self.requests: list[ReceivedRequest] = []
        self.protocol_errors: list[str] = []

    async def __aenter__(self) -> Self:
        await self._origin.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._origin.__aexit__(kind, error, trace)

    @property
    def peers(self) -> list[Peer]:
        """Every connection accepted so far."""
        return self._origin.peers

    @property
    def raw(self) -> bytes:
        """All bytes received, over all connections."""
        return b"".join(bytes(peer.received) for peer in self.peers)

    async def until_all_ended(self) -> None:
        """Wait until every connection accepted so far has ended."""
        await self._origin.until_all_ended()

    async def _serve(self, peer: Peer) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        try:
            while await self._exchange(connection, peer):
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self.protocol_errors.append(str(error))
            await peer.read_to_end()

    async def _exchange(self, connection: h11.Connection, peer: Peer) -> bool:
        """Read one request and answer it; False when the connection is over."""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    await self._send(connection, peer, h11.InformationalResponse(status_code=100, headers=[]))
                connection.receive_data(await peer.read_some())
            elif isinstance(event, h11.Request):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                self.requests.append(ReceivedRequest(event.method, event.target, headers))
            elif isinstance(event, h11.Data):
                self.requests[-1].body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.requests[-1].complete = True
                await self._answer(connection, peer)
                return connection.our_state is not h11.MUST_CLOSE
            else:
                return False

    async def _answer(self, connection: h11.Connection, peer: Peer) -> None:
        headers = [(b"X-Origin", b"1"), (b"Content-Length", b"%d" % len(self._body))]
        await self._send(connection, peer, h11.Response(status_code=200, reason=b"OK", headers=headers))
        if self.requests[-1].method != b"HEAD":
            await self._send(connection, peer, h11.Data(data=self._body))
        await self._send(connection, peer, h11.EndOfMessage())

    async def _send(self, connection: h11.Connection, peer: Peer, event: h11.Event) -> None:
        await peer.send(connection.send(event) or b"")
