"""Jobs and listeners that come, change and go while the gate runs; for requests see test_wire_changes.py."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

import jobgate
from jobgate.config.load import load_text
from jobgate.config.policy import PolicyError
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.accepting import spare
from jobgate.proxy.alarms import own_alarms
from jobgate.proxy.gate import Gate
from jobgate.proxy.job import Job
from jobgate.proxy.journal import Journal
from jobgate.proxy.logwriter import LogWriter
from support.changes import change_node, job_of
from support.client import Client
from support.gate import FakeResolver, loopback_gate
from support.messages import absolute, connect, ok
from support.origin import Origin, answer, echo
from support.wait import until

CONFIGURATION = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-65535"]
[[job]]
id = "first"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
tls = "any"
"""


@asynccontextmanager
async def gate_without_jobs(journal: Journal | None = None) -> AsyncIterator[tuple[Gate, JobSettings]]:
    """Make a gate, and a job to add to it."""
    settings = load_text(CONFIGURATION)
    gate = Gate(settings, journal=journal or Journal(), resolver=FakeResolver.everything("127.0.0.1"))
    try:
        yield gate, settings.jobs[0]
    finally:
        await gate.close()


@asynccontextmanager
async def silent_log() -> AsyncIterator[Journal]:
    """Make a journal whose lines nobody reads."""
    writer = LogWriter(os.devnull)
    yield Journal(writer)
    writer.close()


def listening() -> tuple[socket.socket, int]:
    """Open a listening socket."""
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def node_settings(settings: Settings, text: str) -> Settings:
    """The same gate with another ``[node]``."""
    return replace(settings, node=load_text(f"[node]\n{text}").node)


# --- jobs


async def test_unknown_job_can_neither_be_changed_nor_removed() -> None:
    async with gate_without_jobs() as (gate, settings):
        with pytest.raises(KeyError):
            gate.change_job(settings)
        with pytest.raises(KeyError):
            gate.remove_job(settings.id)


async def test_change_that_the_node_does_not_allow_changes_nothing() -> None:
    async with gate_without_jobs() as (gate, settings):
        gate.change_node(node_settings(gate.settings, 'allow = [".ok.test"]'))
        job = gate.add_job(settings)
        wider = replace(settings, policy=replace(settings.policy, domains=RuleSet.parse(["evil.test"])))
        with pytest.raises(PolicyError):
            gate.change_job(wider)
        assert (job.settings, job.generation) == (settings, 0)


async def test_narrower_node_bounds_the_jobs_that_are_there() -> None:
    async with gate_without_jobs() as (gate, settings):
        job = gate.add_job(settings)
        gate.change_node(node_settings(gate.settings, 'allow = ["other.test"]\nmax_rate_up = "8mbit"'))
        assert (job.policy.job.rate_up, job.policy.node) == (1e6, gate.settings.node.policy)
        with pytest.raises(PolicyError):
            gate.add_job(replace(settings, id="second"))


async def test_node_and_jobs_change_together() -> None:
    """A tunnel that the old lists of the job would lose under the new node's is judged by the new ones."""
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        assert (await client.request(connect(f"a.ok.test:{origin.port}"), "CONNECT")).status == 200
        settings = gate.gate.settings
        node = replace(settings.node, allow=RuleSet.parse(["a.ok.test"]))
        own = job_of(gate).settings
        narrower = replace(own, policy=replace(own.policy, domains=RuleSet.parse(["a.ok.test"])))
        gate.gate.change_node(replace(settings, node=node), [narrower, replace(narrower, id="unknown")])
        assert list(gate.gate.jobs) == ["job"]
        assert job_of(gate).settings == narrower
        await client.send(b"ping")
        assert await client.read_exactly(4) == b"ping"


async def test_limits_of_a_reload_hold_for_the_next_connection_and_request() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        settings = gate.gate.settings
        limits = replace(settings.limits, max_connections=1, max_target_bytes=300)
        gate.gate.change_node(replace(settings, limits=limits))
        response = await client.request(absolute(f"http://evil.test/{'x' * 400}"))
        assert response.value("x-jobgate-reason") == "target-too-long"
        async with gate.client() as second:
            response = await second.request(absolute("http://evil.test/"))
            assert response.value("x-jobgate-reason") == "overloaded"


