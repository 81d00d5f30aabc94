"""ClientHellos: of the standard library, and made by hand so that anything in them can be wrong."""

from __future__ import annotations

import ssl

SERVER_NAME = 0
ENCRYPTED_CLIENT_HELLO = 0xFE0D
#: One of the values that clients send for nothing (RFC 8701).
GREASE = 0x4A4A

RANDOM = bytes(range(32))
#: Key share of X25519MLKEM768: what makes hellos larger than a segment.
POST_QUANTUM = (51, b"\x04\xea\x11\xec\x04\xc0" + bytes(1216) + b"\x00\x1d\x00\x20" + bytes(32))

Extension = tuple[int, bytes]


def prefixed(content: bytes, width: int) -> bytes:
    """Put the length in front."""
    return len(content).to_bytes(width) + content


def server_name(*names: bytes, kind: int = 0) -> Extension:
    """Return a ``server_name`` extension with these names in its list."""
    entries = b"".join(bytes([kind]) + prefixed(name, 2) for name in names)
    return SERVER_NAME, prefixed(entries, 2)


def client_hello(
    *extensions: Extension,
    kind: int = 1,
    version: bytes = b"\x03\x03",
    session_id: bytes = bytes(32),
    cipher_suites: bytes = b"\x13\x01\xc0\x2f",
    compression: bytes = b"\x00",
    block: bytes | None = None,
) -> bytes:
    """Return a handshake message; by default one for ``ok.test``.

    Args:
        extensions: Instead of a single ``server_name``.
        kind: Of the handshake message.
        version: In the hello.
        session_id: Any length.
        cipher_suites: Any length.
        compression: Any length.
        block: The extensions with the length of their block, instead of ``extensions``.
    """
    if block is None:
        found = extensions or (server_name(b"ok.test"),)
        block = prefixed(b"".join(number.to_bytes(2) + prefixed(data, 2) for number, data in found), 2)
    hello = version + RANDOM + prefixed(session_id, 1) + prefixed(cipher_suites, 2)
    return bytes([kind]) + prefixed(hello + prefixed(compression, 1) + block, 3)


def records(message: bytes, *sizes: int, version: bytes = b"\x03\x01") -> bytes:
    """Cut a message into records of these sizes, and one for the rest."""
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(message[:size])
        message = message[size:]
    pieces += [message] if message else []
    return b"".join(b"\x16" + version + prefixed(piece, 2) for piece in pieces)


def hello_for(name: bytes) -> bytes:
    """Return a hello for this name, in one record."""
    return records(client_hello(server_name(name)))


def library_hello(name: str | None = "ok.test", *, newest: ssl.TLSVersion | None = None) -> bytes:
    """Return what Python's own TLS client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if newest is not None:
        context.maximum_version = newest
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without an answer")
