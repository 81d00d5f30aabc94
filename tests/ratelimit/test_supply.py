"""What a grant is made of: all of it or nothing, and never a token of the node held idle."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from jobgate.ratelimit.quota import ByteQuota
from jobgate.ratelimit.supply import BULK_BYTES, Supply

RATE = 1000.0
BURST = 500
FAST, LARGE_BURST = 50_000_000.0, 200_000
CAP = 400


class FakeUpper:
    """The place in the node's queue; grants at once while ``open``."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open
        self.asked: list[int] = []
        self.waiting: Callable[[], None] | None = None
        self.given_back = 0

    def request(self, n: int, granted: Callable[[], None]) -> bool:
        assert self.waiting is None, "asked twice"
        self.asked.append(n)
        if not self.is_open:
            self.waiting = granted
        return self.is_open

    def cancel(self) -> None:
        self.waiting = None

    def give_back(self, n: int) -> None:
        self.given_back += n


class Rig:
    def __init__(self, rate: float = RATE, *, max_bytes: int = 0, upper: FakeUpper | None = None) -> None:
        self.exhausted = 0
        self.upper_granted = 0
        self.quota = ByteQuota(max_bytes)
        self.supply = Supply(
            rate,
            BURST,
            0.0,
            cap_bytes=CAP,
            quota=self.quota,
            on_upper=self._on_upper,
            on_exhausted=self._on_exhausted,
        )
        if upper is not None:
            self.supply.set_upper(upper)

    def level(self, now: float = 0.0) -> float:
        assert self.supply.bucket is not None
        return self.supply.bucket.level(now)

    def _on_upper(self) -> None:
        self.upper_granted += 1

    def _on_exhausted(self) -> None:
        self.exhausted += 1


def test_take_without_a_rate_counts_and_nothing_else() -> None:
    rig = Rig(math.inf)
    assert rig.supply.take(10**9, 0.0) == 0.0
    assert rig.quota.moved_bytes == 10**9
    assert rig.supply.free
    assert (rig.supply.piece_bytes, repr(rig.supply)) == (CAP, "unlimited")


