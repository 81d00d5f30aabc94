from __future__ import annotations

import math

import pytest

from jobgate.config.load import load_text
from jobgate.config.policy import PolicyError
from jobgate.proxy.job import Direction, Job, receive_buffer_bytes
from jobgate.proxy.pool import IdleBudget
from jobgate.ratelimit.pacer import Pacer
from support.clock import VirtualClock

KIB = 1024
RELAY_BUFFER = 64 * KIB


def pacer() -> Pacer:
    clock = VirtualClock()
    return Pacer(clock.time, clock.call_at)


def job(text: str = "", *, tables: str = "") -> Job:
    """Load one job with further lines."""
    settings = load_text(
        f'{tables}\n[[job]]\nid = "train-1"\nnetwork = "http"\nlisten = "127.0.0.1:0"\n'
        f'domains = ["ok.test"]\n{text}'
    )
    return Job(settings.jobs[0], settings, pacer(), IdleBudget(10))


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
    assert Direction(rate, None, RELAY_BUFFER, pacer()).receive_buffer_bytes == bound


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
    direction = Direction(rate, burst, relay_buffer, pacer())
    assert direction.piece_bytes == piece
    lane = direction.lane()
    assert (lane is None) == math.isinf(rate)
    assert lane is None or lane.request(piece, lambda: None)


def test_connections_of_a_direction_share_one_bucket() -> None:
    direction = Direction(1000.0, 100, RELAY_BUFFER, pacer())
    first, second = direction.lane(), direction.lane()
    assert first is not None
    assert second is not None
    assert first.request(50, lambda: None)
    assert first.request(50, lambda: None)
    assert not second.request(50, lambda: None)


def test_directions_have_buckets_of_their_own() -> None:
    limited = job()
    up, down = limited.up.lane(), limited.down.lane()
    assert up is not None
    assert down is not None
    while up.request(32 * KIB, lambda: None):
        pass
    assert down.request(32 * KIB, lambda: None)


@pytest.mark.parametrize(
    ("own", "limit", "cap"), [(10, 20, 10), (20, 10, 10), (7, 7, 7)], ids=["own", "limit", "equal"]
)
def test_smaller_cap_of_connections_wins_and_twice_as_many_are_heard(own: int, limit: int, cap: int) -> None:
    caps = job(f"max_connections = {own}", tables=f"[limits]\nmax_connections_per_job = {limit}").caps
    assert (caps.connections, caps.heard) == (cap, 2 * cap)


def test_rate_is_bounded_by_the_node() -> None:
    bounded = job('rate_up = "unlimited"', tables='[node]\nmax_rate_up = "8mbit"')
    assert bounded.up.receive_buffer_bytes == 500_000


def test_domain_outside_the_node_is_an_error() -> None:
    settings = job().settings
    node = load_text('[node]\nallow = ["other.test"]')
    with pytest.raises(PolicyError, match=r"ok\.test"):
        Job(settings, node, pacer(), IdleBudget(10))


@pytest.mark.parametrize(
    ("text", "header"),
    [('job_header = "X-Job"', (b"X-Job", b"train-1")), ("", None)],
    ids=["named", "absent"],
)
def test_job_header_names_the_job(text: str, header: tuple[bytes, bytes] | None) -> None:
    assert job(text).header == header
