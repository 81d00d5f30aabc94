"""Budget of bytes: what has passed in one direction of a job, and the most that may."""

from __future__ import annotations

import sys

_NO_LIMIT = sys.maxsize
_NOTHING = -1


class ByteQuota:
    """Counts bytes up to a limit; whoever counts compares with ``most_bytes`` first.

    All or nothing: with the first piece that does not fit the quota is closed, for smaller
    ones, too, until the limit is changed. So a job never gets a byte over its quota, and
    ends less than one piece below it.

    Args:
        max_bytes: 0 is no limit.
        used_bytes: What was counted before.

    Attributes:
        moved_bytes: Counted so far.
        most_bytes: What ``moved_bytes`` may become.
    """

    __slots__ = ("_max_bytes", "most_bytes", "moved_bytes")

    def __init__(self, max_bytes: int = 0, used_bytes: int = 0) -> None:
        self.moved_bytes = used_bytes
        self.set_limit(max_bytes)

    def __repr__(self) -> str:
        return f"<ByteQuota {self.moved_bytes} of {self._max_bytes or 'unlimited'} bytes>"

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit, or nothing more may pass."""
        return self.most_bytes != _NO_LIMIT

    @property
    def left_bytes(self) -> int:
        """How many bytes may still pass; below zero where the limit was lowered, or it is closed."""
        return self.most_bytes - self.moved_bytes

    @property
    def closed(self) -> bool:
        """Whether a piece was refused."""
        return self.most_bytes == _NOTHING

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may pass: all is used, or the rest was too small for a piece."""
        return self.moved_bytes >= self.most_bytes

    def close(self) -> bool:
        """Let nothing more pass; say whether anything could before."""
        was_open = not self.closed
        self.most_bytes = _NOTHING
        return was_open

    def open_again(self) -> None:
        """Take ``close`` back."""
        self.set_limit(self._max_bytes)

    def give_back(self, n: int) -> None:
        """Take back ``n`` bytes that were counted and did not pass."""
        self.moved_bytes -= n

    def set_limit(self, max_bytes: int) -> None:
        """Change the limit for what follows; 0 lifts it."""
        self._max_bytes = max_bytes
        self.most_bytes = max_bytes or _NO_LIMIT
