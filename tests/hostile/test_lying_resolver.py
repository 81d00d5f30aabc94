"""Name servers that lie, asked by the real resolver: the gate dials nothing that it did not vet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

import support.dns as script
from support.dns import DnsServer
from support.gate import DialHook, RunningGate, running_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect

Zone = Mapping[str, script.Reply | list[script.Reply] | str]
#: 64 KiB of answer.
MANY = [f"1.{number // 250}.{number % 250}.1" for number in range(4000)]


@asynccontextmanager
async def gate_asking(
    server: DnsServer, *, timeout_s: float = 5.0, port: int = 80
) -> AsyncIterator[RunningGate]:
    """Serve a job for ``.ok.test`` whose names only this server knows; port 80 leads to another port."""
    configuration = f"""
        [dns]
        servers = ["{server.endpoint}"]
        timeout_s = {timeout_s}
        [[job]]
        id = "job"
        network = "http"
        listen = "127.0.0.1:0"
        domains = [".ok.test"]
    """
    async with running_gate(configuration, dialer=DialHook({80: port, 443: port})) as gate:
        yield gate


async def reason_of(gate: RunningGate, request: bytes) -> str:
    """Return why a request was refused."""
    async with gate.client() as client:
        response = await client.request(request, request.split(b" ")[0].decode())
        return response.value("x-jobgate-reason")


LIES: dict[str, tuple[script.Reply, str]] = {
    "alias-of-itself": (script.chain("ok.test"), "dns-failure"),
    "aliases-in-a-circle": (script.chain("a.test", "b.test", "ok.test", "a.test"), "dns-failure"),
    "endless-aliases": (
        script.chain(*(f"n{n}.test" for n in range(60)), addresses=["1.1.1.1"]),
        "dns-failure",
    ),
    "another-name": (script.other("evil.test", "1.1.1.1"), "dns-nxdomain"),
    "another-id": (
        script.altered(script.records("1.1.1.1"), lambda wire: bytes([wire[0] ^ 1]) + wire[1:]),
        "dns-timeout",
    ),
    "another-question": (
        script.altered(script.records("1.1.1.1"), lambda wire: wire.replace(b"\2ok\4test", b"\2no\4test")),
        "dns-timeout",
    ),
    "a-question-back": (
        script.altered(script.records("1.1.1.1"), lambda wire: wire[:2] + b"\1\0" + wire[4:]),
        "dns-timeout",
    ),
    "garbage": (script.altered(script.records("1.1.1.1"), lambda wire: wire[:40]), "dns-failure"),
    "nothing": (script.silence(), "dns-timeout"),
    "nothing-over-tcp": (script.truncated(script.hangs()), "dns-timeout"),
    "64-kib-over-tcp": (script.truncated(script.records(*MANY)), "dns-failure"),
    "private": (script.records("10.0.0.1", "192.168.1.1", "fd00::1"), "address"),
    "loopback": (script.records("127.0.0.1", "::1"), "address"),
    "metadata": (script.records("169.254.169.254", "fd00:ec2::254"), "address"),
    "alias-to-private": (script.chain("cdn.test", addresses=["10.0.0.1"]), "address"),
    "embedded": (script.records("64:ff9b::a00:1", "::ffff:10.0.0.1", "2002:a00:1::"), "address"),
    "private-and-silence": (
        script.by_type(A=script.silence(), AAAA=script.records("fd00::1")),
        "dns-timeout",
    ),
    "private-and-failure": (
        script.by_type(A=script.error("SERVFAIL"), AAAA=script.records("fd00::1")),
        "dns-failure",
    ),
    "any": (script.records("0.0.0.0", "::"), "address"),
}


@pytest.mark.parametrize(("reply", "reason"), LIES.values(), ids=LIES)
@pytest.mark.parametrize(
    "request_bytes", [connect("ok.test:443"), absolute("http://ok.test/")], ids=["connect", "get"]
)
async def test_lie_is_refused_for_its_reason_and_nothing_is_dialled(
    reply: script.Reply, reason: str, request_bytes: bytes
) -> None:
    timeout_s = 0.1 if reason == "dns-timeout" else 60.0  # to make 64 KiB of answer takes its time
    async with DnsServer({"ok.test": reply}) as server, gate_asking(server, timeout_s=timeout_s) as gate:
        assert await reason_of(gate, request_bytes) == reason
        assert gate.dials == []


async def test_rebinding_is_one_query_a_dial_and_the_second_address_is_vetted_like_the_first() -> None:
    lie = script.by_type(A=script.records("1.1.1.1", ttl_s=0), AAAA=script.records())
    truth = script.by_type(A=script.records("127.0.0.1", ttl_s=0), AAAA=script.records())
    async with (
        HttpOrigin() as origin,
        DnsServer({"ok.test": [lie, truth]}) as server,
        gate_asking(server, port=origin.port) as gate,
    ):
        async with gate.client() as client:
            assert (await client.request(connect("ok.test:443"), "CONNECT")).status == 200
            assert gate.dials == [("1.1.1.1", 443)]
            assert [query.record_type for query in server.queries].count("A") == 1
        assert await reason_of(gate, absolute("http://ok.test/")) == "address"
        assert await reason_of(gate, connect("ok.test:443")) == "address"
        assert gate.dials == [("1.1.1.1", 443)]


async def test_rebinding_does_not_touch_a_connection_that_is_kept() -> None:
    lie = script.by_type(A=script.records("1.1.1.1", ttl_s=0), AAAA=script.records())
    truth = script.by_type(A=script.records("127.0.0.1", ttl_s=0), AAAA=script.records())
    async with (
        HttpOrigin() as origin,
        DnsServer({"ok.test": [lie, truth]}) as server,
        gate_asking(server, port=origin.port) as gate,
        gate.client() as client,
    ):
        for _ in range(3):
            assert (await client.request(absolute("http://ok.test/"))).status == 200
        assert gate.dials == [("1.1.1.1", 80)]
        assert len(origin.peers) == 1


async def test_forged_answers_before_the_true_one_are_not_heard() -> None:
    forged = script.altered(script.records("10.0.0.1"), lambda wire: bytes([wire[0] ^ 1]) + wire[1:])
    replies = script.both(*[forged] * 20, script.records("1.1.1.1"))
    async with (
        HttpOrigin() as origin,
        DnsServer({"ok.test": replies}) as server,
        gate_asking(server, port=origin.port) as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute("http://ok.test/"))).status == 200
        assert gate.dials == [("1.1.1.1", 80)]
        assert gate.decisions[0].get("dropped") is None


async def test_silent_server_holds_up_nobody_whose_name_is_known() -> None:
    zone: Zone = {"slow.ok.test": script.silence(), "ok.test": script.records("1.1.1.1")}
    async with (
        HttpOrigin() as origin,
        DnsServer(zone) as server,
        gate_asking(server, port=origin.port, timeout_s=0.3) as gate,
        gate.client() as slow,
        gate.client() as quick,
    ):
        await slow.send(absolute("http://slow.ok.test/"))
        await server.until_asked(1)
        assert (await quick.request(absolute("http://ok.test/"))).status == 200
        assert slow.received == b""
        assert (await slow.response()).value("x-jobgate-reason") == "dns-timeout"
