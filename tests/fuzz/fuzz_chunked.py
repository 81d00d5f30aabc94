"""The decoder of the chunked coding: what it accepts, and that pieces do not matter."""

from __future__ import annotations

from fuzz.engine import split
from jobgate.proxy.chunked import ChunkedDecoder, ChunkedError
from jobgate.proxy.content import Chunked
from support.readers import read_request
from support.slow_chunked import Decoded, decode

WORDS = (
    b"0\r\n\r\n", b"\r\n", b"5\r\nhello\r\n", b"FFFFFFFFFFFFFFF", b';a="b"', b"Trailer: x\r\n", b"00000000",
)  # fmt: skip
HEAD = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"


def TestOneInput(data: bytes) -> None:
    """Compare the decoder with a slow one, in pieces, and through h11."""
    expected = decode(data)
    assert decoded([data]) == expected, "not what the slow decoder says"
    assert decoded(split(data)) == expected, "other pieces, other content"
    if len(data) <= 64:
        assert decoded([data[i : i + 1] for i in range(len(data))]) == expected, "single bytes differ"
    check_written(data, expected)


def decoded(pieces: list[bytes]) -> Decoded | None:
    """Decode pieces; ``None`` if the message is broken or unfinished."""
    decoder = ChunkedDecoder()
    content = bytearray()
    consumed = 0
    try:
        for piece in pieces:
            for view in decoder.feed(piece):
                assert len(view), "an empty piece"
                content += view
            consumed += decoder.consumed
            assert decoder.done or decoder.consumed == len(piece), "bytes left over in the middle"
    except ChunkedError:
        return None
    return Decoded(bytes(content), consumed) if decoder.done else None


def check_written(data: bytes, expected: Decoded | None) -> None:
    """What goes on is read by another parser as the content; nothing broken is ever completed."""
    framing = Chunked()
    written = bytearray(HEAD)
    try:
        for view in framing.feed(memoryview(data)):
            written += view
    except ChunkedError:
        pass
    seen = read_request(bytes(written))
    assert seen.whole == (expected is not None), "a cut message looks whole"
    if expected is not None:
        assert seen.content == expected.content, "another content was written"
        assert seen.rest == b"", "something behind the content was written"
