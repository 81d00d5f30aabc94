"""Token bucket: arithmetic against the clock that is passed in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.ratelimit import TokenBucket, default_burst_bytes, default_chunk_bytes

RATES = [8_000.0, 1_250_000.0, 125_000_000.0]


@pytest.mark.parametrize(
    ("rate", "burst"),
    [(8_000.0, 65_536), (1_250_000.0, 65_536), (16_384_000.0, 65_536), (125_000_000.0, 500_000)],
    ids=["64kbit", "10mbit", "edge", "1gbit"],
)
def test_default_burst_is_64_kib_or_4_ms(rate: float, burst: int) -> None:
    assert default_burst_bytes(rate) == burst


@pytest.mark.parametrize(
    ("rate", "burst", "cap", "chunk"),
    [
        (1_250_000.0, 65_536, 65_536, 32_768),
        (125_000_000.0, 500_000, 65_536, 65_536),
        (1_250_000.0, 4_001, 65_536, 2_000),
        (1_250_000.0, 1, 65_536, 1),
        (125_000.0, 65_536, 65_536, 12_500),
        (8_000.0, 65_536, 65_536, 800),
        (100.0, 65_536, 65_536, 512),
    ],
    ids=["default", "capped-by-buffer", "small-burst", "one-byte", "1mbit", "64kbit", "slowest"],
)
def test_default_chunk_is_half_the_burst_within_the_cap_and_a_tenth_of_a_second(
    rate: float, burst: int, cap: int, chunk: int
) -> None:
    assert default_chunk_bytes(rate, burst, cap) == chunk


def test_take_starts_with_a_full_burst_and_refuses_the_byte_behind_it() -> None:
    bucket = TokenBucket(1000.0, 500, 10.0)
    assert bucket.take(500, 10.0) == 0.0
    assert bucket.take(1, 10.0) > 0.0
    assert bucket.level(10.0) == 0.0


@pytest.mark.parametrize("rate", RATES)
def test_take_succeeds_exactly_after_delay(rate: float) -> None:
    bucket = TokenBucket(rate, 65_536, 0.0)
    assert bucket.take(65_536, 0.0) == 0.0
    delay_s = bucket.delay_s(32_768, 0.0)
    assert delay_s == pytest.approx(32_768 / rate)
    assert bucket.take(32_768, delay_s * 0.999) > 0.0
    assert bucket.take(32_768, delay_s * 1.000001) == 0.0


def test_delay_is_zero_while_tokens_are_there() -> None:
    assert TokenBucket(1000.0, 500, 0.0).delay_s(500, 0.0) == 0.0


def test_level_after_long_idle_is_one_burst() -> None:
    bucket = TokenBucket(1000.0, 500, 0.0)
    assert bucket.take(500, 0.0) == 0.0
    assert bucket.level(1e9) == 500.0


def test_level_when_the_clock_goes_back_gets_no_credit_twice() -> None:
    bucket = TokenBucket(1000.0, 500, 10.0)
    assert bucket.take(500, 10.0) == 0.0
    assert bucket.level(10.1) == pytest.approx(100.0)
    assert bucket.level(9.0) == pytest.approx(100.0)
    assert bucket.level(10.1) == pytest.approx(100.0)
    assert bucket.level(10.2) == pytest.approx(200.0)


def test_give_back_restores_tokens_but_never_above_the_burst() -> None:
    bucket = TokenBucket(1000.0, 500, 0.0)
    assert bucket.take(400, 0.0) == 0.0
    bucket.give_back(300)
    assert bucket.level(0.0) == 400.0
    bucket.give_back(300)
    assert bucket.level(0.0) == 500.0


def test_more_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    bucket = TokenBucket(1000.0, 500, 0.0)
    assert bucket.take(100, 0.0) == 0.0
    assert bucket.delay_s(800, 0.0) == pytest.approx(0.1)
    assert bucket.take(800, 0.09) > 0.0
    assert bucket.take(800, 0.1) == 0.0
    assert bucket.level(0.1) == pytest.approx(-300.0)
    assert bucket.delay_s(100, 0.1) == pytest.approx(0.4)


def test_drain_keeps_nothing_but_a_debt() -> None:
    bucket = TokenBucket(1000.0, 500, 0.0)
    bucket.drain(0.0)
    assert bucket.level(0.0) == 0.0
    assert bucket.level(0.5) == 500.0
    assert bucket.take(700, 0.5) == 0.0
    bucket.drain(0.5)
    assert bucket.level(0.5) == -200.0


@pytest.mark.parametrize(
    ("rate", "burst", "message"),
    [
        (0.0, 1, "rate is"),
        (-1.0, 1, "rate is"),
        (math.nan, 1, "rate is"),
        (math.inf, 1, "rate is"),
        (1.0, 0, "burst is"),
    ],
    ids=["zero", "negative", "nan", "infinite", "no-burst"],
)
def test_rate_and_burst_out_of_range_are_errors(rate: float, burst: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenBucket(rate, burst, 0.0)
    with pytest.raises(ValueError, match=message):
        TokenBucket(1.0, 1, 0.0).set_rate(rate, burst, 0.0)


def test_set_rate_counts_the_time_before_at_the_old_rate() -> None:
    bucket = TokenBucket(1000.0, 500, 0.0)
    assert bucket.take(500, 0.0) == 0.0
    bucket.set_rate(10.0, 500, 0.1)
    assert bucket.level(0.1) == pytest.approx(100.0)
    assert bucket.level(1.1) == pytest.approx(110.0)


def test_set_rate_makes_no_tokens_and_cuts_to_a_smaller_burst() -> None:
    bucket = TokenBucket(1000.0, 500, 0.0)
    bucket.set_rate(1000.0, 2000, 0.0)
    assert bucket.level(0.0) == 500.0
    bucket.set_rate(1000.0, 200, 0.0)
    assert bucket.level(0.0) == 200.0


def test_repr_shows_level_burst_and_rate() -> None:
    assert repr(TokenBucket(1000.0, 500, 0.0)) == "<TokenBucket 500/500 bytes, 1000 bytes/s>"


@given(
    rate=st.sampled_from(RATES),
    steps=st.lists(st.tuples(st.floats(-0.5, 2.0), st.integers(0, 65_536), st.booleans()), max_size=60),
)
def test_taken_never_exceeds_burst_plus_rate_times_time(
    rate: float, steps: list[tuple[float, int, bool]]
) -> None:
    bucket = TokenBucket(rate, 65_536, 0.0)
    now, latest, taken = 0.0, 0.0, 0
    for elapsed_s, n, aborted in steps:
        now += elapsed_s
        latest = max(latest, now)
        if bucket.take(n, now) == 0.0:
            taken += n
            if aborted:
                bucket.give_back(n)
                taken -= n
        assert taken <= 65_536 + rate * latest + 1e-3
        assert 0.0 <= bucket.level(now) <= 65_536
