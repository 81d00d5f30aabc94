from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from jobgate.proxy.content import Chunked, Framing, KnownLength
from jobgate.proxy.relay import End, Relay
from jobgate.ratelimit.fair import FairQueue
from jobgate.ratelimit.pacer import Pacer
from support.clock import VirtualClock
from support.lanes import free_lane
from support.splicers import NoSplicer
from support.wires import FakeWire

RATE = 1000.0
BURST = 100


class Rig:
    """A relay between two fake wires, limited or not, under a virtual clock."""

    def __init__(
        self,
        *,
        limited: bool = False,
        framing: Framing | None = None,
        room_bytes: int | None = None,
        preface: bytes = b"",
        inbox: bytes = b"",
    ) -> None:
        self.clock = VirtualClock()
        self.source = FakeWire()
        self.source.inbox += inbox
        self.target = FakeWire(room_bytes)
        self.queue = FairQueue(
            RATE if limited else math.inf, BURST, Pacer(self.clock.time, self.clock.call_at), cap_bytes=50
        )
        self.lane = self.queue.lane()
        self.relay = Relay(
            self.source, self.target, lane=self.lane, framing=framing, preface=preface, splicer=NoSplicer()
        )
        self.relay.start()

    def tokens(self) -> float:
        assert self.queue.supply.bucket is not None
        return self.queue.supply.bucket.level(self.clock.time())


def test_relay_unlimited_passes_every_byte_and_the_end() -> None:
    rig = Rig()
    rig.source.arrive(b"one ")
    rig.source.arrive(b"two")
    rig.source.end()
    assert rig.target.written == b"one two"
    assert (rig.relay.end, rig.relay.moved_bytes) == (End.EOF, 7)


def test_relay_passes_what_the_source_had_read_before() -> None:
    rig = Rig(inbox=b"early ")
    rig.source.arrive(b"late")
    assert rig.target.written == b"early late"
    assert not rig.source.inbox


def test_relay_stops_reading_until_the_target_has_taken_all() -> None:
    rig = Rig(room_bytes=3)
    rig.source.arrive(b"12345")
    assert not rig.source.reading
    rig.target.make_room()
    assert rig.source.reading
    rig.source.arrive(b"678")
    assert rig.target.written == b"12345678"


def test_relay_passes_the_end_on_only_behind_blocked_bytes() -> None:
    rig = Rig(room_bytes=0)
    rig.source.arrive(b"x")
    rig.source.end()
    assert rig.relay.end is None
    rig.target.make_room()
    assert rig.relay.end is End.EOF


def test_relay_limited_holds_bytes_until_their_tokens_are_there() -> None:
    rig = Rig(limited=True)
    rig.source.arrive(b"a" * 50)
    rig.source.arrive(b"b" * 50)
    rig.source.arrive(b"c" * 50)
    assert rig.target.written == b"a" * 50 + b"b" * 50
    assert not rig.source.reading
    rig.clock.advance(0.049)
    assert len(rig.target.written) == 100
    rig.clock.advance(0.003)
    assert rig.target.written[100:] == b"c" * 50
    assert rig.source.reading


def test_relay_limited_splits_an_inbox_larger_than_the_burst() -> None:
    rig = Rig(limited=True, inbox=b"x" * 240)
    assert len(rig.target.written) == 100
    rig.clock.advance(0.2)
    assert len(rig.target.written) == 240


def test_relay_limited_end_waits_for_the_held_bytes() -> None:
    rig = Rig(limited=True, inbox=b"x" * 120)
    rig.source.end()
    assert rig.relay.end is None
    rig.clock.advance(0.1)
    assert rig.relay.end is End.EOF
    assert len(rig.target.written) == 120


def test_relay_stopped_while_waiting_takes_no_tokens() -> None:
    rig = Rig(limited=True, inbox=b"x" * 120)
    rig.relay.stop()
    rig.clock.advance(1.0)
    assert rig.relay.end is End.TARGET_LOST
    assert rig.tokens() == BURST
    assert len(rig.target.written) == 100


def test_relay_source_reset_throws_held_bytes_away() -> None:
    rig = Rig(limited=True, inbox=b"x" * 120)
    rig.source.break_()
    rig.clock.advance(1.0)
    assert rig.relay.end is End.SOURCE_LOST
    assert len(rig.target.written) == 100


@pytest.mark.parametrize(
    ("new_framing", "stream", "written", "rest"),
    [
        pytest.param(lambda: KnownLength(5), b"helloGET /", b"hello", b"GET /", id="length"),
        pytest.param(lambda: KnownLength(0), b"GET /", b"", b"GET /", id="empty"),
        pytest.param(
            Chunked,
            b"5;x=1\r\nhello\r\n0\r\nA: b\r\n\r\nGET",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"GET",
            id="chunked",
        ),
        pytest.param(
            lambda: Chunked(plain=True), b"5\r\nhello\r\n0\r\n\r\nX", b"hello", b"X", id="chunked-to-plain"
        ),
    ],
)
@pytest.mark.parametrize("limited", [False, True], ids=["unlimited", "limited"])
def test_relay_framed_ends_with_the_content_and_leaves_the_rest(
    new_framing: Callable[[], Framing], stream: bytes, written: bytes, rest: bytes, limited: bool
) -> None:
    rig = Rig(framing=new_framing(), inbox=stream, limited=limited)
    assert rig.relay.end is End.COMPLETE
    assert rig.target.written == written
    assert rig.source.inbox == rest
    assert rig.source.reader is None


def test_relay_framed_gives_back_the_tokens_of_what_follows() -> None:
    rig = Rig(framing=KnownLength(5), limited=True)
    rig.source.arrive(b"hello" + b"n" * 40)
    assert rig.tokens() == BURST - 5
    assert rig.relay.moved_bytes == 5


