"""A gate whose listeners another process has: its connections go on, and each ends without harm."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from support.client import Client
from support.gate import RunningGate, loopback_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect
from support.origin import Origin, echo


def url(origin: HttpOrigin) -> str:
    return f"http://ok.test:{origin.port}/"


async def test_kept_connection_is_closed_with_its_next_answer() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        first = await client.request(absolute(url(origin)))
        gate.gate.detach()
        second = await client.request(absolute(url(origin)))
        assert [first.values("connection"), second.values("connection")] == [[], ["close"]]
        assert (second.status, await client.read_to_end()) == (200, b"")


async def test_requests_that_were_sent_already_are_all_answered() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        gate.gate.detach()
        await client.send(absolute(url(origin)) * 3)
        answers = [await client.response() for _ in range(3)]
        assert [answer.values("connection") for answer in answers] == [[], [], ["close"]]
        assert await client.read_to_end() == b""


async def test_refusal_closes_a_kept_connection_as_well() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        gate.gate.detach()
        refused = await client.request(absolute("http://evil.test/"))
        assert (refused.status, refused.values("connection")) == (403, ["close"])
        assert await client.read_to_end() == b""


async def test_tunnel_goes_on_and_its_end_empties_the_gate() -> None:
    async with Origin(echo) as origin, loopback_gate() as gate:
        async with gate.client() as client:
            await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")
            gate.gate.detach()
            emptied = asyncio.ensure_future(gate.gate.reception.emptied())
            await client.send(b"ping")
            assert await client.read_exactly(4) == b"ping"
            assert not emptied.done()
        await emptied


async def test_resumed_gate_accepts_and_keeps_connections() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate:
        gate.gate.detach()
        waiting = await Client.connect(gate.port)
        gate.gate.resume()
        async with waiting:
            for _ in range(2):
                assert (await waiting.request(absolute(url(origin)))).values("connection") == []


async def test_share_holds_for_the_rate_of_the_node() -> None:
    def totals(gate: RunningGate) -> list[float]:
        commons = gate.gate._commons
        return [commons.total_up._rate, commons.total_down._rate]

    async with loopback_gate(node="total_rate_up = 1000000\ntotal_rate_down = 3000000") as gate:
        gate.gate.set_share(0.5)
        assert totals(gate) == [500_000, 1_500_000]
        settings = gate.gate.settings
        gate.gate.change_node(replace(settings, node=replace(settings.node, total_rate_up=4e6)))
        assert totals(gate) == [2_000_000, 1_500_000]
        gate.gate.set_share(1.0)
        assert totals(gate) == [4_000_000, 3_000_000]
