"""One job at each of its caps changes nothing for the job next to it: every request of that one is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from support.client import Client
from support.gate import Line, RunningGate, running_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, ok
from support.origin import Origin, answer, swallow
from support.wait import until

REQUESTS = 50
CONFIGURATION = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-65535"]
[dns]
servers = ["127.0.0.1:9"]
hosts = { "ok.test" = ["127.0.0.1"] }
[limits]
requests_per_s_per_job = 60
dns_names_per_s_per_job = 5
[[job]]
id = "noisy"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
rate_up = "1mbit"
rate_down = "1mbit"
max_connections = 8
tls = "any"
[[job]]
id = "neighbour"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
"""
NOISY, NEIGHBOUR = 0, 1
CONTENT = bytes(1000)
LARGE = bytes(1_000_000)


async def hold_connections(gate: RunningGate, port: int) -> None:
    """Keep as many connections as there may be, and open more all the time."""
    async with AsyncExitStack() as stack:
        for _ in range(8):
            client = await stack.enter_async_context(gate.client(NOISY))
            assert (await client.request(connect(f"ok.test:{port}"), "CONNECT")).status == 200
        while True:
            async with gate.client(NOISY) as client:
                await client.send(connect(f"ok.test:{port}"))
                await client.read_to_end()


async def flood(gate: RunningGate, port: int, request: Callable[[int], bytes]) -> None:
    """Send requests as fast as they are answered, over eight connections."""

    async def send() -> None:
        number = 0
        while True:
            with suppress(ConnectionError):
                async with gate.client(NOISY) as client:
                    while not client.ended:
                        number += 1
                        await client.send(request(number))
                        await client.read_some()

    await asyncio.gather(*(send() for _ in range(8)))


async def ask_too_often(gate: RunningGate, port: int) -> None:
    await flood(gate, port, lambda number: absolute(f"http://ok.test:{port}/"))


async def be_refused(gate: RunningGate, port: int) -> None:
    await flood(gate, port, lambda number: absolute(f"http://evil{number}.test/"))


async def ask_for_new_names(gate: RunningGate, port: int) -> None:
    await flood(gate, port, lambda number: absolute(f"http://n{number}.ok.test:{port}/"))


async def talk_nonsense(gate: RunningGate, port: int) -> None:
    await flood(gate, port, lambda number: b"\x16\x03\x01\0\0\r\n\r\n")


async def upload(gate: RunningGate, port: int) -> None:
    """Upload over seven tunnels without end."""

    async def send() -> None:
        async with gate.client(NOISY) as client:
            assert (await client.request(connect(f"ok.test:{port}"), "CONNECT")).status == 200
            while True:
                await client.send(LARGE)

    await asyncio.gather(*(send() for _ in range(7)))


async def download(gate: RunningGate, port: int) -> None:
    """Ask for much more than the rate gives."""

    async def ask() -> None:
        async with gate.client(NOISY) as client:
            await client.send(absolute(f"http://ok.test:{port}/") * 20)
            await client.read_to_end()

    await asyncio.gather(*(ask() for _ in range(7)))


def refused_for(reason: str) -> Callable[[RunningGate], bool]:
    """Say whether the noisy job has been refused something for this reason."""
    return lambda gate: any(line["reason"] == reason for line in lines_of(gate, "noisy"))


def waits_for_its_rate(gate: RunningGate) -> bool:
    job = gate.gate.jobs["noisy"]
    return any(queue is not None and queue.waiting > 0 for queue in (job.up._queue, job.down._queue))


Attack = Callable[[RunningGate, int], Awaitable[None]]
ATTACKS: list[tuple[Attack, Callable[[RunningGate], bool]]] = [
    (hold_connections, refused_for("connections")),
    (ask_too_often, refused_for("rate")),
    (be_refused, refused_for("not-listed")),
    (ask_for_new_names, refused_for("rate")),
    (talk_nonsense, refused_for("bad-request")),
    (upload, waits_for_its_rate),
    (download, waits_for_its_rate),
]


@asynccontextmanager
async def under(attack: Attack, gate: RunningGate, port: int) -> AsyncIterator[None]:
    """Attack while the context is open; an attack that ends by itself has failed."""
    attacking = asyncio.ensure_future(attack(gate, port))
    try:
        yield
        assert not attacking.done(), attacking.exception()
    finally:
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)


def lines_of(gate: RunningGate, job: str) -> list[Line]:
    return [line for line in gate.decisions if line["job"] == job]


async def ask_as_neighbour(client: Client, port: int) -> None:
    response = await client.request(absolute(f"http://ok.test:{port}/"))
    assert (response.status, response.body) == (200, CONTENT)


@pytest.mark.parametrize(("attack", "is_on"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
async def test_neighbour_of_a_job_at_its_caps_is_served_all_the_time(
    attack: Attack, is_on: Callable[[RunningGate], bool]
) -> None:
    async with (
        HttpOrigin(CONTENT) as origin,
        Origin(swallow) as sink,
        Origin(answer(*[ok(LARGE)] * 20)) as source,
        running_gate(CONFIGURATION) as gate,
    ):
        ports: dict[Attack, int] = {hold_connections: sink.port, upload: sink.port, download: source.port}
        async with under(attack, gate, ports.get(attack, origin.port)), gate.client(NEIGHBOUR) as client:
            await until(lambda: is_on(gate))
            for _ in range(REQUESTS):
                await ask_as_neighbour(client, origin.port)
            assert is_on(gate)
        ours = lines_of(gate, "neighbour")
        assert [line["decision"] for line in ours] == ["allow"] * REQUESTS


async def test_neighbour_s_cap_of_connections_is_its_own() -> None:
    async with (
        Origin(swallow) as sink,
        running_gate(CONFIGURATION) as gate,
        AsyncExitStack() as stack,
    ):
        for job, count in ((NOISY, 9), (NEIGHBOUR, 20)):
            clients = [await stack.enter_async_context(gate.client(job)) for _ in range(count)]
            request = connect(f"ok.test:{sink.port}")
            statuses = [(await client.request(request, "CONNECT")).status for client in clients]
            assert statuses == [200] * min(count, 8 if job == NOISY else count) + [429] * (job == NOISY)
