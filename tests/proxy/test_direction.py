from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from jobgate.proxy.direction import Direction, receive_buffer_bytes
from jobgate.ratelimit.pacer import Pacer
from jobgate.ratelimit.total import NodeTotal
from support.clock import VirtualClock

KIB = 1024
RELAY_BUFFER = 64 * KIB


def nobody() -> None:
    """A callback for requests whose grant does not matter."""


def make(
    rate: float,
    burst: int | None = None,
    buffer_bytes: int = RELAY_BUFFER,
    *,
    clock: VirtualClock | None = None,
    max_bytes: int = 0,
    used_bytes: int = 0,
    on_exhausted: Callable[[], None] | None = None,
) -> Direction:
    clock = clock or VirtualClock()
    return Direction(
        rate,
        burst,
        memoryview(bytearray(buffer_bytes)),
        Pacer(clock.time, clock.call_at),
        max_bytes=max_bytes,
        used_bytes=used_bytes,
        on_exhausted=on_exhausted,
    )


@pytest.mark.parametrize(
    ("rate", "bound"),
    [
        (math.inf, None),
        (1.0, 256 * KIB),
        (512.0 * KIB, 256 * KIB),
        (1_250_000.0, 625_000),
        (125_000_000.0, 62_500_000),
    ],
    ids=["unlimited", "lowest", "edge", "default", "1-gbit"],
)
def test_receive_buffer_holds_half_a_second_but_never_starves_a_long_path(
    rate: float, bound: int | None
) -> None:
    assert receive_buffer_bytes(rate) == bound
    assert make(rate).receive_buffer_bytes == bound


@pytest.mark.parametrize(
    ("rate", "burst", "relay_buffer", "piece"),
    [
        (math.inf, None, RELAY_BUFFER, RELAY_BUFFER),
        (math.inf, 100, RELAY_BUFFER, RELAY_BUFFER),
        (1_250_000.0, None, RELAY_BUFFER, 32 * KIB),
        (1_250_000.0, 10_000, RELAY_BUFFER, 5_000),
        (1_250_000.0, 1, RELAY_BUFFER, 1),
        (125_000_000.0, None, RELAY_BUFFER, 64 * KIB),
        (125_000_000.0, None, 16 * KIB, 16 * KIB),
    ],
    ids=["unlimited", "unlimited-with-burst", "default", "burst", "burst-of-1", "fast", "small-buffer"],
)
def test_piece_is_half_the_burst_and_fits_the_relay_buffer(
    rate: float, burst: int | None, relay_buffer: int, piece: int
) -> None:
    direction = make(rate, burst, relay_buffer)
    lane = direction.lane()
    assert direction.piece_bytes == len(direction.window) == lane.piece_bytes == piece
    assert lane.request(piece, nobody)


def test_connections_of_a_direction_share_one_bucket() -> None:
    direction = make(1000.0, 100)
    first, second = direction.lane(), direction.lane()
    assert first.request(50, nobody)
    assert first.request(50, nobody)
    assert not second.request(50, nobody)


# Live


def test_set_limits_changes_everything_that_depends_on_the_rate() -> None:
    direction = make(1_250_000.0)
    lane = direction.lane()
    seen = []
    for rate, burst in ((8_000.0, 4_096), (math.inf, None), (125_000_000.0, None)):
        direction.set_limits(rate, burst, 0)
        seen.append(
            (
                lane.piece_bytes,
                len(direction.window),
                direction.receive_buffer_bytes,
                direction.send_buffer_bytes,
            )
        )
    assert seen == [
        (800, 800, 256 * KIB, 128 * KIB),
        (64 * KIB, 64 * KIB, None, None),
        (64 * KIB, 64 * KIB, 62_500_000, 375_000),
    ]


def test_send_buffer_holds_two_pieces() -> None:
    assert make(1e9, buffer_bytes=1024 * KIB).send_buffer_bytes == 2048 * KIB


