"""Token bucket: how many bytes may pass now, and when the next ones may.

Pure arithmetic. Every method takes the time (float seconds of one monotonic
clock), so that tests need no waiting and a caller decides how often it looks at
its clock. Refuses to wait, to queue and to know about connections: ``fair.py``.
"""

from __future__ import annotations

import math

MIN_BURST_BYTES = 64 * 1024
"""Two chunks of 32 KiB: with one alone, every late timer would lose rate."""

BURST_S = 0.004
"""Least burst in time: at high rates 64 KiB is less than a few timer steps of 1 ms."""


CHUNK_S = 0.1
"""Most time whose tokens one chunk takes: matters below 2.6 Mbit/s."""

MIN_CHUNK_BYTES = 512
"""Smaller ones would cost more calls than a slow rate is worth."""


def default_burst_bytes(rate_bytes_per_s: float) -> int:
    """Burst of a job that names none: ``max(64 KiB, 4 ms x rate)``."""
    return max(MIN_BURST_BYTES, int(BURST_S * rate_bytes_per_s))


def default_chunk_bytes(rate_bytes_per_s: float, burst_bytes: int, cap_bytes: int) -> int:
    """Most bytes to ask for at once: half the burst, at most ``cap_bytes`` (the relay's buffer).

    A chunk as large as the burst loses rate: whatever time its grant is late, the
    full bucket overflows. At low rates a chunk is at most ``CHUNK_S`` of the rate: over ten
    seconds the total is then exact to a hundredth.
    """
    slow_bytes = max(MIN_CHUNK_BYTES, int(CHUNK_S * rate_bytes_per_s))
    return max(1, min(burst_bytes // 2, cap_bytes, slow_bytes))


class TokenBucket:
    """Releases at most ``burst + rate x t`` bytes in any time ``t``. Starts full.

    What is larger than the burst is released by a full bucket and leaves a debt that the
    next bytes wait for: so a rate may be lowered while larger pieces are held, and the bound
    is exceeded by that piece's excess at most. A clock that goes back gives no credit until
    it has caught up; one that jumps forward gives at most one burst.

    Args:
        rate_bytes_per_s: Positive and finite; "unlimited" is for the caller, who needs no bucket.
        burst_bytes: Most tokens that idle time can save, at least 1.
        now: Seconds.

    Raises:
        ValueError: The rate or the burst is out of range.
    """

    __slots__ = ("_level", "_updated_at", "burst_bytes", "rate_bytes_per_s")

    def __init__(self, rate_bytes_per_s: float, burst_bytes: int, now: float) -> None:
        _check(rate_bytes_per_s, burst_bytes)
        self.rate_bytes_per_s = rate_bytes_per_s
        self.burst_bytes = burst_bytes
        self._level = float(burst_bytes)
        self._updated_at = now

    def __repr__(self) -> str:
        return f"<TokenBucket {self._level:.0f}/{self.burst_bytes} bytes, {self.rate_bytes_per_s:g} bytes/s>"

    def level(self, now: float) -> float:
        """Tokens there at ``now``, in bytes; below zero is a debt."""
        elapsed_s = now - self._updated_at
        if elapsed_s > 0.0:
            self._updated_at = now
            level = self._level + elapsed_s * self.rate_bytes_per_s
            self._level = level if level < self.burst_bytes else float(self.burst_bytes)
        return self._level

    def take(self, n: int, now: float) -> float:
        """Take all ``n`` tokens and return 0; or none, and return ``delay_s``."""
        # As ``level`` does, without the call: this is the way of every piece.
        level, elapsed_s = self._level, now - self._updated_at
        if elapsed_s > 0.0:
            self._updated_at = now
            level += elapsed_s * self.rate_bytes_per_s
            if level > self.burst_bytes:
                level = float(self.burst_bytes)
        if level < n and level < self.burst_bytes:
            self._level = level
            return (min(n, self.burst_bytes) - level) / self.rate_bytes_per_s
        self._level = level - n
        return 0.0

    def delay_s(self, n: int, now: float) -> float:
        """Seconds from ``now`` until ``n`` tokens can be taken, if nobody takes any."""
        missing = min(n, self.burst_bytes) - self.level(now)
        return missing / self.rate_bytes_per_s if missing > 0.0 else 0.0

    def give_back(self, n: int) -> None:
        """Return ``n`` tokens that were taken and not used; never fills above the burst."""
        self._level = min(self._level + n, float(self.burst_bytes))

    def drain(self, now: float) -> None:
        """Throw away what is there: the rate begins with nothing saved."""
        self._level = min(self.level(now), 0.0)

    def set_rate(self, rate_bytes_per_s: float, burst_bytes: int, now: float) -> None:
        """Go on with another rate and burst: time until ``now`` counts at the old rate.

        The change itself makes no tokens: what is above a smaller burst is lost, a
        larger burst fills up in its time.

        Raises:
            ValueError: The rate or the burst is out of range.
        """
        _check(rate_bytes_per_s, burst_bytes)
        self._level = min(self.level(now), float(burst_bytes))
        self.rate_bytes_per_s = rate_bytes_per_s
        self.burst_bytes = burst_bytes


def _check(rate_bytes_per_s: float, burst_bytes: int) -> None:
    if not (rate_bytes_per_s > 0.0 and math.isfinite(rate_bytes_per_s)):
        raise ValueError(f"rate is {rate_bytes_per_s} bytes/s, expected a positive, finite number")
    if burst_bytes < 1:
        raise ValueError(f"burst is {burst_bytes} bytes, expected at least 1")