def test_relay_framed_cut_source_is_not_complete() -> None:
    rig = Rig(framing=KnownLength(5))
    rig.source.arrive(b"hell")
    rig.source.end()
    assert rig.relay.end is End.EOF


def test_relay_framed_broken_content_is_invalid() -> None:
    rig = Rig(framing=Chunked())
    rig.source.arrive(b"zz\r\n")
    assert rig.relay.end is End.INVALID
    assert isinstance(rig.relay.error, ValueError)
    assert not rig.target.written


@pytest.mark.parametrize("limited", [False, True], ids=["unlimited", "limited"])
@pytest.mark.parametrize("inbox", [b"", b"body"], ids=["alone", "with-content"])
def test_relay_preface_goes_first(limited: bool, inbox: bytes) -> None:
    rig = Rig(framing=KnownLength(4), preface=b"HEAD ", inbox=inbox, limited=limited)
    assert rig.target.written == b"HEAD " + inbox
    if not inbox:
        rig.source.arrive(b"body")
    assert rig.target.written == b"HEAD body"


async def test_wait_returns_the_end() -> None:
    rig = Rig()
    rig.source.end()
    assert await rig.relay.wait() is End.EOF


@pytest.mark.parametrize("limited", [False, True], ids=["unlimited", "limited"])
@pytest.mark.parametrize(("content", "end"), [(b"12345", End.COMPLETE), (b"1234", End.SOURCE_LOST)])
def test_relay_framed_passes_on_what_came_before_the_reset(content: bytes, end: End, limited: bool) -> None:
    rig = Rig(framing=KnownLength(120), limited=limited)
    rig.source.arrive(b"x" * 50)
    rig.source.arrive(b"x" * 50)
    rig.source.arrive(b"x" * 15 + content)
    rig.source.break_()
    rig.clock.advance(1.0)
    assert rig.relay.end is end
    assert rig.target.written == b"x" * 115 + content


def test_relay_framed_started_after_the_reset_passes_on_what_came_before() -> None:
    source, target = FakeWire(), FakeWire()
    source.inbox += b"12345"
    source.is_lost = True
    relay = Relay(source, target, lane=free_lane(), framing=KnownLength(5), preface=b"head")
    relay.start()
    assert (relay.end, bytes(target.written)) == (End.COMPLETE, b"head12345")


def test_relay_complete_reads_on_so_that_a_reset_is_noticed() -> None:
    rig = Rig(framing=KnownLength(120), limited=True)
    rig.source.arrive(b"x" * 50)
    rig.source.arrive(b"x" * 50)
    rig.source.arrive(b"x" * 20)
    assert not rig.source.reading
    rig.clock.advance(1.0)
    assert rig.relay.end is End.COMPLETE
    assert rig.source.reading


@pytest.mark.parametrize("limited", [False, True], ids=["unlimited", "limited"])
def test_relay_preface_is_written_although_no_content_may_follow(limited: bool) -> None:
    rig = Rig(framing=KnownLength(0), preface=b"head", inbox=b"stray", limited=limited)
    assert (rig.relay.end, bytes(rig.target.written)) == (End.COMPLETE, b"head")
    assert rig.source.inbox == b"stray"


# Rates that change, and targets that are blocked


@pytest.mark.parametrize(("rate", "burst"), [(RATE, 20), (math.inf, 1), (RATE / 10, 200)], ids=str)
def test_relay_passes_the_piece_that_was_paid_whatever_the_rate_became(rate: float, burst: int) -> None:
    rig = Rig(limited=True, inbox=bytes(range(200)))
    assert len(rig.target.written) == 100
    rig.queue.set_rate(rate, burst)
    rig.clock.advance(3.0)
    assert rig.target.written == bytes(range(200))
    assert rig.queue.supply.quota.moved_bytes == 200
    assert rig.source.reading


def test_relay_asks_for_pieces_of_the_rate_of_now() -> None:
    rig = Rig(limited=True, inbox=b"x" * 250)
    rig.queue.set_rate(RATE, 10)
    rig.clock.advance(0.045)  # the piece of 50 that was asked for before, and what it owes
    assert len(rig.target.written) == 150
    rig.clock.advance(0.015)
    assert 150 < len(rig.target.written) <= 160


def test_relay_of_an_exhausted_quota_passes_nothing_more() -> None:
    rig = Rig()
    rig.queue.set_quota(7)
    rig.source.arrive(b"12345")
    rig.source.arrive(b"678")
    rig.clock.advance(1.0)
    assert rig.target.written == b"12345"
    assert not rig.source.reading
    rig.relay.stop()
    assert not rig.lane.waiting


def test_relay_whose_target_is_blocked_does_not_stand_in_the_queue() -> None:
    rig = Rig(limited=True, room_bytes=10, inbox=b"x" * 120)
    assert rig.target.blocked
    assert not rig.lane.waiting
    rig.target.make_room()
    assert len(rig.target.written) == 100
    assert rig.lane.waiting


def test_relay_whose_preface_blocks_the_target_leaves_the_queue() -> None:
    rig = Rig(limited=True)
    assert rig.queue.lane().request(BURST, lambda: None)
    source, target = FakeWire(), FakeWire(room_bytes=2)
    source.inbox += b"12345"
    lane = rig.queue.lane()
    Relay(source, target, lane=lane, framing=KnownLength(5), preface=b"head").start()
    assert (bytes(target.written), target.blocked, lane.waiting) == (b"head", True, False)
    target.make_room()
    rig.clock.advance(0.1)
    assert target.written == b"head12345"
