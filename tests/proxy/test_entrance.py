from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import pytest

from jobgate.config.settings import JobSettings
from jobgate.proxy.entrance import OwnEntrance, SharedEntrance
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.identity import Identities
from jobgate.proxy.job import Job
from jobgate.proxy.lifetime import Clocks
from jobgate.proxy.members import Members
from jobgate.proxy.peer import Peer
from support.clock import VirtualClock
from support.visits import job_settings, showing

HERE = Peer("10.1.0.1:49152")


@dataclass
class FakeJob:
    settings: JobSettings
    gone: Reason | None = None


def live(settings: JobSettings, gone: Reason | None = None) -> Job:
    return cast(Job, FakeJob(settings, gone))  # an entrance looks at nothing else


OPEN = job_settings("own", listen="127.0.0.1:1")


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        (OPEN, True),
        (replace(OPEN, token_hash=b"x"), False),
        (job_settings("own", "10.0.0.0/8", listen="127.0.0.1:1"), True),
        (job_settings("own", "10.2.0.0/16", listen="127.0.0.1:1"), False),
        (job_settings("own", "10.0.0.0/8", token="t", listen="127.0.0.1:1"), False),
        (replace(OPEN, peer_uids=frozenset({0})), False),
    ],
    ids=["nothing", "token", "source", "another source", "source and token", "users"],
)
def test_own_listener_knows_the_job_where_nothing_has_to_be_shown(
    settings: JobSettings, is_open: bool
) -> None:
    job = live(settings)
    assert OwnEntrance(job).anyones(HERE) is (job if is_open else None)


def test_own_listener_follows_the_settings() -> None:
    job = live(OPEN)
    entrance = OwnEntrance(job)
    assert entrance.anyones(HERE) is job
    job.settings = job_settings("own", token="t", listen="127.0.0.1:1")
    assert entrance.anyones(HERE) is None
    assert entrance.identify(HERE, showing("own:t")) is job
    with pytest.raises(ProxyError, match="auth"):
        entrance.identify(HERE, [])


@pytest.mark.parametrize(
    ("uids", "uid", "welcome"),
    [(set(), 1000, True), ({1000}, 1000, True), ({0}, 1000, False), ({0}, 0, True), ({0}, None, False)],
    ids=["K2-anybody", "K2-listed", "K2-other", "K2-root", "K2-no-unix-socket"],
)
def test_own_listener_welcomes_listed_users(uids: set[int], uid: int | None, welcome: bool) -> None:
    job = live(replace(OPEN, peer_uids=frozenset(uids)))
    peer = HERE if uid is None else Peer("unix", uid)
    assert OwnEntrance(job).welcomes(peer) is welcome
    if welcome:
        assert OwnEntrance(job).identify(peer, []) is job
    else:
        with pytest.raises(ProxyError, match="unknown-job"):
            OwnEntrance(job).identify(peer, [])


@pytest.mark.parametrize("gone", [Reason.EXPIRED, Reason.QUOTA])
def test_own_job_that_is_over_is_known(gone: Reason) -> None:
    job = live(job_settings("own", token="t", listen="127.0.0.1:1"), gone)
    assert OwnEntrance(job).identify(HERE, showing("own:t")) is job


def test_own_job_that_was_removed_is_unknown() -> None:
    job = live(job_settings("own", token="t", listen="127.0.0.1:1"), Reason.UNKNOWN_JOB)
    with pytest.raises(ProxyError, match="unknown-job"):
        OwnEntrance(job).identify(HERE, showing("own:t"))
    with pytest.raises(ProxyError, match="auth"):
        OwnEntrance(job).identify(HERE, showing("own:wrong"))


class FakeHost:
    def __init__(self, jobs: dict[str, Job]) -> None:
        self.jobs = jobs

    def add_job(self, settings: JobSettings) -> Job:
        self.jobs[settings.id] = live(settings)
        return self.jobs[settings.id]

    def remove_job(self, job_id: str, reason: Reason = Reason.UNKNOWN_JOB) -> None:
        raise AssertionError


def members_of(jobs: dict[str, Job]) -> Members:
    clock = VirtualClock()
    later = lambda delay_s, callback: clock.call_at(delay_s, callback)  # noqa: E731
    return Members(FakeHost(jobs), Clocks(clock.time, clock.time, later))


def test_shared_listener_makes_the_member_of_a_job() -> None:
    group = replace(job_settings("g", token="t"), max_members=1)
    jobs, identities = {"g": live(group)}, Identities()
    identities.add(group)
    entrance = SharedEntrance(identities, members_of(jobs))
    assert entrance.identify(HERE, showing("g.a:t")) is jobs["g.a"]
    assert entrance.identify(HERE, showing("g:t")) is jobs["g"]
    with pytest.raises(ProxyError, match="auth"):
        entrance.identify(HERE, showing("g.b:wrong"))
    with pytest.raises(ProxyError, match="overloaded"):
        entrance.identify(HERE, showing("g.b:t"))
    assert list(jobs) == ["g", "g.a"]


def test_shared_listener_finds_the_job() -> None:
    jobs = {job_id: live(job_settings(job_id, token=f"t-{job_id}")) for job_id in ("a", "b")}
    identities = Identities()
    for job in jobs.values():
        identities.add(job.settings)
    entrance = SharedEntrance(identities, members_of(jobs))
    assert entrance.anyones(HERE) is None
    assert entrance.welcomes(Peer("unix", 1000))
    assert entrance.identify(HERE, showing("b:t-b")) is jobs["b"]
    with pytest.raises(ProxyError, match="auth"):
        entrance.identify(HERE, showing("b:t-a"))
