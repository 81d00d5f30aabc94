from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from jobgate.config.settings import JobSettings
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.job import Job
from jobgate.proxy.lifetime import Clocks
from jobgate.proxy.members import IDLE_S, Members, group_of, member_settings
from support.clock import VirtualClock
from support.visits import job_settings


@dataclass
class FakeJob:
    settings: JobSettings
    connections: int = 0


@dataclass
class FakeHost:
    """A gate that only keeps its jobs, and tells its members who goes."""

    jobs: dict[str, Job] = field(default_factory=dict)
    removed: list[tuple[str, Reason]] = field(default_factory=list)
    members: Members | None = None

    def add_job(self, settings: JobSettings) -> Job:
        self.jobs[settings.id] = cast(Job, FakeJob(settings))  # members look at nothing else
        return self.jobs[settings.id]

    def remove_job(self, job_id: str, reason: Reason = Reason.UNKNOWN_JOB) -> None:
        del self.jobs[job_id]
        self.removed.append((job_id, reason))
        assert self.members is not None
        self.members.leave(job_id, reason)


class Rig:
    """A group of at most two members, and an ordinary job."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        clocks = Clocks(
            self.clock.time,
            self.clock.time,
            lambda delay_s, callback: self.clock.call_at(self.clock.now + delay_s, callback),
        )
        self.host = FakeHost()
        self.members = self.host.members = Members(self.host, clocks)
        self.group = replace(job_settings("g.1", "10.0.0.0/8", token="t"), max_members=2)
        self.host.add_job(self.group)
        self.host.add_job(job_settings("alone", token="t"))


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.members.stop()
    assert made.clock.pending == []


def test_group_is_what_stands_before_the_last_dot() -> None:
    assert [group_of(name) for name in ("g.1.a", "g.a", "g", ".a")] == ["g.1", "g", "", ""]


def test_member_has_the_settings_of_its_group_without_its_ways_in(rig: Rig) -> None:
    settings = rig.members.find("g.1.a").settings
    assert settings == replace(rig.group, id="g.1.a", token_hash=None, clients=(), max_members=0)
    assert settings.policy is rig.group.policy


def test_ordinary_job_and_the_group_itself_are_no_members(rig: Rig) -> None:
    assert rig.members.find("alone") is rig.host.jobs["alone"]
    assert rig.members.find("g.1") is rig.host.jobs["g.1"]
    assert list(rig.members) == []


def test_same_name_is_the_same_member(rig: Rig) -> None:
    first = rig.members.find("g.1.a")
    assert rig.members.find("g.1.a") is first
    assert list(rig.members) == ["g.1.a"]
    assert "g.1.a" in rig.members
    assert "g.1" not in rig.members


def test_too_many_members_are_refused_until_one_has_been_idle(rig: Rig) -> None:
    rig.members.find("g.1.a")
    rig.clock.advance(1)
    rig.members.find("g.1.b")
    with pytest.raises(ProxyError, match="overloaded"):
        rig.members.find("g.1.c")
    rig.clock.advance(IDLE_S - 2)
    with pytest.raises(ProxyError, match="overloaded"):
        rig.members.find("g.1.c")
    rig.clock.advance(1)
    rig.members.find("g.1.c")
    assert list(rig.members) == ["g.1.b", "g.1.c"]


def test_member_with_a_connection_is_not_forgotten(rig: Rig) -> None:
    cast(FakeJob, rig.members.find("g.1.a")).connections = 1
    rig.clock.advance(10 * IDLE_S)
    assert list(rig.members) == ["g.1.a"]


def test_idle_members_are_forgotten_by_themselves(rig: Rig) -> None:
    rig.members.find("g.1.a")
    rig.clock.advance(IDLE_S / 2)
    rig.members.find("g.1.b")
    rig.clock.advance(3 * IDLE_S)
    assert list(rig.members) == []
    assert rig.host.removed == [("g.1.a", Reason.UNKNOWN_JOB), ("g.1.b", Reason.UNKNOWN_JOB)]
    assert rig.clock.pending == []


def test_members_follow_a_change_of_their_group(rig: Rig) -> None:
    rig.members.find("g.1.a")
    changed = replace(rig.group, max_connections=3)
    assert rig.members.following([changed, job_settings("alone")]) == {
        "g.1.a": member_settings(changed, "g.1.a")
    }


def test_members_go_with_their_group(rig: Rig) -> None:
    rig.members.find("g.1.a")
    rig.members.find("g.1.b")
    rig.host.remove_job("g.1", Reason.UNKNOWN_JOB)
    assert list(rig.host.jobs) == ["alone"]
    assert list(rig.members) == []


def test_released_member_is_an_ordinary_job(rig: Rig) -> None:
    job = rig.members.find("g.1.a")
    rig.members.release("g.1.a")
    rig.members.release("unknown")
    assert list(rig.members) == []
    assert rig.members.find("g.1.a") is job
    rig.clock.advance(2 * IDLE_S)
    assert "g.1.a" in rig.host.jobs
