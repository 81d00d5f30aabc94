from __future__ import annotations

import json

import pytest

from jobgate.gateway.feed import (
    MAX_FOLLOWERS,
    PENDING_LINES,
    RECENT_LINES,
    SLACK,
    Feed,
    Follower,
    TooManyFollowers,
    event_of,
)

SOON_S = 0.001


def line(event: str = "decision", **fields: object) -> bytes:
    return json.dumps({"v": 1, "ts": "…", "event": event, **fields}, separators=(",", ":")).encode()


def test_event_of_is_not_fooled_by_what_a_client_sent() -> None:
    assert event_of(line("decision", method='"event":"close"')) == "decision"


def test_recent_lines_of_a_job_are_its_newest() -> None:
    feed = Feed({"a", "b"})
    for number in range(RECENT_LINES + 2):
        feed.tap("a", line(number=number))
    feed.tap("b", line(number=-1))
    assert [found["number"] for found in feed.recent("a", 2)] == [RECENT_LINES, RECENT_LINES + 1]
    assert len(feed.recent("a", 10_000)) == RECENT_LINES
    assert [found["number"] for found in feed.recent("b", 10)] == [-1]


def test_nothing_is_kept_of_unknown_jobs_and_of_those_that_are_gone() -> None:
    jobs = {"a"}
    feed = Feed(jobs)
    feed.tap("a", line())
    feed.tap("x", line())
    assert (len(feed.recent("a", 9)), feed.recent("x", 9)) == (1, [])
    jobs.clear()
    feed.tap("a", line("policy", action="remove"))
    jobs.add("a")
    assert feed.recent("a", 9) == []


def test_what_is_kept_is_bounded_where_jobs_come_and_go_without_a_change_of_policy() -> None:
    jobs = {"stays"}
    feed = Feed(jobs)
    feed.tap("stays", line())
    for number in range(10 * SLACK):
        jobs.add(f"ray.{number}")
        feed.tap(f"ray.{number}", line())
        jobs.discard(f"ray.{number}")
    assert len(feed._recent) <= SLACK + 2
    assert len(feed.recent("stays", 9)) == 1


async def test_follower_of_a_job_hears_of_that_job_alone() -> None:
    feed = Feed({"a", "b"})
    with feed.follow("a") as one, feed.follow() as every:
        for job in ("a", "b", ""):
            feed.tap(job, line("close", job=job))
        assert [json.loads(text)["job"] for _, text in (await one.news(1.0)).lines] == ["a"]
        found = await every.news(1.0)
        assert [json.loads(text)["job"] for _, text in found.lines] == ["a", "b", ""]
        assert {event for event, _ in found.lines} == {"close"}
        assert found.lost == 0


async def test_slow_follower_loses_the_oldest_and_is_told() -> None:
    feed = Feed({"a"})
    with feed.follow() as slow:
        for number in range(PENDING_LINES + 3):
            feed.tap("a", line(number=number))
        news = await slow.news(1.0)
        assert (news.lost, len(news.lines)) == (3, PENDING_LINES)
        assert json.loads(news.lines[0][1])["number"] == 3
        assert (await slow.news(SOON_S)).lost == 0


async def test_silence_is_an_answer() -> None:
    assert await Follower("").news(SOON_S) == ([], 0)


async def test_followers_are_bounded_and_make_room_when_they_leave() -> None:
    feed = Feed(set())
    held = [feed.follow() for _ in range(MAX_FOLLOWERS)]
    for one in held:
        one.__enter__()
    with pytest.raises(TooManyFollowers), feed.follow():
        pass
    held.pop().__exit__(None, None, None)
    with feed.follow() as follower:
        assert not follower.over


async def test_close_lets_followers_go() -> None:
    feed = Feed(set())
    with feed.follow() as follower:
        feed.close()
        await follower.news(10.0)
        assert follower.over


async def test_others_are_told_while_somebody_follows_and_may_say_what_was_lost() -> None:
    told: list[bool] = []
    feed = Feed({"a"}, lambda on_lost: told.append(on_lost is not None))
    with feed.follow() as first:
        with feed.follow("a"):
            assert told == [True]
        feed.tap("a", line())
        feed.lose(3)
        news = await first.news(SOON_S)
        assert (len(news.lines), news.lost) == (1, 3)
    assert told == [True, False]


def test_nothing_is_kept_of_a_job_that_is_forgotten() -> None:
    feed = Feed({"a", "b"})
    for job in "ab":
        feed.tap(job, line(job=job))
    feed.forget("a")
    feed.forget("unknown")
    assert (feed.recent("a", 10), len(feed.recent("b", 10))) == ([], 1)
