from __future__ import annotations

import pytest

from jobgate.proxy.chunked import ChunkedError
from jobgate.proxy.content import Chunked, ContentTooLarge, KnownLength


def feed_all(framing: KnownLength | Chunked, stream: bytes, step: int) -> tuple[bytes, bytes]:
    """Feed in steps until done; return what came out and what was left alone."""
    out = bytearray()
    at = 0
    while at < len(stream) and not framing.done:
        for piece in framing.feed(memoryview(stream[at : at + step])):
            out += piece
        at += framing.consumed
    return bytes(out), stream[at:]


STEPS = pytest.mark.parametrize("step", [1, 3, 1000], ids=["byte-by-byte", "threes", "whole"])


@STEPS
def test_known_length_takes_exactly_its_bytes(step: int) -> None:
    assert feed_all(KnownLength(5), b"helloGET", step) == (b"hello", b"GET")


def test_known_length_zero_is_done_at_once() -> None:
    assert KnownLength(0).done


@STEPS
def test_chunked_leaves_what_follows_alone(step: int) -> None:
    out, rest = feed_all(Chunked(), b"3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\nGET", step)
    assert rest == b"GET"
    assert out.endswith(b"0\r\n\r\n")
    assert b"Trailer" not in out
    decoded, _ = feed_all(Chunked(plain=True), out, 1000)
    assert decoded == b"abcde"


def test_chunked_extension_does_not_go_on() -> None:
    assert feed_all(Chunked(), b"3;secret=1\r\nabc\r\n0\r\n\r\n", 1000)[0] == b"3\r\nabc\r\n0\r\n\r\n"


@STEPS
def test_chunked_plain_has_no_chunks(step: int) -> None:
    assert feed_all(Chunked(plain=True), b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", step) == (b"abcde", b"")


def test_chunked_unfinished_is_not_completed() -> None:
    framing = Chunked()
    out = b"".join(framing.feed(memoryview(b"3\r\nabc\r\n")))
    assert not framing.done
    assert out == b"3\r\nabc\r\n"


def test_chunked_broken_raises() -> None:
    with pytest.raises(ChunkedError):
        Chunked().feed(memoryview(b"xyz\r\n"))


def test_chunked_over_the_limit_raises_before_the_excess_goes_on() -> None:
    framing = Chunked(max_bytes=4)
    framing.feed(memoryview(b"3\r\nabc\r\n"))
    with pytest.raises(ContentTooLarge, match="over 4 bytes"):
        framing.feed(memoryview(b"2\r\nde\r\n"))
