"""What a grant is made of: room in the job's quota, tokens of the job, tokens of the node.

All or nothing, and in this order, so that nobody holds tokens of the node who could not
use them. A rate may be infinite: then there is no bucket, and bytes are only counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from .bucket import TokenBucket, default_chunk_bytes
from .quota import ByteQuota

BULK_BYTES = 512 * 1024
"""Moved at once inside the kernel where nothing limits it: as much as a large pipe holds."""


#: Of the burst, where that is large: half would leave 2 ms of the rate, which a busy process is late.
BULK_SHARE = 3 / 8


class Upper(Protocol):
    """The place of a whole job in the queue of the node: a ``Lane``."""

    def request(self, n: int, granted: Callable[[], None]) -> bool: ...

    def cancel(self) -> None: ...

    def give_back(self, n: int) -> None: ...


class Supply:
    """Tokens for the first request of one queue; only that one ever asks.

    Args:
        rate_bytes_per_s: ``math.inf``: no bucket.
        burst_bytes: Of the bucket, which begins full.
        now: Seconds.
        cap_bytes: Most that one request is to ask for, at any rate.
        quota: Counts what is taken, and may end it.
        on_upper: Called when the node has granted what ``take`` could not take at once.
        on_exhausted: Called when the quota is refused for the first time.

    Attributes:
        free: Nothing is needed but room in the quota.
        piece_bytes: The most that one request is to ask for at the rate of now …
        most_bytes: … and where its bytes take no memory.
        slack_s: How late a request may be granted before the bucket overflows.

    Raises:
        ValueError: The rate or the burst is out of range.
    """

    __slots__ = (
        "_asked_bytes",
        "_cap_bytes",
        "_on_exhausted",
        "_on_upper",
        "_take",
        "_upper",
        "bucket",
        "free",
        "most_bytes",
        "piece_bytes",
        "quota",
        "slack_s",
    )

    def __init__(
        self,
        rate_bytes_per_s: float,
        burst_bytes: int,
        now: float,
        *,
        cap_bytes: int,
        quota: ByteQuota,
        on_upper: Callable[[], None],
        on_exhausted: Callable[[], None],
    ) -> None:
        self._cap_bytes = cap_bytes
        self._on_upper = on_upper
        self._on_exhausted = on_exhausted
        self._upper: Upper | None = None
        self._asked_bytes = 0  # of the node, without an answer yet
        self.bucket: TokenBucket | None = None
        self.quota = quota
        if not math.isinf(rate_bytes_per_s):
            self.bucket = TokenBucket(rate_bytes_per_s, burst_bytes, now)
        self.piece_bytes = self._chunk_bytes()
        self._choose()

    def __repr__(self) -> str:
        return "unlimited" if self.bucket is None else repr(self.bucket)

    @property
    def bulk_bytes(self) -> int:
        """The most to ask for at once of bytes that take no memory: where the burst is large, that is more.

        Near the end of a quota it is not, and with a rate and a quota never: several may wait for the
        same room, and what ends it is to be less than one piece.
        """
        quota = self.quota
        if quota.is_limited and (self.bucket is not None or quota.left_bytes < self.most_bytes):
            return self.piece_bytes
        return self.most_bytes

    def take(self, n: int, now: float) -> float:
        """Take all that ``n`` bytes need and return 0; or nothing, and return when to try again.

        Returns:
            Seconds from ``now``; ``math.inf`` if time alone does not bring it.
        """
        quota = self.quota
        moved_bytes = quota.moved_bytes + n
        if moved_bytes > quota.most_bytes:
            self._exhaust()
            return math.inf
        wait_s = self._take(n, now)
        if not wait_s:
            quota.moved_bytes = moved_bytes
        return wait_s

    def take_at_once(self, n: int, now: float) -> bool:
        """Take what a piece needs as ``take`` does, where nobody has to be asked or told; or nothing."""
        bucket, quota = self.bucket, self.quota
        if bucket is None or self._upper is not None or n > self.piece_bytes or n > quota.left_bytes:
            return False
        if bucket.take(n, now):
            return False
        quota.moved_bytes += n
        return True

    def due(self, n: int, now: float) -> float | None:
        """Time when ``n`` bytes may be taken; None if time alone does not bring it."""
        bucket, quota = self.bucket, self.quota
        if self._asked_bytes:
            return None
        if quota.moved_bytes + n > quota.most_bytes:
            return None if quota.closed else now
        return now if bucket is None else now + bucket.delay_s(n, now)

    def collect(self, now: float) -> None:
        """Take what the node has granted; the job's own tokens are there since it was asked."""
        n, self._asked_bytes = self._asked_bytes, 0
        self.quota.moved_bytes += n
        if self.bucket is not None:
            self.bucket.take(n, now)

    def withdraw(self) -> None:
        """Ask the node for nothing any more: the first request, or what it needs, is another one."""
        if self._asked_bytes and self._upper is not None:
            self._asked_bytes = 0
            self._upper.cancel()

    def give_back(self, n: int) -> None:
        """Return what ``n`` bytes needed that did not pass."""
        self.quota.give_back(n)
        if self.bucket is not None:
            self.bucket.give_back(n)
        if self._upper is not None:
            self._upper.give_back(n)

    def set_rate(self, rate_bytes_per_s: float, burst_bytes: int, now: float) -> None:
        """Go on at another rate; one where there was none begins with an empty bucket.

        Raises:
            ValueError: The rate or the burst is out of range.
        """
        if math.isinf(rate_bytes_per_s):
            self.bucket = None
        elif self.bucket is None:
            self.bucket = TokenBucket(rate_bytes_per_s, burst_bytes, now)
            self.bucket.drain(now)
        else:
            self.bucket.set_rate(rate_bytes_per_s, burst_bytes, now)
        self.piece_bytes = self._chunk_bytes()
        self.withdraw()
        self._choose()

    def set_upper(self, upper: Upper | None) -> None:
        """Ask the node, too, or no longer."""
        self.withdraw()
        self._upper = upper
        self._choose()

    def close(self) -> None:
        """Let go of whoever is told: they hold this in turn, and nobody asks any more."""
        self._on_upper = self._on_exhausted = _nobody

    def _choose(self) -> None:
        """Say where tokens come from, how many at once, and how soon they would be lost."""
        bucket = self.bucket
        self.most_bytes, self.slack_s = self.piece_bytes, math.inf
        if self._upper is None:  # whose burst may be smaller than the job's
            self.most_bytes = max(self.piece_bytes, self._bulk_chunk_bytes())
        if bucket is not None:
            self.slack_s = (bucket.burst_bytes - self.most_bytes) / bucket.rate_bytes_per_s
        self.free = self.bucket is None and self._upper is None
        self._take: Callable[[int, float], float] = _take_all
        if self._upper is not None:
            self._take = self._take_both
        elif self.bucket is not None:
            self._take = self.bucket.take

    def _chunk_bytes(self) -> int:
        bucket = self.bucket
        if bucket is None:
            return self._cap_bytes
        return default_chunk_bytes(bucket.rate_bytes_per_s, bucket.burst_bytes, self._cap_bytes)

    def _bulk_chunk_bytes(self) -> int:
        bucket = self.bucket
        if bucket is None:
            return BULK_BYTES
        burst_bytes = int(2 * BULK_SHARE * bucket.burst_bytes)
        return default_chunk_bytes(bucket.rate_bytes_per_s, burst_bytes, BULK_BYTES)

    def _take_both(self, n: int, now: float) -> float:
        """Take tokens of the job and of the node, which is asked only when the job's are there."""
        bucket, upper = self.bucket, self._upper
        assert upper is not None  # noqa: S101 (for the type checker)
        if self._asked_bytes == n:
            return math.inf
        self.withdraw()
        if bucket is not None and (wait_s := bucket.delay_s(n, now)):
            return wait_s
        if not upper.request(n, self._on_upper):
            self._asked_bytes = n
            return math.inf
        return 0.0 if bucket is None else bucket.take(n, now)

    def _exhaust(self) -> None:
        self.withdraw()
        if self.quota.close():
            self._on_exhausted()


def _nobody() -> None:
    """Whom a closed supply tells."""


def _take_all(n: int, now: float) -> float:
    """The tokens of a job without a rate."""
    return 0.0
