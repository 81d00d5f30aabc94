"""Several processes serve the jobs of one gateway, and nobody who uses it can tell."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from support.busy import Load, Talk
from support.crew import Crew, crew, is_alive
from support.wait import until_seen

PATIENCE_S = 20.0


async def test_each_job_is_served_by_one_worker(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        workers = made.ready["workers"]
        assert len(set(workers)) == 2
        holders: dict[str, set[int]] = {}
        for job in "abcdabcd":
            holders.setdefault(job, set()).add(await held_by(made, made.listener(job)))
        shared = made.ready["proxy"][0]
        for job in "stst":
            holders.setdefault(job, set()).add(await held_by(made, shared, job))
        assert all(len(pids) == 1 for pids in holders.values())
        assert {job: workers.index(next(iter(pids))) for job, pids in holders.items()} == {
            "a": 0,
            "b": 1,
            "c": 0,
            "d": 1,
            "s": 0,
            "t": 1,
        }


async def held_by(made: Crew, where: str, job: str = "") -> int:
    """The process that answers a request."""
    async with made.asked(where, job) as (reader, writer):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        return await made.holder(writer.get_extra_info("socket"))


@pytest.mark.parametrize("place", [0, 1], ids=["tcp", "unix"])
async def test_shared_listeners_lead_to_each_job_and_refuse_strangers(tmp_path: Path, place: int) -> None:
    async with crew(tmp_path) as made:
        shared = made.ready["proxy"][place]
        assert [await made.status(shared, job=job) for job in "st"] == [200, 200]
        assert await made.status(shared, job="s", token="wrong-wrong-wrong-wrong") == 407
        assert await made.status(shared, job="nobody") == 407
        assert await made.status(shared) == 407
        await made.until_event("close", 3, job="", reason="auth")


async def test_head_in_pieces_on_a_shared_listener_is_waited_for(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        request = made.request("t")
        reader, writer = await made.connected(made.ready["proxy"][0])
        for start in range(0, len(request), 40):
            writer.write(request[start : start + 40])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET http://o.test/ HTTP/1.1\r\nHost", 408), (b"\x16\x03\x01\x00\xff", 400), (b"", None)],
    ids=["unfinished", "not-http", "silent"],
)
async def test_head_that_never_comes_on_a_shared_listener_is_refused_in_time(
    tmp_path: Path, sent: bytes, status: int | None
) -> None:
    async with crew(tmp_path, head_s=0.3) as made:
        reader, writer = await made.connected(made.ready["proxy"][0])
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        assert answer[:12] == (b"" if status is None else f"HTTP/1.1 {status}".encode())
        writer.close()


async def test_kept_connection_of_a_shared_listener_stays_with_its_first_job(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        reader, writer = await made.connected(made.ready["proxy"][0])
        for job, status in (("s", 200), ("s", 200), ("t", 407)):
            writer.write(made.request(job))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            if status == 200:
                await reader.readexactly(100)
        assert b"connection: close" in head.lower()
        writer.close()


async def test_killed_worker_is_started_again_and_the_others_do_not_notice(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        victim, other = made.ready["workers"]
        load = Load(made.listener("b"), made.origin)
        load.start(tunnels=1, downloads=1, kept=1)
        async with (
            Talk.opened(made.listener("a"), made.origin) as cut,
            Talk.opened(made.listener("b"), made.origin) as kept,
        ):
            await cut.say(1000)
            await kept.say(1000)
            before = (await made.api("GET", "jobs/a"))["live"]
            assert (before["bytes_up"], before["requests"], before["connections"]) == (1005, 1, 1)
            os.kill(victim, signal.SIGKILL)
            await cut.is_cut()
            assert await made.status(made.listener("a")) == 200  # waits in the backlog, meanwhile
            assert await made.status(made.ready["proxy"][0], job="s") == 200
            await kept.say(1000)
            await load.reach("tunnel", load.done["tunnel"] + 5)
        await load.end()
        assert load.failures == []
        after = (await made.api("GET", "jobs/a"))["live"]
        assert after["bytes_up"] > 1005
        assert (after["requests"], after["connections"]) == (2, 0)
        died = await made.until_event("worker", worker=1)
        assert (died["pid"], died["problem"], died["jobs"]) == (victim, "it was ended by SIGKILL", 3)
        back = await made.until_event("worker", times=2, worker=1)
        assert back["problem"] is None
        assert made.events("worker", worker=2) == []
        assert is_alive(other)
        assert is_alive(back["pid"])


async def test_counters_of_a_killed_worker_are_in_the_store(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        async with Talk.opened(made.listener("a"), made.origin) as talk:
            await talk.say(5000)
            await made.api("GET", "jobs/a")
            os.kill(made.ready["workers"][0], signal.SIGKILL)
            await made.until_event("worker", worker=1, problem=None)
        made.served.process.terminate()
        await until_seen(lambda: made.served.process.poll() is not None)
    with sqlite3.connect(tmp_path / "state.db") as database:
        rows = database.execute("SELECT bytes_up, requests FROM usage WHERE id = 'a'").fetchall()
    database.close()
    assert rows == [(5005, 1)]


async def test_jobs_come_change_and_go_by_the_api(tmp_path: Path) -> None:
    document = {
        "network": "http",
        "domains": [],
        "listen": "127.0.0.1:0",
        "tls": "any",
        "rate_up": "unlimited",
        "rate_down": "unlimited",
    }
    async with crew(tmp_path) as made:
        both = {**document, "domains": [f"o.test:{made.origin}", f"p.test:{made.origin}"]}
        job = await made.api("PUT", "jobs/new", both)
        assert await made.status(job["listen"]) == 200
        async with Talk.opened(job["listen"], made.origin) as talk:
            await talk.say(100)
            await made.api("PATCH", "jobs/new", {"domains": [f"p.test:{made.origin}"]})
            assert await talk.is_cut()
        assert await made.status(job["listen"]) == 403
        assert await made.status(job["listen"], host="p.test") == 200
        usage = await made.api("GET", "jobs/new/usage")
        assert {row["authority"] for row in usage["reached"]} == {
            f"o.test:{made.origin}",
            f"p.test:{made.origin}",
        }
        assert usage["decisions"] == {"allow": 3, "not-listed": 1}
        decisions = (await made.api("GET", "jobs/new/decisions"))["decisions"]
        assert [line["event"] for line in decisions][:2] == ["decision", "close"]
        assert len(decisions) == 8
        learned = await made.api("GET", "jobs/new/learned")
        assert len(learned["domains"]) == 2
        await made.api("DELETE", "jobs/new")
        assert await made.status(job["listen"]) == 0


async def test_events_of_all_workers_reach_those_who_follow(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        connector = aiohttp.UnixConnector(f"{tmp_path}/control.sock")
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://gateway/v1/events") as response,
        ):
            await response.content.readline()
            seen: set[str] = set()
            async with asyncio.timeout(PATIENCE_S):
                while seen != {"a", "b"}:
                    for job in {"a", "b"} - seen:
                        assert await made.status(made.listener(job)) == 200
                    line = await response.content.readline()
                    seen |= {job for job in "ab" if f'"job":"{job}"'.encode() in line}


async def test_metrics_are_sums_over_the_workers_and_do_not_go_back(tmp_path: Path) -> None:
    async def decided(made: Crew) -> float:
        connector = aiohttp.UnixConnector(f"{tmp_path}/control.sock")
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://gateway/metrics") as response,
        ):
            lines = (await response.text()).splitlines()
        (value,) = (line for line in lines if line.startswith('jobgate_decisions_total{decision="allow"'))
        return float(value.split()[1])

    async with crew(tmp_path) as made:
        for job in "abcd":
            assert await made.status(made.listener(job)) == 200
        await made.api("GET", "node")
        assert await decided(made) == 4
        os.kill(made.ready["workers"][0], signal.SIGKILL)
        await made.until_event("worker", worker=1, problem=None)
        assert await decided(made) == 4
        assert await made.status(made.listener("a")) == 200
        await made.api("GET", "node")
        assert await decided(made) == 5


async def test_reload_holds_in_all_workers(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        async with (
            Talk.opened(made.listener("a"), made.origin) as first,
            Talk.opened(made.listener("b"), made.origin) as second,
        ):
            await first.say(10)
            await second.say(10)
            made.configure(deny='"o.test"')
            made.served.process.send_signal(signal.SIGHUP)
            assert await first.is_cut()
            assert await second.is_cut()
        await until_seen(lambda: len(made.events("close", reason="revoked")) == 2)
        assert [await made.status(made.listener(job), host="p.test") for job in "ab"] == [200, 200]


async def test_log_is_opened_anew_by_all(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        listeners = [made.listener(job) for job in "ab"]
        (tmp_path / "log").rename(tmp_path / "log.1")
        made.served.process.send_signal(signal.SIGHUP)
        await until_seen(lambda: (tmp_path / "log").exists() and bool(made.events("policy")))
        for where in listeners:
            assert await made.status(where) == 200
        await until_seen(lambda: len(made.events("close")) == 2)
        assert '"event":"close"' not in (tmp_path / "log.1").read_text()


async def test_drain_lets_tunnels_of_all_workers_end(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        workers, where = made.ready["workers"], made.listener("a")
        async with (
            Talk.opened(where, made.origin) as first,
            Talk.opened(made.listener("b"), made.origin) as second,
        ):
            await first.say(10)
            await second.say(10)
            made.served.process.terminate()
            await made.until_refused(where)
            await first.say(1000)
            await second.say(1000)
            assert made.served.process.poll() is None
        await until_seen(lambda: made.served.process.poll() is not None)
        assert made.served.process.returncode == 0
        assert not any(map(is_alive, workers))
        assert sorted(line["job"] for line in made.events("close", bytes_up=1015)) == ["a", "b"]


async def test_second_signal_ends_tunnels_of_all_workers(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        workers, where = made.ready["workers"], made.listener("a")
        async with Talk.opened(where, made.origin) as talk:
            await talk.say(10)
            made.served.process.terminate()
            await made.until_refused(where)
            made.served.process.terminate()
            assert await talk.is_cut()
        await until_seen(lambda: made.served.process.poll() is not None)
        assert not any(map(is_alive, workers))


async def test_workers_end_with_their_main_process(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        workers = made.ready["workers"]
        async with Talk.opened(made.listener("a"), made.origin) as talk:
            await talk.say(10)
            made.served.process.kill()
            assert await talk.is_cut()
        await until_seen(lambda: not any(map(is_alive, workers)))


async def test_signals_that_reach_workers_too_change_nothing(tmp_path: Path) -> None:
    async with crew(tmp_path) as made:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for pid in made.ready["workers"]:
                os.kill(pid, number)
        assert [await made.status(made.listener(job)) for job in "ab"] == [200, 200]
        assert made.events("worker") == []