async def test_log_follows_the_cap_on_requests_at_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal()
    asked: list[float] = []
    monkeypatch.setattr(journal, "follow", asked.append)
    async with gate_without_jobs(journal) as (gate, _):
        limits = replace(gate.settings.limits, requests_per_s_per_job=1000.0)
        gate.change_node(replace(gate.settings, limits=limits))
    assert asked == [200.0, 1000.0]


async def test_via_of_a_reload_is_in_the_next_request() -> None:
    async with Origin(answer(ok(), ok())) as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        assert (await client.request(absolute(url))).status == 200
        change_node(gate, replace(gate.gate.settings.node, via="other"))
        assert (await client.request(absolute(url))).status == 200
        assert bytes(origin.peers[0].received).count(b"1.1 other") == 1


async def test_share_holds_for_all_jobs_and_for_those_to_come() -> None:
    async with gate_without_jobs() as (gate, settings):
        limited = replace(settings, policy=replace(settings.policy, rate_up=1e6), burst_bytes=10_000)
        first = gate.add_job(limited)
        gate.set_share(0.5)
        second = gate.add_job(replace(limited, id="second"))
        assert (first.up.piece_bytes, second.up.piece_bytes) == (2_500, 2_500)
        gate.set_share(1.0)
        assert (first.up.piece_bytes, second.up.piece_bytes) == (5_000, 5_000)


# --- listeners


async def test_unlisten_closes_the_socket_and_lets_connections_go_on() -> None:
    async with Origin(echo) as origin, gate_without_jobs() as (gate, settings):
        sock, port = listening()
        listener = gate.listen(gate.add_job(settings), sock)
        async with await Client.connect(port) as client:
            assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
            gate.unlisten(listener)
            with pytest.raises(ConnectionRefusedError):
                await Client.connect(port)
            assert not gate.is_own(ip_address("127.0.0.1"), port)
            await client.send(b"ping")
            assert await client.read_exactly(4) == b"ping"
        with pytest.raises(KeyError):
            gate.unlisten(listener)


async def test_job_may_have_several_listeners_and_all_go_with_it() -> None:
    async with gate_without_jobs() as (gate, settings):
        job = gate.add_job(settings)
        ports = []
        for _ in range(2):
            sock, port = listening()
            gate.listen(job, sock)
            ports.append(port)
        for port in ports:
            async with await Client.connect(port) as client:
                assert (await client.request(absolute("http://evil.test/"))).status == 403
        gate.remove_job(settings.id)
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await Client.connect(port)


async def test_detached_sockets_stay_open_and_keep_who_waits_for_the_next_process() -> None:
    async with gate_without_jobs() as (gate, settings):
        sock, port = listening()
        gate.listen(gate.add_job(settings), sock)
        detached = gate.detach()
        assert detached == [sock]
        async with await Client.connect(port):
            taken, _ = sock.accept()
            taken.close()
        assert gate.is_own(ip_address("127.0.0.1"), port)
        sock.close()


async def test_endpoint_besides_the_gate_is_own_as_well() -> None:
    async with gate_without_jobs() as (gate, _):
        gate.own.add("127.0.0.1", 9900)
        assert gate.is_own(ip_address("127.0.0.1"), 9900)


# --- nothing is left

ROUNDS, AT_ONCE = 20, 50


