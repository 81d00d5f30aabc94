"""Quota of bytes: counted, closed, lifted."""

from __future__ import annotations

import pytest

from jobgate.ratelimit.quota import ByteQuota


@pytest.mark.parametrize(
    ("max_bytes", "used_bytes", "most_bytes", "exhausted"),
    [(0, 0, None, False), (0, 10**15, None, False), (100, 0, 100, False), (100, 100, 100, True)],
    ids=["none", "none-much-used", "unused", "used-before"],
)
def test_quota_counts_from_what_was_used_before(
    max_bytes: int, used_bytes: int, most_bytes: int | None, exhausted: bool
) -> None:
    quota = ByteQuota(max_bytes, used_bytes)
    assert quota.moved_bytes == used_bytes
    assert (quota.most_bytes == most_bytes) is (most_bytes is not None)
    assert quota.most_bytes > 10**15 or max_bytes
    assert quota.exhausted is exhausted
    assert not quota.closed


def test_close_lets_nothing_pass_and_is_news_once() -> None:
    quota = ByteQuota(100, 60)
    assert quota.close()
    assert not quota.close()
    assert (quota.closed, quota.exhausted, quota.moved_bytes) == (True, True, 60)
    assert quota.most_bytes < 60


@pytest.mark.parametrize("max_bytes", [200, 0], ids=["larger", "none"])
def test_set_limit_opens_a_closed_quota(max_bytes: int) -> None:
    quota = ByteQuota(100, 60)
    quota.close()
    quota.set_limit(max_bytes)
    assert not quota.exhausted
    assert quota.most_bytes >= 200


def test_set_limit_below_what_was_moved_exhausts() -> None:
    quota = ByteQuota(100, 60)
    quota.set_limit(50)
    assert quota.exhausted


def test_give_back_is_not_counted() -> None:
    quota = ByteQuota(100, 100)
    quota.give_back(40)
    assert (quota.moved_bytes, quota.exhausted) == (60, False)


@pytest.mark.parametrize(
    ("max_bytes", "text"), [(100, "<ByteQuota 7 of 100 bytes>"), (0, "<ByteQuota 7 of unlimited bytes>")]
)
def test_repr_shows_what_is_used(max_bytes: int, text: str) -> None:
    assert repr(ByteQuota(max_bytes, 7)) == text


def test_quota_that_is_opened_again_has_its_limit() -> None:
    quota = ByteQuota(100, 60)
    quota.close()
    quota.open_again()
    assert (quota.closed, quota.exhausted, quota.most_bytes) == (False, False, 100)
