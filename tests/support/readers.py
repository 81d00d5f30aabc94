"""Independent readers of what the gate writes: as an origin, and as a client.

h11 is the strictest: it shares no code with the parsers of the gate and says where a
message ends. llhttp and aiohttp's own parser are what real origins run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import h11
import httptools
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParserPy

#: More than any head that is written in tests.
_MAX_HEAD_BYTES = 1 << 20

Fields = list[tuple[bytes, bytes]]


@dataclass
class Seen:
    """One message as it was read.

    Attributes:
        start: Method and target, or status and phrase.
        fields: Names as written, in order.
        content: As far as it came.
        whole: The message has ended.
        rest: What came behind it.
    """

    start: tuple[bytes, bytes]
    minor: bytes
    fields: Fields
    content: bytes = b""
    whole: bool = False
    rest: bytes = b""
    interim: list[Seen] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field, in order; the name is lower-case."""
        return [value for key, value in self.fields if key.lower() == name]


def read_request(raw: bytes) -> Seen:
    """Read what an origin would read, and be as strict.

    Raises:
        h11.RemoteProtocolError: It is not a request.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
    connection.receive_data(raw)
    event = connection.next_event()
    assert isinstance(event, h11.Request), event
    seen = Seen((event.method, event.target), event.http_version, event.headers.raw_items())
    return _read_content(connection, seen)


def read_request_with_llhttp(raw: bytes) -> Seen:
    """Read a request as llhttp does, the parser of Node.js.

    Raises:
        httptools.HttpParserError: It is not a request.
    """
    seen = Seen((b"", b""), b"", [])
    parser = httptools.HttpRequestParser(_Events(seen))
    with suppress(httptools.HttpParserUpgrade):  # it would switch protocols behind the head
        parser.feed_data(raw)
    seen.start = (parser.get_method(), seen.start[1])
    seen.minor = parser.get_http_version().encode()
    return seen


class _Events:
    """What httptools calls while it reads."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def on_url(self, url: bytes) -> None:
        self._seen.start = (b"", self._seen.start[1] + url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen.fields.append((name, value))

    def on_body(self, content: bytes) -> None:
        self._seen.content += content

    def on_message_complete(self) -> None:
        self._seen.whole = True


def read_request_with_aiohttp(raw: bytes) -> Seen | None:
    """Read a request as aiohttp's parser in Python does; ``None`` if it refuses, or needs more."""
    loop = asyncio.new_event_loop()  # never run: the parser wants one for its streams
    try:
        parser = HttpRequestParserPy(
            BaseProtocol(loop), loop, 1 << 16, max_line_size=_MAX_HEAD_BYTES, max_field_size=_MAX_HEAD_BYTES
        )
        messages, _, rest = parser.feed_data(raw)
    except BadHttpMessage:
        return None
    finally:
        loop.close()
    if not messages:
        return None
    ((message, content),) = messages
    return Seen(
        (message.method.encode(), message.path.encode()),
        b"%d.%d" % message.version,
        list(message.raw_headers),
        content=content.read_nowait(),
        whole=content.is_eof(),
        rest=rest,
    )


def read_response(raw: bytes, method: bytes, *, ended: bool = False, upgrade: bool = False) -> Seen:
    """Read what a client would read that sent a request with this method.

    Args:
        ended: The connection was closed behind these bytes.
        upgrade: The client asked for a WebSocket.

    Raises:
        h11.RemoteProtocolError: It is not a response, or it was cut.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    asked = [("Host", "a.test"), *([("Connection", "Upgrade"), ("Upgrade", "websocket")] if upgrade else [])]
    connection.send(h11.Request(method=method, target="/", headers=asked))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    if ended:
        connection.receive_data(b"")
    interim: list[Seen] = []
    while True:
        event = connection.next_event()
        assert isinstance(event, h11.InformationalResponse | h11.Response), event
        start = (b"%d" % event.status_code, bytes(event.reason))
        seen = Seen(start, event.http_version, event.headers.raw_items(), interim=interim)
        if isinstance(event, h11.Response):
            return _read_content(connection, seen)
        if event.status_code == 101:
            seen.whole, seen.rest = True, connection.trailing_data[0]
            return seen
        interim.append(seen)


def _read_content(connection: h11.Connection, seen: Seen) -> Seen:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            seen.content += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert not event.headers, "trailers are never passed on"
            seen.whole, seen.rest = True, connection.trailing_data[0]
            return seen
        else:
            return seen
