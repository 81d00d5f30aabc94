"""Quotas and ends of a job, over the wire: what is cut, what is refused, and how a change gives more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from jobgate.config.settings import JobSettings
from jobgate.proxy.usage import JobCounters
from support.changes import change_job, job_of
from support.client import Client
from support.gate import RunningGate, loopback_gate
from support.messages import absolute, connect, head, ok
from support.origin import Origin, answer, echo, swallow
from support.wait import until

RATES = ['"unlimited"', '"100mbit"']


async def open_tunnel(client: Client, port: int) -> None:
    assert (await client.request(connect(f"ok.test:{port}"), "CONNECT")).status == 200


async def reason_of_next(gate: RunningGate) -> str:
    """Ask for something on a new connection."""
    async with gate.client() as client:
        response = await client.request(absolute("http://ok.test/"))
        assert response.status == 403
        return response.value("x-jobgate-reason")


# --- bytes


@pytest.mark.parametrize("rate", RATES, ids=["unlimited", "limited"])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_byte_quota_cuts_every_tunnel_in_mid_stream_and_refuses_new_requests(
    rate: str, direction: str
) -> None:
    quota = 100_000
    async with (
        Origin(echo) as origin,
        loopback_gate(rate=rate, job=f"max_bytes_{direction} = {quota}") as gate,
        gate.client() as busy,
        gate.client() as idle,
    ):
        await open_tunnel(busy, origin.port)
        await open_tunnel(idle, origin.port)
        for _ in range(20):
            await busy.send(b"x" * 5_000)
            await busy.read_exactly(5_000)
        await busy.send(b"x")
        for client in (busy, idle):
            assert await client.read_to_end() == b""
            assert client.was_reset
        await gate.until_closed(2)
        assert [line["reason"] for line in gate.closes] == ["quota", "quota"]
        assert getattr(job_of(gate).counters(), f"bytes_{direction}") == quota
        assert await reason_of_next(gate) == "quota"


async def test_byte_quota_refuses_an_exchange_before_its_response() -> None:
    content = b"x" * 50_000
    async with (
        Origin(swallow) as origin,
        loopback_gate(job="max_bytes_up = 20000") as gate,
        gate.client() as client,
    ):
        await client.send(absolute(f"http://ok.test:{origin.port}/", "Content-Length: 50000", method="PUT"))
        await client.send(content)
        response = await client.response("PUT")
        assert (response.status, response.value("x-jobgate-reason")) == (403, "quota")
        await gate.until_closed(1)
        assert (gate.closes[0]["reason"], gate.closes[0]["status"]) == ("quota", 403)


async def test_byte_quota_cuts_a_response_that_has_begun() -> None:
    async with (
        Origin(answer(head("HTTP/1.1 200 OK", "Content-Length: 50000") + b"x" * 50_000)) as origin,
        loopback_gate(rate='"10mbit"', job="max_bytes_down = 40000") as gate,
        gate.client() as client,
    ):
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        received = await client.read_to_end()
        assert received.startswith(b"HTTP/1.1 200")
        assert client.was_reset
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "quota"
        assert job_of(gate).counters().bytes_down <= 40_000


async def test_larger_quota_serves_again_and_the_count_goes_on() -> None:
    async with (
        Origin(answer(ok(b"x" * 1000), ok(b"x" * 1000))) as origin,
        loopback_gate(job="max_bytes_down = 1500") as gate,
        gate.client() as client,
    ):
        await client.request(absolute(f"http://ok.test:{origin.port}/"))
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        await gate.until_closed(2)
        assert await reason_of_next(gate) == "quota"
        used = job_of(gate).counters().bytes_down
        change_job(gate, replace(job_of(gate).settings, max_bytes_down=100_000))
        async with gate.client() as late:
            assert (await late.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        assert job_of(gate).counters().bytes_down > used


async def test_smaller_quota_than_what_was_used_ends_at_once() -> None:
    async with Origin(echo) as origin, loopback_gate() as gate, gate.client() as client:
        await open_tunnel(client, origin.port)
        await client.send(b"x" * 100)
        await client.read_exactly(100)
        change_job(gate, replace(job_of(gate).settings, max_bytes_up=50))
        assert await client.read_to_end() == b""
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "quota"


async def test_restart_does_not_renew_a_quota() -> None:
    async with loopback_gate(job="max_bytes_up = 1000") as gate:
        settings = job_of(gate).settings
        gate.gate.remove_job("job")
        job = gate.gate.add_job(settings, restored=JobCounters(1000, 5, 7, 3, 1.0))
        assert job.gone is not None
        assert job.gone.token == "quota"
        assert job.counters() == JobCounters(1000, 5, 7, 3, 1.0)


# --- time


#: When the job of these tests began.
START = 1_000_000.0

End = Callable[[JobSettings, float], JobSettings]


def expiring(settings: JobSettings, after_s: float) -> JobSettings:
    return replace(settings, expires_at=time.time() + after_s)


def lasting(settings: JobSettings, after_s: float) -> JobSettings:
    return replace(settings, max_duration_s=time.time() - START + after_s)


@pytest.mark.parametrize(
    ("end", "ended", "refused"),
    [(expiring, "revoked", "expired"), (lasting, "quota", "quota")],
    ids=["expires", "max-duration"],
)
async def test_time_that_is_over_ends_tunnels_and_refuses_new_requests(
    end: End, ended: str, refused: str
) -> None:
    async with (
        Origin(echo) as origin,
        loopback_gate() as gate,
        gate.client() as client,
        gate.client() as kept,
    ):
        job = job_of(gate)
        job.restored = job.restored._replace(started_at=START)
        await open_tunnel(client, origin.port)
        assert (await kept.request(absolute("http://evil.test/"))).status == 403
        change_job(gate, end(job.settings, 0.05))
        assert await client.read_to_end() == b""
        assert client.was_reset
        await until(lambda: any(line["reason"] == ended for line in gate.closes))
        response = await kept.request(absolute("http://ok.test/"))
        assert response.value("x-jobgate-reason") == refused
        assert await reason_of_next(gate) == refused
        change_job(gate, end(job.settings, 1000.0))
        async with gate.client() as late:
            await open_tunnel(late, origin.port)
