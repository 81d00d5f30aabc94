"""The chunked coding: same result whatever the segments, nothing taken that is the next message's."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.chunked import (
    LAST_CHUNK,
    MAX_LINE_BYTES,
    MAX_OVERHEAD_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedDecoder,
    ChunkedError,
    encode_chunk,
)

NEXT = b"GET http://ok.test/ HTTP/1.1\r\n"


def decode(data: bytes, step: int | None = None) -> tuple[bytes, int, bool]:
    """Feed in steps; return the content, the bytes that belonged to the message, and whether it ended."""
    decoder = ChunkedDecoder()
    content, used = b"", 0
    for start in range(0, len(data), step or max(1, len(data))):
        content += b"".join(decoder.feed(data[start : start + (step or len(data))]))
        used += decoder.consumed
        if decoder.done:
            break
    return content, used, decoder.done


GOOD = {
    "empty": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    "hexadecimal": (b"0A\r\n0123456789\r\nf\r\n0123456789abcde\r\n000\r\n\r\n", b"01234567890123456789abcde"),
    "extensions": (b'5;a=b;c="d; e"\r\nhello\r\n0;x\r\n\r\n', b"hello"),
    "empty extension": (b"5;\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": (b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: evil.test\r\n\r\n", b"hello"),
    "line ends in content": (b"4\r\n\r\n0\r\r\n0\r\n\r\n", b"\r\n0\r"),
    "15 digits": (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
}


@pytest.mark.parametrize("step", [None, 1, 3])
@pytest.mark.parametrize(("coding", "content"), GOOD.values(), ids=GOOD)
def test_decoder_takes_the_message_and_nothing_behind_it(
    coding: bytes, content: bytes, step: int | None
) -> None:
    assert decode(coding + NEXT, step) == (content, len(coding), True)


BAD = {
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "blank before": b" 5\r\nhello\r\n0\r\n\r\n",
    "blank behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "blank before extension": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "other digits": "٥\r\nhello\r\n0\r\n\r\n".encode(),
    "16 digits": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "wraps at 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "bare LF": b"5\nhello\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "no CRLF behind the content": b"5\r\nhelloXX0\r\n\r\n",
    "LF behind the content": b"5\r\nhello\n0\r\n\r\n",
    "trailer without a name": b"0\r\n: a\r\n\r\n",
    "blank in a trailer name": b"0\r\nX A: b\r\n\r\n",
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer with bare LF": b"0\r\nX: a\n\r\n",
    "trailer without a colon": b"0\r\nXX\r\n\r\n",
}


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("coding", BAD.values(), ids=BAD)
def test_decoder_refuses(coding: bytes, step: int | None) -> None:
    with pytest.raises(ChunkedError):
        decode(coding, step)


@pytest.mark.parametrize(
    "coding",
    [
        b"",
        b"5",
        b"5\r",
        b"5\r\n",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r\n",
        b"0\r\n",
        b"0\r\nX: a\r\n",
        b"0\r\n\r",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("step", [None, 1])
def test_decoder_waits_for_the_rest_of_a_cut_message(coding: bytes, step: int | None) -> None:
    _, used, done = decode(coding, step)
    assert (used, done) == (len(coding), False)


def test_decoder_gives_slices_without_copying() -> None:
    data = bytearray(b"5\r\nhello\r\n0\r\n\r\n")
    (piece,) = ChunkedDecoder().feed(memoryview(data))
    data[3] = ord("H")
    assert bytes(piece) == b"Hello"


def test_decoder_takes_nothing_once_it_is_done() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(LAST_CHUNK)
    assert decoder.feed(NEXT) == []
    assert decoder.consumed == 0


@pytest.mark.parametrize("step", [None, 1000])
@pytest.mark.parametrize(
    ("size", "within"), [(MAX_LINE_BYTES, True), (MAX_LINE_BYTES + 1, False)], ids=["at", "over"]
)
def test_extensions_of_a_line_are_bounded(size: int, within: bool, step: int | None) -> None:
    coding = b"0;" + b"a" * (size - 4) + b"\r\n\r\n"
    if within:
        assert decode(coding, step) == (b"", len(coding), True)
    else:
        with pytest.raises(ChunkedError):
            decode(coding, step)


@pytest.mark.parametrize("step", [None, 1000])
def test_extensions_of_a_message_are_bounded_by_its_content(step: int | None) -> None:
    tiny = b"1;" + b"a" * 100 + b"\r\nx\r\n"
    assert decode(tiny * (MAX_OVERHEAD_BYTES // 90), step)[2] is False
    with pytest.raises(ChunkedError):
        decode(tiny * (MAX_OVERHEAD_BYTES // 80), step)


def test_many_small_chunks_are_no_overhead() -> None:
    assert decode(b"1\r\nx\r\n" * 20_000 + LAST_CHUNK)[0] == b"x" * 20_000


@pytest.mark.parametrize("step", [None, 1000])
@pytest.mark.parametrize(
    "line", [b"X: " + b"a" * 95 + b"\r\n", b"X: " + b"a" * (MAX_TRAILER_BYTES - 5)], ids=["lines", "line"]
)
def test_trailers_are_bounded(line: bytes, step: int | None) -> None:
    with pytest.raises(ChunkedError):
        decode(b"0\r\n" + line * (MAX_TRAILER_BYTES // len(line) + 1), step)


def test_encode_chunk_frames_content_and_never_ends_the_message() -> None:
    assert b"".join(encode_chunk(b"a" * 26)) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_chunk(b"") == []


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_decoding_undoes_encoding_however_it_is_cut(pieces: list[bytes], step: int) -> None:
    coding = b"".join(b"".join(encode_chunk(piece)) for piece in pieces) + LAST_CHUNK
    assert decode(coding + NEXT, step) == (b"".join(pieces), len(coding), True)


HOSTILE = st.lists(
    st.sampled_from([b"\r\n", b"0", b"5", b"a", b"hello", b";x", b"\n", b"\r", b" ", b"X: y", b"0\r\n\r\n"]),
    max_size=12,
).map(b"".join)


@given(HOSTILE | st.binary(max_size=30))
def test_the_cuts_never_matter(data: bytes) -> None:
    assert outcome(data, None) == outcome(data, 1) == outcome(data, 2)


def outcome(data: bytes, step: int | None) -> tuple[bytes, int, bool] | None:
    try:
        return decode(data, step)
    except ChunkedError:
        return None


@given(HOSTILE)
def test_what_is_accepted_whole_reads_the_same_elsewhere(data: bytes) -> None:
    found = outcome(data, None)
    if found is None or not found[2]:
        return
    content, used, _ = found
    assert h11_content(data[:used]) == content


def h11_content(coding: bytes) -> bytes:
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + coding)
    content = b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA
        if isinstance(event, h11.Data):
            content += event.data
    return content
