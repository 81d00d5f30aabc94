"""A gate in several processes, as a registry uses it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from jobgate.config.endpoints import parse_listen
from jobgate.config.load import load_text
from jobgate.config.policy import JobPolicy, Network, PolicyError
from jobgate.config.settings import JobSettings
from jobgate.gateway.fleet import Fleet
from jobgate.gateway.lag import LoopLag
from jobgate.gateway.listeners import open_listener
from jobgate.gateway.metered import metered
from jobgate.gateway.report import Report
from jobgate.proxy.journal import Journal
from support.clock import VirtualClock
from support.crew import is_alive
from support.gate import RecordingWriter
from support.registry import status
from support.wait import until_seen

SETTINGS = load_text(
    """
[listen]
proxy = ["127.0.0.1:0"]
workers = 2
[node]
allow_addresses = ["127.0.0.1"]
total_rate_up = "10mbit"
[limits]
max_connections = 11
"""
)


def job(job_id: str, **keys: str) -> JobSettings:
    text = "".join(f"{key} = {value}\n" for key, value in keys.items())
    (found,) = load_text(
        f'[[job]]\nid = "{job_id}"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["a.test"]\n{text}'
    ).jobs
    return found


class Rig:
    def __init__(self, folder: Path) -> None:
        self.log = RecordingWriter()
        self.clock = VirtualClock()
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        self.fleet = Fleet(
            SETTINGS,
            journal=Journal(self.log),
            log=str(folder / "log"),
            loop=loop,
            clock=self.clock.time,
        )

    def listen(self, job_id: str) -> str:
        sock = open_listener(parse_listen("127.0.0.1:0"))
        host, port = sock.getsockname()
        self.fleet.listen(self.fleet.jobs[job_id], sock)
        return f"{host}:{port}"


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    made = Rig(folder)
    await made.fleet.start()
    try:
        yield made
    finally:
        await made.fleet.close()
        made.log.close()


async def test_job_goes_to_the_worker_with_the_fewest_and_stays(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        fleet = at.fleet
        for job_id in "abcd":
            fleet.add_job(job(job_id))
        assert [fleet.crew.owner(job_id).number for job_id in "abcd"] == [1, 2, 1, 2]
        fleet.remove_job("a")
        fleet.add_job(job("e"))
        assert [fleet.crew.owner(job_id).number for job_id in "bcde"] == [2, 1, 2, 1]
        with pytest.raises(KeyError):
            fleet.crew.owner("a")


async def test_job_that_asks_for_too_much_changes_nothing_anywhere(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        with pytest.raises(PolicyError):
            at.fleet.add_job(replace(job("a"), policy=JobPolicy(network=Network.FULL)))
        assert at.fleet.jobs == {}
        await at.fleet.settled()
        assert all(hand.is_up for hand in at.fleet.crew)


async def test_listener_is_served_by_the_owner_and_closes_with_its_job(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        at.fleet.add_job(job("a"))
        where = at.listen("a")
        assert await status(where, "b.test:443") == 403
        await at.fleet.refresh()
        assert at.fleet.jobs["a"].counters()[2:4] == (1, 1)
        assert at.fleet.totals().decisions["not-listed"] == 1
        recent = await at.fleet.examine("a")
        assert recent is not None
        assert at.fleet.jobs["a"].usage.decisions["not-listed"] == 1
        at.fleet.remove_job("a")
        await at.fleet.settled()
        assert await status(where) is None


async def test_detached_fleet_accepts_again_when_nobody_came(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        at.fleet.add_job(job("a"))
        where = at.listen("a")
        at.fleet.detach()
        await at.fleet.settled()
        waiting = asyncio.ensure_future(status(where, "b.test:443"))
        await asyncio.sleep(0)
        at.fleet.resume()
        assert await waiting == 403


async def test_connections_are_parted_and_shown_as_a_whole(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        assert at.fleet.max_connections == 11
        gate, lag = metered(at.fleet, LoopLag(at.clock.time, at.clock.call_at))
        assert (gate.max_connections, gate.connections, gate.draining) == (11, 0, False)
        assert (gate.journal.dropped, gate.resolver.asking, lag.total_s) == (0, 0, 0.0)


async def test_rate_of_the_node_follows_the_busy_worker(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        fleet = at.fleet
        for job_id in "ab":
            fleet.add_job(job(job_id))
        at.clock.advance(1.0)
        fleet._share_by_demand()
        at.clock.advance(1.0)
        fleet._accounts.take(1, Report(held_back=(1, 0)))
        fleet.jobs["a"].up.mirror(1_000_000, 1, 0.0, exhausted=False)
        fleet._share_by_demand()
        assert [up for up, _ in fleet._apportionment.parts] == pytest.approx([0.95, 0.05])
        await fleet.settled()


async def test_worker_that_dies_keeps_its_jobs_and_what_they_had_counted(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        at.fleet.add_job(job("a"))
        where = at.listen("a")
        assert await status(where, "b.test:443") == 403
        await at.fleet.refresh()
        os.kill(at.fleet.crew.owner("a").pid, signal.SIGKILL)
        await until_seen(lambda: len(at.log.lines("worker")) == 2)
        assert await status(where, "b.test:443") == 403
        await at.fleet.refresh()
        assert at.fleet.jobs["a"].counters()[2:4] == (2, 2)
        assert at.fleet.totals().decisions["not-listed"] == 2
        died, back = at.log.lines("worker")
        assert (died["problem"], died["jobs"], back["problem"]) == ("it was ended by SIGKILL", 1, None)


async def test_report_that_comes_too_late_for_who_asked_counts(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        at.fleet.add_job(job("a"))
        where = at.listen("a")
        assert await status(where, "b.test:443") == 403
        await at.fleet.settled()
        hand = at.fleet.crew.owner("a")
        os.kill(hand.pid, signal.SIGSTOP)
        try:
            assert await hand.ask({"report": True}, 0.01) is None
        finally:
            os.kill(hand.pid, signal.SIGCONT)
        await at.fleet.refresh()
        assert at.fleet.jobs["a"].counters()[2:4] == (1, 1)


async def test_closed_fleet_leaves_no_process(tmp_path: Path) -> None:
    async with rig(tmp_path) as at:
        pids = [hand.pid for hand in at.fleet.crew]
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))
