"""Group R of the acceptance cases, without a clock: who gets bytes, and that all of them arrive.

How fast is a question of ``benchmarks/bacalhau.py``.
"""

from __future__ import annotations

import asyncio

from jobgate.ratelimit.bucket import default_burst_bytes
from support.bacalhau import JOB, bacalhau_gate
from support.client import Client
from support.gate import RunningGate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, post
from support.origin import Origin, Peer
from support.tls import hello_for

HELLO = hello_for(b"example.com")
CONTENT = bytes(range(250)) * 1600


async def send_content(peer: Peer) -> None:
    """Wait for the hello, then send, and end."""
    await peer.read_exactly(len(HELLO))
    await peer.send(CONTENT)


async def send_without_end(peer: Peer) -> None:
    await peer.read_some()
    while True:
        await peer.send(CONTENT)


async def tunnel(gate: RunningGate) -> Client:
    client = await Client.connect(gate.port)
    assert (await client.request(connect("example.com:443"), "CONNECT")).status == 200
    await client.send(HELLO)
    return client


async def test_rates_and_burst_are_those_of_upstream_r1_r2_r6() -> None:
    async with bacalhau_gate() as gate:
        job = gate.gate.jobs[JOB]
        assert (job.policy.job.rate_up, job.policy.job.rate_down) == (1_250_000, 1_250_000)
        assert job.settings.burst_bytes is None
        assert default_burst_bytes(1_250_000) <= 65536


async def test_downloads_at_once_share_and_arrive_r3() -> None:
    async with Origin(send_content) as origin, bacalhau_gate(ports={443: origin.port}) as gate:
        clients = [await tunnel(gate) for _ in range(3)]
        reading = [asyncio.create_task(client.read_to_end()) for client in clients]
        await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        so_far = [len(client.received) for client in clients]
        assert min(so_far) > 0.5 * sum(so_far) / 3
        assert await asyncio.gather(*reading) == [CONTENT] * 3
        for client in clients:
            client.close()


async def test_directions_are_independent_r4() -> None:
    async with (
        Origin(send_without_end) as busy,
        HttpOrigin() as origin,
        bacalhau_gate(ports={443: busy.port, 80: origin.port}) as gate,
        await tunnel(gate) as downloads,
        await Client.connect(gate.port) as client,
    ):
        await downloads.read_exactly(100_000)  # more than the burst: the bucket is empty
        assert (await client.request(post("http://example.com/", CONTENT), "POST")).status == 200
        assert origin.requests[0].body == CONTENT


async def test_client_that_does_not_read_stops_nobody_r7() -> None:
    async with (
        Origin(send_without_end) as busy,
        HttpOrigin(body=CONTENT) as origin,
        bacalhau_gate(ports={443: busy.port, 80: origin.port}) as gate,
        await tunnel(gate),
        await Client.connect(gate.port) as client,
    ):
        assert (await client.request(absolute("http://example.com/"))).body == CONTENT
