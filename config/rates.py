"""Rates: bytes per second inside, the units of people outside."""

from __future__ import annotations

import math
import re

#: 10 Mbit/s in each direction, what a job gets when nothing is said.
DEFAULT_RATE = 1_250_000.0
#: Below one byte per second nothing arrives; above 8 Tbit/s no limit was meant.
MIN_RATE = 1.0
MAX_RATE = 1e12

_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{0,20})(?:/s)?")
# Bit units in any letter case (there is no other "bit"), byte units with a capital B.
_BITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_HOW = 'write "10mbit", "2.5MB", a number of bytes per second, or "unlimited"'


def parse_rate(value: str | int | float) -> float:
    """Read a rate.

    Args:
        value: A number of bytes per second; a text with a unit (``"10mbit"``,
            ``"2.5MB"``, ``"1GiB/s"``; without a unit: bytes); or ``"unlimited"``.

    Returns:
        Bytes per second; ``math.inf`` for unlimited.

    Raises:
        ValueError: Not a rate, or not from 1 byte/s to 1e12 bytes/s.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a rate: {_HOW}")
    if isinstance(value, str) and value.strip(" ").lower() == "unlimited":
        return math.inf
    rate = _parse_text(value.strip(" ")) if isinstance(value, str) else value
    # NaN fails both comparisons.
    if not MIN_RATE <= rate <= MAX_RATE:
        # An integer of TOML may have more digits than str() converts.
        shown = "more than 1e12" if rate > MAX_RATE else f"{value!s:.24}"
        raise ValueError(f"a rate is from 1 byte/s to 1e12 bytes/s, got {shown}: {_HOW}")
    return float(rate)


def _parse_text(text: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"not a rate: {_HOW}")
    number, unit = match.groups()
    if unit in _BYTES:
        return float(number) * _BYTES[unit]
    if unit.lower() in _BITS:
        return float(number) * _BITS[unit.lower()] / 8
    raise ValueError(f'unknown unit "{unit}": {_HOW}')


def format_rate(rate: float) -> str:
    """Write a rate in bits, as ``parse_rate`` reads it: ``"10mbit"``, ``"unlimited"``."""
    if math.isinf(rate):
        return "unlimited"
    bits = rate * 8
    unit = max((unit for unit in _BITS if _BITS[unit] <= bits), key=_BITS.__getitem__)
    return f"{bits / _BITS[unit]:.6g}{unit}"
