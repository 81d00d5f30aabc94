"""Rates as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.rates import DEFAULT_RATE, MAX_RATE, MIN_RATE, format_rate, parse_rate


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("10mbit", 1_250_000.0),
        ("10Mbit", 1_250_000.0),
        ("10 mbit", 1_250_000.0),
        ("10Mbit/s", 1_250_000.0),
        ("8bit", 1.0),
        ("64kbit", 8000.0),
        ("1gbit", 125_000_000.0),
        ("2.5MB", 2_500_000.0),
        ("1kB", 1000.0),
        ("1MiB", 1_048_576.0),
        ("1GiB/s", 1_073_741_824.0),
        ("512B", 512.0),
        ("1250000", 1_250_000.0),
        (1_250_000, 1_250_000.0),
        (0.5e6, 500_000.0),
        ("unlimited", math.inf),
        (" Unlimited ", math.inf),
    ],
)
def test_parse_rate(value: str | float, rate: float) -> None:
    assert parse_rate(value) == rate


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(0, "from 1 byte/s", id="D-zero"),
        pytest.param("0mbit", "from 1 byte/s", id="D-zero-text"),
        pytest.param(-1, "from 1 byte/s", id="D-negative"),
        pytest.param("-1mbit", "not a rate", id="D-negative-text"),
        pytest.param(math.nan, "from 1 byte/s", id="D-nan"),
        pytest.param("nan", "not a rate", id="D-nan-text"),
        pytest.param(math.inf, "from 1 byte/s", id="infinite"),
        pytest.param(1e13, "from 1 byte/s", id="absurd"),
        pytest.param("10parsec", 'unknown unit "parsec"', id="D-unit"),
        pytest.param("10mbps", 'unknown unit "mbps"', id="bits-or-bytes"),
        pytest.param("10Mb", 'unknown unit "Mb"', id="lower-b"),
        pytest.param("", "not a rate", id="empty"),
        pytest.param("mbit", "not a rate", id="no-number"),
        pytest.param("1e3", "unknown unit|not a rate", id="exponent"),
        pytest.param("1_000", "not a rate", id="underscore"),
        pytest.param("+1mbit", "not a rate", id="plus"),
        pytest.param("１mbit", "not a rate", id="wide-digit"),
        pytest.param("10mbit\n", "not a rate", id="newline"),
        pytest.param("1" * 5000, "not a rate", id="long"),
        pytest.param(1 << 20_000, "^a rate is from 1 byte/s .* got more than 1e12: ", id="long-number"),
        pytest.param("1" + "a" * 5000, "not a rate", id="long-unit"),
        pytest.param(True, "not a rate", id="bool"),
    ],
)
def test_parse_rate_refuses(value: str | float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rate(value)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(DEFAULT_RATE, "10mbit"), (math.inf, "unlimited"), (125e6, "1gbit"), (1000, "8kbit"), (1, "8bit")],
)
def test_format_rate(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@given(st.floats(MIN_RATE, MAX_RATE / 2))
def test_format_rate_reads_back(rate: float) -> None:
    assert parse_rate(format_rate(rate)) == pytest.approx(rate, rel=1e-5)