def test_take_needs_tokens_and_due_says_when() -> None:
    rig = Rig()
    assert rig.supply.take(BURST, 0.0) == 0.0
    assert rig.supply.take(100, 0.0) > 0.0
    assert rig.quota.moved_bytes == BURST
    assert rig.supply.due(100, 0.0) == pytest.approx(0.1)
    assert (rig.supply.free, rig.supply.piece_bytes) == (False, BURST // 2)


def test_take_over_the_quota_takes_no_tokens_and_closes_it_once() -> None:
    rig = Rig(max_bytes=100)
    assert rig.supply.take(60, 0.0) == 0.0
    assert rig.supply.take(41, 0.0) > 0.0
    assert rig.supply.take(1, 0.0) > 0.0
    assert (rig.exhausted, rig.quota.moved_bytes, rig.level()) == (1, 60, BURST - 60)
    assert rig.supply.due(1, 0.0) is None


def test_take_up_to_the_quota_is_not_over_it() -> None:
    rig = Rig(math.inf, max_bytes=100)
    assert rig.supply.take(100, 0.0) == 0.0
    assert rig.exhausted == 0
    assert rig.quota.exhausted


def test_take_with_both_kinds_of_tokens_takes_both() -> None:
    upper = FakeUpper(is_open=True)
    rig = Rig(upper=upper)
    assert rig.supply.take(200, 0.0) == 0.0
    assert (upper.asked, rig.level(), rig.quota.moved_bytes) == ([200], BURST - 200, 200)


def test_take_asks_the_node_only_when_the_jobs_own_tokens_are_there() -> None:
    upper = FakeUpper(is_open=True)
    rig = Rig(upper=upper)
    assert rig.supply.take(BURST, 0.0) == 0.0
    assert rig.supply.take(100, 0.0) > 0.0
    assert upper.asked == [BURST]
    assert rig.supply.take(100, 0.1) == 0.0


def test_take_that_waits_for_the_node_is_collected_later() -> None:
    upper = FakeUpper()
    rig = Rig(upper=upper)
    assert rig.supply.take(200, 0.0) > 0.0
    assert (rig.level(), rig.supply.due(200, 0.0)) == (BURST, None)
    assert rig.supply.take(200, 0.0) > 0.0
    assert upper.asked == [200], "asked already"
    assert upper.waiting is not None
    upper.waiting()
    assert rig.upper_granted == 1
    rig.supply.collect(0.0)
    assert (rig.level(), rig.quota.moved_bytes) == (BURST - 200, 200)
    assert rig.supply.due(200, 0.0) == 0.0


def test_take_of_another_size_replaces_what_the_node_was_asked_for() -> None:
    upper = FakeUpper()
    rig = Rig(upper=upper)
    rig.supply.take(200, 0.0)
    rig.supply.take(50, 0.0)
    assert upper.asked == [200, 50]


@pytest.mark.parametrize(
    "change",
    [
        lambda rig: rig.supply.withdraw(),
        lambda rig: rig.supply.set_rate(RATE, BURST, 0.0),
        lambda rig: rig.supply.set_upper(None),
        lambda rig: rig.supply.take(301, 0.0),
    ],
    ids=["withdraw", "set-rate", "set-upper", "over-the-quota"],
)
def test_change_asks_the_node_for_nothing_any_more(change: Callable[[Rig], None]) -> None:
    upper = FakeUpper()
    rig = Rig(math.inf, max_bytes=300, upper=upper)
    rig.supply.take(200, 0.0)
    change(rig)
    assert upper.waiting is None


def test_give_back_returns_everything() -> None:
    upper = FakeUpper(is_open=True)
    rig = Rig(upper=upper)
    rig.supply.take(200, 0.0)
    rig.supply.give_back(200)
    assert (rig.level(), rig.quota.moved_bytes, upper.given_back) == (BURST, 0, 200)


def test_rate_where_there_was_none_begins_empty() -> None:
    rig = Rig(math.inf)
    rig.supply.set_rate(RATE, BURST, 0.0)
    assert rig.level() == 0.0
    assert rig.supply.piece_bytes == BURST // 2
    assert not rig.supply.free


def test_rate_that_ends_leaves_no_bucket() -> None:
    rig = Rig()
    rig.supply.set_rate(math.inf, 1, 0.0)
    assert rig.supply.bucket is None
    assert (rig.supply.piece_bytes, rig.supply.free, rig.supply.due(1, 5.0)) == (CAP, True, 5.0)


def test_slack_is_the_time_until_the_bucket_overflows_and_follows_the_rate() -> None:
    rig = Rig()
    piece_bytes = rig.supply.piece_bytes
    assert rig.supply.slack_s == (BURST - piece_bytes) / RATE
    rig.supply.set_rate(10 * RATE, BURST, 0.0)
    assert rig.supply.slack_s == (BURST - piece_bytes) / (10 * RATE)
    rig.supply.set_rate(math.inf, BURST, 0.0)
    assert rig.supply.slack_s == math.inf


@pytest.mark.parametrize(
    ("rate", "max_bytes", "bulk_bytes"),
    [
        (math.inf, 0, BULK_BYTES),
        (RATE, 0, 250),
        (math.inf, BULK_BYTES, BULK_BYTES),
        (math.inf, BULK_BYTES - 1, CAP),
        (FAST, 0, LARGE_BURST * 3 // 8),
        (FAST, 1 << 40, CAP),
    ],
    ids=["free", "rate", "quota", "end of the quota", "large burst", "rate and quota"],
)
def test_bulk_is_asked_for_in_larger_pieces_where_the_burst_is_large(
    rate: float, max_bytes: int, bulk_bytes: int
) -> None:
    found = Supply(
        rate,
        LARGE_BURST if rate == FAST else BURST,
        0.0,
        cap_bytes=CAP,
        quota=ByteQuota(max_bytes),
        on_upper=lambda: None,
        on_exhausted=lambda: None,
    )
    assert found.bulk_bytes == bulk_bytes
    if not math.isinf(rate):
        found.set_upper(FakeUpper())
        assert found.bulk_bytes == found.piece_bytes


def test_slack_is_that_of_the_largest_piece() -> None:
    rig = Rig()
    rig.supply.set_rate(FAST, LARGE_BURST, 0.0)
    assert rig.supply.most_bytes == LARGE_BURST * 3 // 8 > rig.supply.piece_bytes == CAP
    assert rig.supply.slack_s == LARGE_BURST * 5 / 8 / FAST == 0.0025
    rig.supply.set_upper(FakeUpper())  # whose tokens a large piece might never fit into
    assert rig.supply.most_bytes == CAP
    assert rig.supply.slack_s == (LARGE_BURST - CAP) / FAST
