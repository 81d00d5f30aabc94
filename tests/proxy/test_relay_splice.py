"""Bulk that the relay does not read: what is paid, what is moved, and in what order it arrives."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from jobgate.proxy.content import Chunked, Framing, KnownLength
from jobgate.proxy.relay import PIECES_IN_A_ROW, End, Relay
from jobgate.proxy.splice import Splicer
from jobgate.proxy.wire import NARROW_BYTES
from jobgate.ratelimit import ByteQuota, FairQueue, Pacer, supply
from support.clock import VirtualClock
from support.pairs import drain, fill, reset, tcp_pair
from support.splicers import CountingSplicer
from support.wires import FakeWire

RATE, BURST, PIECE = 1000.0, 100, 50
CONTENT = bytes(range(251)) * 4

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def _pieces_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a rate, too."""
    monkeypatch.setattr(supply, "BULK_BYTES", PIECE)


@pytest.fixture
def splicer() -> Iterator[CountingSplicer]:
    splicer = CountingSplicer()
    yield splicer
    splicer.close()


class Rig:
    """A relay between wires that a test plays, over sockets that are real, under a virtual clock.

    What is spliced arrives at ``receiver``; what is written, in ``target.written``.
    """

    def __init__(
        self,
        source: Pair,
        target: Pair,
        splicer: Splicer,
        *,
        rate: float = RATE,
        max_bytes: int = 0,
        framing: Framing | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.sender, self.receiver = source[0], target[1]
        self.source, self.target = FakeWire(), FakeWire()
        self.source.sock, self.target.sock = source[1], target[0]
        self.quota = ByteQuota(max_bytes)
        self.exhausted: list[int] = []
        self.queue = FairQueue(
            rate,
            BURST,
            Pacer(self.clock.time, self.clock.call_at),
            cap_bytes=PIECE,
            quota=self.quota,
            on_exhausted=lambda: self.exhausted.append(self.quota.moved_bytes),
        )
        self.lane = self.queue.lane()
        self.relay = Relay(self.source, self.target, lane=self.lane, framing=framing, splicer=splicer)
        self.relay.start()

    def begin(self, queued: bytes = CONTENT, first: int = PIECE) -> None:
        """Have the kernel hold something, and the loop read a piece in front of it."""
        self.sender.sendall(queued)
        self.source.arrive(b"f" * first)

    def spliced(self) -> bytes:
        return drain(self.receiver)

    def tokens(self) -> float:
        assert self.queue.supply.bucket is not None
        return self.queue.supply.bucket.level(self.clock.time())


@pytest.fixture
def new_rig(splicer: CountingSplicer) -> Iterator[Callable[..., Rig]]:
    with ExitStack() as stack:
        yield lambda **options: Rig(
            stack.enter_context(tcp_pair()), stack.enter_context(tcp_pair()), splicer, **options
        )


NewRig = Callable[..., Rig]


def test_bulk_is_spliced_when_it_is_paid_and_read_again_behind_it(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.begin()
    assert (bytes(rig.target.written), rig.spliced()) == (b"f" * PIECE, CONTENT[:PIECE])
    assert not rig.source.reading
    rig.clock.advance(0.049)
    assert rig.spliced() == b""
    rig.clock.advance(0.002)
    assert rig.spliced() == CONTENT[PIECE : 2 * PIECE]
    rig.clock.advance(len(CONTENT) / RATE)
    assert rig.spliced() == CONTENT[2 * PIECE :]
    assert rig.source.reading
    assert rig.relay.moved_bytes == rig.quota.moved_bytes == PIECE + len(CONTENT)
    rig.source.end()
    assert rig.relay.end is End.EOF


@pytest.mark.parametrize("first", [1, PIECE - 1])
def test_small_reads_never_ask_the_kernel(new_rig: NewRig, splicer: CountingSplicer, first: int) -> None:
    rig = new_rig(rate=math.inf)
    rig.begin(first=first)
    assert (splicer.asked, rig.source.reading, rig.spliced()) == (0, True, b"")


def test_chunked_content_is_never_spliced(new_rig: NewRig, splicer: CountingSplicer) -> None:
    rig = new_rig(rate=math.inf, framing=Chunked())
    rig.sender.sendall(CONTENT)
    rig.source.arrive(b"fff\r\n" + b"f" * PIECE)
    assert (splicer.asked, rig.source.reading, rig.spliced()) == (0, True, b"")


@pytest.mark.parametrize("rate", [RATE, math.inf])
def test_content_of_known_length_is_spliced_to_its_end_and_no_further(new_rig: NewRig, rate: float) -> None:
    rig = new_rig(rate=rate, framing=KnownLength(PIECE + 70))
    rig.begin()
    rig.clock.advance(1.0)
    assert (bytes(rig.target.written), rig.spliced()) == (b"f" * PIECE, CONTENT[:70])
    assert rig.relay.end is End.COMPLETE
    assert rig.relay.moved_bytes == rig.quota.moved_bytes == PIECE + 70
    assert rig.source.sock.recv(2000) == CONTENT[70:]
    assert (rig.source.reading, rig.source.is_narrow) == (True, False)


def test_content_that_ends_early_is_not_complete(new_rig: NewRig) -> None:
    rig = new_rig(rate=math.inf, framing=KnownLength(2000))
    rig.begin()
    rig.source.end()
    assert rig.relay.end is End.EOF


def test_kernel_is_asked_only_where_what_it_said_before_is_used_up(
    new_rig: NewRig, splicer: CountingSplicer
) -> None:
    rig = new_rig()
    rig.begin(CONTENT[: 3 * PIECE])
    assert splicer.asked == 1
    rig.sender.sendall(CONTENT[3 * PIECE : 5 * PIECE])
    rig.clock.advance(1.0)
    assert rig.spliced() == CONTENT[: 5 * PIECE]
    assert splicer.asked == 3  # behind the third piece, and behind the last


def test_what_is_read_of_bulk_is_not_asked_for_again(new_rig: NewRig) -> None:
    left = PIECE - 5
    rig = new_rig(rate=math.inf, max_bytes=3 * PIECE + NARROW_BYTES + left)
    rig.begin(CONTENT[: 2 * PIECE + 30 + left])
    assert rig.spliced() == CONTENT[: 2 * PIECE]
    rig.source.sock.recv(30)
    rig.source.arrive(b"n" * NARROW_BYTES)
    assert rig.exhausted == []
    assert rig.spliced() == CONTENT[2 * PIECE + 30 : 2 * PIECE + 30 + left]


def test_reads_of_bulk_are_narrow_as_long_as_there_is_much(new_rig: NewRig) -> None:
    rig = new_rig(rate=math.inf)
    rig.begin()
    assert rig.source.is_narrow
    rig.source.arrive(b"n" * NARROW_BYTES)
    assert rig.source.is_narrow
    while rig.spliced():
        rig.source.arrive(b"n" * NARROW_BYTES)
    assert not rig.source.is_narrow


@pytest.mark.parametrize("lost", ["source", "target"])
def test_lost_wire_is_never_spliced(new_rig: NewRig, splicer: CountingSplicer, lost: str) -> None:
    rig = new_rig(rate=math.inf)
    (rig.source if lost == "source" else rig.target).is_lost = True
    rig.begin()
    assert (splicer.asked, rig.spliced()) == (0, b"")


def test_unlimited_bulk_leaves_turns_to_others(new_rig: NewRig) -> None:
    rig = new_rig(rate=math.inf)
    rig.begin()
    assert len(rig.spliced()) == PIECES_IN_A_ROW * PIECE
    assert rig.source.reading


def test_stop_while_waiting_takes_no_tokens_and_no_bytes(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.begin()
    rig.relay.stop()
    rig.clock.advance(1.0)
    assert (rig.relay.end, rig.tokens()) == (End.TARGET_LOST, BURST)
    assert rig.relay.moved_bytes == rig.quota.moved_bytes == 2 * PIECE
    assert rig.spliced() == CONTENT[:PIECE]


def test_source_lost_while_waiting_ends_the_relay(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.begin()
    rig.source.break_()
    rig.clock.advance(1.0)
    assert (rig.relay.end, rig.tokens()) == (End.SOURCE_LOST, BURST)


def test_source_reset_while_waiting_is_for_the_loop_to_see(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.begin(CONTENT[: 3 * PIECE])
    reset(rig.sender)
    rig.clock.advance(1.0)
    assert rig.spliced() == CONTENT[: 3 * PIECE]
    assert (rig.relay.end, rig.source.reading) == (None, True)
    with pytest.raises(ConnectionResetError):
        rig.source.sock.recv(1)


def test_reset_that_the_splice_has_met_ends_the_relay(new_rig: NewRig, splicer: CountingSplicer) -> None:
    rig = new_rig()
    rig.begin()
    splicer.error = ConnectionResetError()
    rig.clock.advance(1.0)
    assert (rig.relay.end, rig.source.error) == (End.SOURCE_LOST, splicer.error)
    assert rig.relay.moved_bytes == rig.quota.moved_bytes == 2 * PIECE
    assert rig.tokens() == BURST


def test_smaller_piece_of_a_new_rate_is_all_that_waits(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.begin()
    rig.queue.set_rate(RATE, 20)
    rig.spliced()
    other = rig.queue.lane()
    assert not other.request(10, lambda: None)
    rig.clock.advance(0.025)
    assert rig.spliced() == CONTENT[PIECE : PIECE + 10]
    assert not other.waiting  # nobody waits for a debt of the rate before
    rig.clock.advance(2.0)
    assert rig.spliced() == CONTENT[PIECE + 10 :]
    assert rig.relay.moved_bytes == rig.quota.moved_bytes - 10 == PIECE + len(CONTENT)


def test_byte_that_is_counted_and_never_spliced_is_passed_by_a_read(
    new_rig: NewRig, splicer: CountingSplicer
) -> None:
    rig = new_rig()
    rig.begin(CONTENT[: 2 * PIECE])
    splicer.most_bytes = 0  # as before an urgent byte of a unix socket (MSG_OOB), or with no descriptor left
    moves = splicer.moves
    rig.clock.advance(1.0)
    assert splicer.moves - moves == 1
    assert (rig.source.reading, rig.source.is_narrow, rig.lane.waiting) == (True, False, False)
    assert rig.quota.moved_bytes == rig.relay.moved_bytes
    assert rig.tokens() == BURST


def test_urgent_byte_of_a_unix_client_does_not_stop_the_others() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    splicer = CountingSplicer()
    with ours, theirs, tcp_pair() as target:
        rig = Rig((theirs, ours), target, splicer)
        theirs.send(CONTENT[: 2 * PIECE])
        try:
            theirs.send(b"!", socket.MSG_OOB)
        except OSError:
            pytest.skip("this kernel has no urgent bytes of unix sockets")
        rig.source.arrive(b"f" * PIECE)
        rig.clock.advance(1.0)
        assert splicer.moves < 10
        assert (rig.source.reading, rig.lane.waiting) == (True, False)
        assert rig.spliced() == CONTENT[: 2 * PIECE]
        assert rig.quota.moved_bytes == rig.relay.moved_bytes == 3 * PIECE
    splicer.close()


def test_rate_that_is_lifted_lets_go_of_what_waits(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.begin(CONTENT[: 3 * PIECE])
    rig.queue.set_rate(math.inf, 1)
    rig.clock.advance(0.001)
    assert rig.spliced() == CONTENT[: 3 * PIECE]
    assert rig.source.reading


def test_quota_is_never_passed_by_a_byte(new_rig: NewRig) -> None:
    rig = new_rig(max_bytes=4 * PIECE)
    rig.begin()
    rig.clock.advance(2.0)
    assert rig.exhausted == [4 * PIECE]
    assert rig.spliced() == CONTENT[: 3 * PIECE]
    assert rig.relay.moved_bytes == rig.quota.moved_bytes == 4 * PIECE


@pytest.mark.parametrize("most", [1, 7, 49])
def test_what_was_paid_and_did_not_come_is_given_back(
    new_rig: NewRig, splicer: CountingSplicer, most: int
) -> None:
    rig = new_rig()
    splicer.most_bytes = most
    rig.begin()
    while not rig.source.reading:
        rig.clock.advance(0.01)
        assert rig.relay.moved_bytes <= BURST + RATE * rig.clock.now
        if rig.source.reading and splicer.queued(rig.source.sock):
            rig.source.arrive(rig.source.sock.recv(PIECE))
    assert rig.relay.moved_bytes == rig.quota.moved_bytes == PIECE + len(CONTENT)
    assert rig.clock.now == pytest.approx((PIECE + len(CONTENT) - BURST) / RATE, abs=0.1)


def test_full_target_gets_the_rest_as_a_write_and_holds_the_source(new_rig: NewRig) -> None:
    rig = new_rig(rate=math.inf)
    fill(rig.target.sock)
    rig.target.room_bytes = PIECE
    rig.begin()
    assert bytes(rig.target.written) == b"f" * PIECE + CONTENT[:PIECE]
    assert not rig.source.reading
    rig.target.make_room()
    assert bytes(rig.target.written) == b"f" * PIECE + CONTENT[: (1 + PIECES_IN_A_ROW) * PIECE]
    assert rig.source.reading


def test_blocked_target_is_never_overtaken(new_rig: NewRig) -> None:
    rig = new_rig(rate=math.inf)
    rig.target.room_bytes = PIECE - 1
    rig.begin()
    assert (rig.spliced(), rig.source.reading) == (b"", False)
    rig.target.make_room()
    assert rig.spliced() == CONTENT[: PIECES_IN_A_ROW * PIECE]