@pytest.mark.parametrize("rate", [1_250_000.0, 12_500.0, math.inf], ids=["same", "lower", "unlimited"])
def test_set_limits_wakes_what_waits_at_the_new_rate(rate: float) -> None:
    clock = VirtualClock()
    direction = make(1_250_000.0, clock=clock)
    direction.lane().request(64 * KIB, nobody)
    granted: list[float] = []
    lane = direction.lane()
    assert not lane.request(12_500, lambda: granted.append(clock.now))
    direction.set_limits(rate, None, 0)
    clock.advance(2.0)
    assert granted == [pytest.approx(12_500 / rate, abs=0.0011)]
    assert lane.waited_s == direction.waited_s == pytest.approx(granted[0])


def test_share_divides_rate_and_burst_and_can_be_taken_back() -> None:
    clock = VirtualClock()
    direction = make(1_250_000.0, clock=clock)
    lane = direction.lane()
    for share, piece in ((0.5, 16 * KIB), (1.0, 32 * KIB)):
        direction.set_share(share)
        while lane.request(piece, nobody):
            pass
        waited_s = lane.waited_s
        assert (direction.piece_bytes, direction.waiting) == (piece, 1)
        clock.advance(1.0)
        assert lane.waited_s - waited_s == pytest.approx(piece / (1_250_000.0 * share), abs=0.0021)


def test_share_keeps_to_the_limits_that_change_meanwhile() -> None:
    direction = make(1_250_000.0)
    direction.set_share(0.5)
    direction.set_limits(math.inf, None, 0)
    assert direction.lane().request(10**9, nobody)
    direction.set_limits(8_000.0, 1, 0)
    assert direction.piece_bytes == 1


def test_two_halves_release_no_more_than_the_whole() -> None:
    """Both processes of an upgrade with full buckets: one burst together."""
    bursts = 0
    for _ in range(2):
        direction = make(1_250_000.0)
        direction.set_share(0.5)
        lane = direction.lane()
        while lane.request(1_024, nobody):
            bursts += 1_024
    assert bursts == 64 * KIB


# Counts and quota


def test_moved_bytes_counts_live_what_was_granted_and_not_given_back() -> None:
    direction = make(math.inf, used_bytes=1_000)
    lane = direction.lane()
    assert lane.request(300, nobody)
    lane.give_back(100)
    assert direction.moved_bytes == 1_200
    assert not direction.exhausted


def test_quota_counts_what_was_used_before_and_tells_its_end_once() -> None:
    clock, told = VirtualClock(), 0

    def on_exhausted() -> None:
        nonlocal told
        told += 1

    direction = make(math.inf, clock=clock, max_bytes=1_000, used_bytes=700, on_exhausted=on_exhausted)
    lane = direction.lane()
    assert lane.request(300, nobody)
    assert direction.exhausted
    for _ in range(3):
        assert not lane.request(1, pytest.fail)
        lane.cancel()
    assert told == 0
    clock.advance(1.0)
    assert (told, direction.moved_bytes) == (1, 1_000)


@pytest.mark.parametrize("max_bytes", [2_000, 0], ids=["larger", "lifted"])
def test_quota_that_grows_lets_the_waiting_go_on(max_bytes: int) -> None:
    clock = VirtualClock()
    direction = make(math.inf, clock=clock, max_bytes=100)
    granted: list[float] = []
    assert not direction.lane().request(101, lambda: granted.append(clock.now))
    assert direction.exhausted
    direction.set_limits(math.inf, None, max_bytes)
    assert not direction.exhausted
    clock.advance(1.0)
    assert len(granted) == 1


# The node's total


def test_total_bounds_all_directions_until_they_close() -> None:
    clock = VirtualClock()
    pacer = Pacer(clock.time, clock.call_at)
    total = NodeTotal(8_000.0, pacer)
    scratch = memoryview(bytearray(RELAY_BUFFER))
    first, second = (Direction(math.inf, None, scratch, pacer, total=total) for _ in range(2))
    assert first.lane().request(128 * KIB, nobody)
    lane = second.lane()
    assert not lane.request(800, nobody)
    clock.advance(0.1011)
    assert lane.waited_s == pytest.approx(0.1, abs=0.0011)
    second.close()
    assert lane.request(10**9, nobody)
    assert not first.lane().request(800, nobody)


def test_close_without_a_total_is_nothing() -> None:
    direction = make(1_000.0)
    direction.close()
    assert direction.lane().request(1, nobody)
