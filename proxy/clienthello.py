"""The TLS ClientHello at the beginning of a tunnel, and the server name in it. Pure.

Read strictly: what two TLS stacks could read differently is no hello. What only the
server has to understand (versions, ciphers, GREASE, keys) is skipped. Nothing is
decrypted: under Encrypted Client Hello the name read is the outer one.
"""

from __future__ import annotations

from enum import Enum, auto
from struct import Struct
from typing import NamedTuple

from jobgate.config.host import Host, HostError, parse_host

#: Longest beginning of a stream that is read as one hello, record headers included. Usual ones have
#: 200 to 600 bytes, with post-quantum keys 1800, with the largest of these 16 KiB.
MAX_HELLO_BYTES = 1 << 16
#: RFC 8446 §5.2: the longest that any record may be.
MAX_RECORD_BYTES = (1 << 14) + 256
#: Each costs some 2 us, however short; clients send one, or a few to get past a filter.
MAX_RECORDS = 64
#: Browsers send 18; some 60 are registered.
MAX_EXTENSIONS = 128

_HANDSHAKE = b"\x16"
_MAJOR_VERSION = b"\x03"
_RECORD_HEAD_BYTES = 5
_CLIENT_HELLO = 1
_MESSAGE_HEAD_BYTES = 4
_RANDOM_END = _MESSAGE_HEAD_BYTES + 2 + 32
#: What follows the random (RFC 8446 §4.1.2), each as (width of its length, least, most, multiple of):
#: session id, cipher suites, compression methods.
_VECTORS = ((1, 0, 32, 1), (2, 2, 65534, 2), (1, 1, 255, 1))
_EXTENSION_HEAD = Struct(">HH")
_SERVER_NAME = 0
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
#: Length of the list, type of its only name, length of the name (RFC 6066 §3).
_NAME_HEAD = Struct(">HBH")
_HOST_NAME = 0


class Hello(NamedTuple):
    """What a ClientHello says about its destination.

    Attributes:
        server_name: In canonical form; ``None`` where the client names none.
        ech: There is an Encrypted Client Hello, or the GREASE that looks like one.
    """

    server_name: Host | None
    ech: bool


class NoHello(Enum):
    """Why there is no hello."""

    INCOMPLETE = auto()  #: not yet: more bytes may make it one
    NOT_TLS = auto()
    MALFORMED = auto()  #: TLS, but not a ClientHello that all would read alike
    BAD_NAME = auto()  #: a server name that is no host, or not exactly one


class HelloReader:
    """Reads the ClientHello at the beginning of a stream that grows.

    The answer is the same wherever the stream was cut, and each byte is looked at once.
    """

    __slots__ = ("_message", "_record_at", "_records")

    def __init__(self) -> None:
        self._record_at = 0
        self._records = 0
        self._message = bytearray()

    def read(self, stream: bytes | bytearray) -> Hello | NoHello:
        """Read on.

        Args:
            stream: Everything that came so far, from the first byte on.

        Returns:
            The hello or why it is none; final, unless it is ``INCOMPLETE``.

        Source: RFC 8446 §5.1 (fragments), §4 (message head).
        """
        while True:
            head = bytes(stream[self._record_at : self._record_at + _RECORD_HEAD_BYTES])
            flaw = self._record_flaw(head)
            if flaw is not None:
                return flaw
            start = self._record_at + _RECORD_HEAD_BYTES
            end = start + int.from_bytes(head[3:])
            if len(stream) < end or len(head) < _RECORD_HEAD_BYTES:
                return NoHello.INCOMPLETE
            self._message += stream[start:end]
            self._record_at = end
            self._records += 1
            result = _read_message(self._message)
            if result is not NoHello.INCOMPLETE:
                return result

    def _record_flaw(self, head: bytes) -> NoHello | None:
        """Judge as much of a record's head as has come."""
        if not _HANDSHAKE.startswith(head[:1]) or not _MAJOR_VERSION.startswith(head[1:2]):
            return NoHello.MALFORMED if self._records else NoHello.NOT_TLS
        if len(head) < _RECORD_HEAD_BYTES:
            return None
        length = int.from_bytes(head[3:])
        too_long = self._record_at + len(head) + length > MAX_HELLO_BYTES
        if too_long or not 0 < length <= MAX_RECORD_BYTES or self._records == MAX_RECORDS:
            return NoHello.MALFORMED
        return None


def _read_message(message: bytearray) -> Hello | NoHello:
    """Read a handshake message of which whole records are there; nothing may follow it in its record."""
    if message[0] != _CLIENT_HELLO:
        return NoHello.MALFORMED
    if len(message) < _MESSAGE_HEAD_BYTES:
        return NoHello.INCOMPLETE
    size = _MESSAGE_HEAD_BYTES + int.from_bytes(message[1:_MESSAGE_HEAD_BYTES])
    if size > MAX_HELLO_BYTES or len(message) > size:
        return NoHello.MALFORMED
    return _read_hello(message) if len(message) == size else NoHello.INCOMPLETE


def _read_hello(message: bytearray) -> Hello | NoHello:
    """Read a whole message: every length must fit, to the last byte."""
    if message[_MESSAGE_HEAD_BYTES : _MESSAGE_HEAD_BYTES + 1] != _MAJOR_VERSION:
        return NoHello.MALFORMED
    at, end = _RANDOM_END, len(message)
    for width, least, most, multiple in _VECTORS:
        size = int.from_bytes(message[at : at + width])
        at += width
        # A length that is cut off itself ends here, too.
        if at + size > end or not least <= size <= most or size % multiple:
            return NoHello.MALFORMED
        at += size
    if at == end:
        return Hello(None, ech=False)
    size = int.from_bytes(message[at : at + 2])
    if at + 2 + size != end:
        return NoHello.MALFORMED
    return _read_extensions(message, at + 2)


def _read_extensions(message: bytearray, at: int) -> Hello | NoHello:
    """Walk over the extensions, which reach to the end of the message."""
    end = len(message)
    name: Host | None = None
    ech = False
    for _ in range(MAX_EXTENSIONS + 1):
        if at == end:
            return Hello(name, ech)
        if at + _EXTENSION_HEAD.size > end:
            break
        kind, size = _EXTENSION_HEAD.unpack_from(message, at)
        at += _EXTENSION_HEAD.size
        if at + size > end:
            break
        if kind == _SERVER_NAME:
            host = _read_name(bytes(message[at : at + size]))
            if host is None or name is not None:
                return NoHello.BAD_NAME
            name = host
        elif kind == _ENCRYPTED_CLIENT_HELLO:
            ech = True
        at += size
    return NoHello.MALFORMED


def _read_name(content: bytes) -> Host | None:
    """Read the ``server_name`` extension: a list with exactly one host name in it, nothing else.

    Stricter than RFC 6066 §3, which reserves other types of names: none was ever defined.
    Kinder in two things that are unambiguous: a final dot, and an address in the place of a name.
    """
    if len(content) < _NAME_HEAD.size:
        return None
    list_bytes, kind, name_bytes = _NAME_HEAD.unpack_from(content)
    rest_bytes = len(content) - _NAME_HEAD.size
    if kind != _HOST_NAME or name_bytes != rest_bytes or list_bytes != rest_bytes + 3:
        return None
    try:
        return parse_host(content[_NAME_HEAD.size :])
    except HostError:
        return None