def held(gate: Gate) -> dict[str, int]:
    """Count all that a job may leave behind."""
    return {
        "jobs": len(gate.jobs),
        "leaving": len(gate._leaving),
        "listeners": len(gate._listeners),
        "own": len(gate.own._endpoints),
        "tasks": len(gate.reception._tasks),
        "connections": len(gate.reception.open),
        "idle-upstreams": spare(gate.max_connections) - gate._commons.idle.left,
        "log-shares": len(gate.journal._shares),
        "totals": len(gate._commons.total_up._jobs) + len(gate._commons.total_down._jobs),
        "alarms": len(own_alarms()),
        "all-tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def blocks_of_ours() -> int:
    """Count the pieces of memory that the gate has asked for since ``tracemalloc`` was started, and stop it.

    A job in use is some 150.
    """
    gc.collect()  # what waits for that, and what the interpreter keeps for later
    found = tracemalloc.take_snapshot()
    tracemalloc.stop()
    ours = str(Path(jobgate.__file__).parent / "*")
    return len(found.filter_traces([tracemalloc.Filter(True, ours)]).traces)


def running_timers() -> list[asyncio.TimerHandle]:
    """Find the timers of both loops that are neither cancelled nor fired."""
    gc.collect()
    timers = [found for found in gc.get_objects() if type(found).__name__ == "TimerHandle"]
    return [timer for timer in timers if not timer.cancelled()]


async def use_and_remove(gate: Gate, settings: JobSettings, origin: Origin) -> weakref.ref[Job]:
    """Add a job, use it in all ways, change it, and remove it while it is in use."""
    sock, port = listening()
    gate.listen(gate.add_job(settings), sock)
    job = weakref.ref(gate.jobs[settings.id])
    async with await Client.connect(port) as plain, await Client.connect(port) as tunnel:
        assert (await plain.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        assert (await plain.request(absolute("http://evil.test/"))).status == 403
        assert (await tunnel.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        gate.change_job(replace(settings, policy=replace(settings.policy, rate_up=1e6)))
        gate.remove_job(settings.id)
        assert await tunnel.read_to_end() == b""
        assert await plain.read_to_end() == b""
    return job


@pytest.mark.timeout(120)
async def test_a_thousand_jobs_added_used_changed_and_removed_leave_nothing() -> None:
    of_others = running_timers()  # of gates before, on loops that are gone: caches of aiohttp keep some
    async with (
        Origin(answer(ok(b"1"))) as origin,
        silent_log() as journal,
        gate_without_jobs(journal) as (gate, settings),
    ):
        settings = replace(settings, max_duration_s=3600.0)
        await use_and_remove(gate, settings, origin)
        await until(lambda: not gate._leaving)
        await origin.until_all_ended()
        before = held(gate)
        for first in range(0, ROUNDS * AT_ONCE, AT_ONCE):
            jobs = [replace(settings, id=f"job-{first + n}") for n in range(AT_ONCE)]
            await asyncio.gather(*(use_and_remove(gate, job, origin) for job in jobs))
            if not first:
                tracemalloc.start()  # behind these, so that caches are full
        await origin.until_all_ended()
        await until(lambda: held(gate) == before)
        assert before["jobs"] == before["log-shares"] == before["own"] == before["alarms"] == 0
        others = set(map(id, of_others))
        ours = [timer for timer in running_timers() if id(timer) not in others]
        assert len(ours) <= 1  # that of the alarms, which may still be on its way
        assert not gate._pacer.armed
        assert gate.totals().decisions["not-listed"] == ROUNDS * AT_ONCE + 1
        writer = gate.journal._writer
        await until(lambda: writer is not None and not writer.pending_bytes)  # a line that waits is one
        assert blocks_of_ours() < ROUNDS * AT_ONCE // 10


async def test_removed_job_waits_for_no_collection() -> None:
    async with Origin(answer(ok(b"1"))) as origin, gate_without_jobs() as (gate, settings):
        gc.disable()
        try:
            removed = await use_and_remove(gate, replace(settings, max_duration_s=3600.0), origin)
            await until(lambda: removed() is None)
        finally:
            gc.enable()


async def test_idle_job_takes_little_memory() -> None:
    count = 200
    async with gate_without_jobs() as (gate, settings):
        gate.add_job(settings)
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(count):
                gate.add_job(replace(settings, id=f"job-{number}", max_duration_s=3600.0))
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert taken / count < 16 * 1024
