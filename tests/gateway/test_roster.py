from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobgate.config.policy import JobPolicy, Network, NodePolicy
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway.places import opened
from jobgate.gateway.roster import Delta, Roster
from jobgate.gateway.views import Entry, Origin, State, UnknownJob
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.proxy.usage import JobCounters

NOW = 1000.0
NODE = NodePolicy()


def settings(id: str, listen: str, *domains: str) -> JobSettings:
    return JobSettings(id, JobPolicy(Network.HTTP, RuleSet.parse(domains or ["a.test"])), listen=listen)


def entry(job: JobSettings, counters: JobCounters | None = None) -> Entry:
    return Entry.new(job, Origin.API, NOW, counters)


@asynccontextmanager
async def rosters() -> AsyncIterator[tuple[Roster, Gate]]:
    gate = Gate(Settings(), journal=Journal())
    try:
        yield Roster(gate), gate
    finally:
        await gate.close()


def enter(roster: Roster, job: JobSettings, counters: JobCounters | None = None) -> Entry:
    entered = entry(job, counters)
    with opened([job]) as places:
        entered.place = places.get(job.id)
        roster.enter(entered, job)
    return entered


async def test_job_is_found_by_its_id(tmp_path: Path) -> None:
    async with rosters() as (roster, gate):
        entered = enter(roster, settings("a", f"unix:{tmp_path}/a"))
        assert roster.entry("a") is roster.find("a") is entered
        assert ("a" in roster, "b" in roster, list(roster)) == (True, False, [entered])
        assert roster.find("b") is None
        with pytest.raises(UnknownJob):
            roster.entry("b")
        assert gate.jobs["a"].settings == entered.asked


async def test_same_settings_do_not_disturb_the_gate(tmp_path: Path) -> None:
    async with rosters() as (roster, gate):
        entered = enter(roster, settings("a", f"unix:{tmp_path}/a"))
        generation = gate.jobs["a"].generation
        roster.enter(entered, entered.asked)
        assert gate.jobs["a"].generation == generation


async def test_job_goes_on_with_its_counters_through_every_change(tmp_path: Path) -> None:
    counted = JobCounters(1, 2, 3, 1, 500.0)
    async with rosters() as (roster, gate):
        first = enter(roster, settings("a", f"unix:{tmp_path}/a"), counted)
        assert gate.jobs["a"].counters() == counted
        roster.refuse(first, "no more")
        assert (roster.counters(first), "a" in gate.jobs) == (counted, False)
        none = entry(JobSettings("a"))
        roster.enter(none, none.asked)
        assert roster.counters(none) == counted
        again = enter(roster, settings("a", f"unix:{tmp_path}/a"))
        assert gate.jobs["a"].counters() == counted == roster.counters(again)


async def test_path_is_removed_when_nobody_listens_there_any_more(tmp_path: Path) -> None:
    async with rosters() as (roster, _):
        enter(roster, settings("a", f"unix:{tmp_path}/a"))
        enter(roster, settings("b", f"unix:{tmp_path}/b"))
        roster.leave("a")
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]  # somebody may take it over before all is done
        roster.tidy()
        assert os.listdir(tmp_path) == ["b"]


async def test_path_that_another_job_took_over_stays(tmp_path: Path) -> None:
    async with rosters() as (roster, _):
        old = enter(roster, settings("old", f"unix:{tmp_path}/a"))
        assert old.place is not None
        new = entry(settings("new", f"unix:{tmp_path}/a"))
        with opened([new.asked], {old.place.key: old.place}) as places:
            new.place = places["new"]
            roster.leave("old")
            roster.enter(new, new.asked)
        roster.tidy()
        assert os.listdir(tmp_path) == ["a"]


async def test_refused_job_is_served_once_the_node_allows_it_again(tmp_path: Path) -> None:
    async with rosters() as (roster, gate):
        kept = enter(roster, settings("a", f"unix:{tmp_path}/a"))
        roster.serve_within(kept, NodePolicy(networks=(Network.NONE,)))
        roster.tidy()
        assert roster.view(kept).state is State.REFUSED
        assert (os.listdir(tmp_path), gate.jobs) == ([], {})
        roster.serve_within(kept, NODE)
        assert (roster.view(kept).state, roster.view(kept).problem) == (State.ACTIVE, "")
        assert os.listdir(tmp_path) == ["a"]


async def test_job_whose_listener_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    async with rosters() as (roster, gate):
        kept = entry(settings("a", f"unix:{tmp_path}/missing/a"))
        roster.serve_within(kept, NODE)
        assert roster.view(kept).state is State.REFUSED
        assert kept.problem.startswith(f"job a: cannot listen on unix:{tmp_path}/missing/a: No such file")
        assert gate.jobs == {}


async def test_delta_is_what_the_store_does_not_know() -> None:
    async with rosters() as (roster, _):
        fresh = enter(roster, JobSettings("fresh"))
        known = enter(roster, JobSettings("known"), JobCounters(10, 20, 5, 1, 500.0))
        assert roster.deltas() == [Delta(fresh, JobCounters(0, 0, 0, 0, NOW))]
        known.counters = JobCounters(11, 18, 7, 2, 500.0)
        deltas = roster.deltas()
        assert [delta.added() for delta in deltas] == [
            JobCounters(0, 0, 0, 0, NOW),
            JobCounters(1, -2, 2, 1, 500.0),
        ]
        for delta in deltas:
            delta.written()
        assert roster.deltas() == []
