"""The cache: lives, clamps, size."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.dnsanswer import Answer
from jobgate.proxy.dnscache import MAX_NEGATIVE_TTL_S, MAX_TTL_S, MIN_TTL_S, DnsCache
from jobgate.proxy.errors import Reason

ADDRESSES = (ip_address("192.0.2.7"),)


def positive(ttl_s: float) -> Answer:
    return Answer(ADDRESSES, ttl_s)


def negative(ttl_s: float) -> Answer:
    return Answer((), ttl_s, Reason.DNS_NXDOMAIN)


LIVES = [
    ("ttl", positive(60), 60.0),
    ("short ttl is raised", positive(1), MIN_TTL_S),
    ("long ttl is cut", positive(1_000_000), MAX_TTL_S),
    ("incomplete", positive(60)._replace(reason=Reason.DNS_TIMEOUT), 60.0),
    ("short incomplete is raised", positive(1)._replace(reason=Reason.DNS_TIMEOUT), MIN_TTL_S),
    ("negative", negative(30), 30.0),
    ("short negative is not raised", negative(1), 1.0),
    ("long negative is cut", negative(86400), MAX_NEGATIVE_TTL_S),
]


@pytest.mark.parametrize(("answer", "life_s"), [c[1:] for c in LIVES], ids=[c[0] for c in LIVES])
def test_answer_lives_for_its_clamped_ttl(answer: Answer, life_s: float) -> None:
    cache = DnsCache(8)
    cache.put("n.test", answer, 100.0)
    assert cache.get("n.test", 100.0 + life_s - 0.001) is answer
    assert cache.get("n.test", 100.0 + life_s) is None
    assert len(cache) == 0


@pytest.mark.parametrize("answer", [positive(0), negative(0)], ids=["positive", "negative"])
def test_answer_without_ttl_is_not_kept_and_ends_the_old_one(answer: Answer) -> None:
    cache = DnsCache(8)
    cache.put("n.test", positive(60), 0.0)
    cache.put("n.test", answer, 1.0)
    assert cache.get("n.test", 1.0) is None


def test_unknown_name_has_no_answer() -> None:
    assert DnsCache(8).get("n.test", 0.0) is None


def test_newer_answer_replaces_the_older() -> None:
    cache = DnsCache(8)
    cache.put("n.test", positive(60), 0.0)
    newer = positive(10)
    cache.put("n.test", newer, 1.0)
    assert cache.get("n.test", 10.0) is newer
    assert len(cache) == 1


def test_least_recently_used_name_gives_way() -> None:
    cache = DnsCache(2)
    for name in ("a.test", "b.test"):
        cache.put(name, positive(60), 0.0)
    assert cache.get("a.test", 1.0)
    cache.put("c.test", positive(60), 1.0)
    assert [bool(cache.get(name, 1.0)) for name in ("a.test", "b.test", "c.test")] == [True, False, True]


def test_cache_of_size_zero_keeps_nothing() -> None:
    cache = DnsCache(0)
    cache.put("n.test", positive(60), 0.0)
    assert cache.get("n.test", 0.0) is None


@given(
    st.integers(0, 4), st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 100), st.floats(0, 100)))
)
def test_cache_never_holds_more_than_its_size(size: int, steps: list[tuple[str, float, float]]) -> None:
    cache = DnsCache(size)
    now = 0.0
    for name, ttl_s, pause_s in steps:
        now += pause_s
        cache.put(name, positive(ttl_s), now)
        assert len(cache) <= size
        assert (cache.get(name, now) is not None) == (size > 0 and ttl_s > 0)
