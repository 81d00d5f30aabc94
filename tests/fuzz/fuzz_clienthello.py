"""The ClientHello of a tunnel: one answer wherever the stream is cut, and no name that was not sent."""

from __future__ import annotations

from jobgate.config.host import Name, host_text, parse_host
from jobgate.proxy.clienthello import Hello, HelloReader, NoHello

WORDS = (
    b"\x16\x03\x01", b"\x16\x03\x03", b"\x15\x03\x03", b"\x01\x00",
    b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07ok.test",
    b"\x00\x00", b"\xfe\x0d", b"\x0a\x0a", b"ok.test", b"OK.TEST.", b"127.0.0.1", b"[::1]", b"\x13\x01",
)  # fmt: skip


def TestOneInput(data: bytes) -> None:
    """Read the bytes whole and in two ways of pieces; then hold the answer against the bytes."""
    whole = HelloReader().read(data)
    step = 1 + (data[-1] if data else 0)
    assert in_pieces(data, 1) == whole, "another answer byte by byte"
    assert in_pieces(data, step) == whole, "another answer in pieces"
    if isinstance(whole, Hello):
        check_accepted(data, whole)


def in_pieces(data: bytes, step: int) -> Hello | NoHello:
    """Read a stream that grows by ``step`` bytes, until it is decided."""
    reader = HelloReader()
    stream = bytearray()
    found = reader.read(stream)
    for at in range(0, len(data), step):
        if found is not NoHello.INCOMPLETE:
            break
        stream += data[at : at + step]
        found = reader.read(stream)
    return found


def check_accepted(data: bytes, hello: Hello) -> None:
    """It is TLS by its first bytes; the name is canonical and stands in what was sent."""
    assert data[:1] == b"\x16", "this is no handshake record"
    assert data[1:2] == b"\x03", "this is no version of TLS"
    if hello.server_name is None:
        return
    text = host_text(hello.server_name)
    assert parse_host(text.encode("ascii")) == hello.server_name, "the name is not canonical"
    if isinstance(hello.server_name, Name):
        sent = b"".join(fragments(data))
        assert text.encode("ascii") in sent.lower(), "nobody sent this name"


def fragments(data: bytes) -> list[bytes]:
    """The content of all whole records: a name may be spread over several."""
    found = []
    at = 0
    while at + 5 <= len(data):
        end = at + 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        found.append(data[at + 5 : end])
        at = end
    return found
