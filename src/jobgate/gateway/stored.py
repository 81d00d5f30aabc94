"""What outlives the process, as values, and the error of a file that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jobgate.proxy.usage import JobCounters


class StoreError(Exception):
    """The state file cannot be used: what was tried, which file, why, and what to do."""


class StoredJob(NamedTuple):
    """A job of the control API as it is kept.

    Attributes:
        document: Canonical, without token.
        token_hash: SHA-256 of the token.
        created_at: Seconds since the epoch.
        listen: Where its own listener was; ``""``: it has none.
    """

    id: str
    document: Mapping[str, object]
    token_hash: bytes | None
    created_at: float
    listen: str

    def __repr__(self) -> str:
        return f"StoredJob({self.id!r})"


class Stored(NamedTuple):
    """What the file knew at the start."""

    jobs: Sequence[StoredJob]
    counters: Mapping[str, JobCounters]
