"""An upstream proxy over the wire: decided here, then asked for an address that passed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_address

import pytest

from jobgate.config.load import load_text
from jobgate.proxy.upstream import UpstreamDialer
from support.gate import FakeResolver, RunningGate, loopback_gate
from support.messages import absolute, connect
from support.origin import Origin, Peer, echo

SECRET = "s3cret"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
Script = Callable[[Peer], Awaitable[None]]


def answering(answer: bytes, then: Script | None = None) -> Script:
    """Make an upstream proxy that answers CONNECT with these bytes."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answer)
        if then is not None:
            await then(peer)

    return script


async def serve_http(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")


def gate_behind(
    port: int, *, no_proxy: str = "[]", addresses: tuple[str, ...] = ("93.184.216.34",)
) -> AbstractAsyncContextManager[RunningGate]:
    """Serve a job whose names lead to public addresses, behind a proxy at a port of loopback."""
    tables = f'[upstream]\nproxy = "http://user:{SECRET}@127.0.0.1:{port}"\nno_proxy = {no_proxy}'
    return loopback_gate(tables=tables, node_addresses=["::1"], resolver=FakeResolver.everything(*addresses))


async def test_connect_goes_through_it_to_the_vetted_address_with_the_nodes_credentials() -> None:
    async with Origin(answering(OK, echo)) as proxy, gate_behind(proxy.port) as gate:
        async with gate.client() as client:
            assert (await client.request(connect("a.ok.test:443"), "CONNECT")).status == 200
            await client.send(b"hello")
            assert await client.read_exactly(5) == b"hello"
        await gate.until_closed(1)
        head = bytes(proxy.peers[0].received)
        assert head.startswith(b"CONNECT 93.184.216.34:443 HTTP/1.1\r\nHost: 93.184.216.34:443\r\n")
        assert b"\r\nProxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n" in head
        assert gate.closes[0]["address"] == "93.184.216.34"
        assert (gate.closes[0]["bytes_up"], gate.closes[0]["bytes_down"]) == (5, 5)
        assert SECRET not in gate.journal_text


async def test_plain_http_goes_through_a_tunnel_as_well() -> None:
    async with Origin(answering(OK, serve_http)) as proxy, gate_behind(proxy.port) as gate:
        async with gate.client() as client:
            response = await client.request(absolute("http://a.ok.test/x"))
        assert (response.status, response.body) == (200, b"hi")
        received = bytes(proxy.peers[0].received)
        assert received.startswith(b"CONNECT 93.184.216.34:80 ")
        assert b"GET /x HTTP/1.1\r\nHost: a.ok.test\r\n" in received
        assert received.count(b"Proxy-Authorization") == 1  # of the CONNECT; the origin sees none


async def test_an_origin_that_speaks_first_is_heard() -> None:
    speaking = answering(OK + b"220 hi\r\n", echo)
    async with Origin(speaking) as proxy, gate_behind(proxy.port) as gate, gate.client() as client:
        assert (await client.request(connect("a.ok.test:443"), "CONNECT")).status == 200
        assert await client.read_exactly(8) == b"220 hi\r\n"


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254"])
async def test_f14_the_guard_judges_what_the_gate_resolved(address: str) -> None:
    async with Origin(echo) as proxy, gate_behind(proxy.port, addresses=(address,)) as gate:
        async with gate.client() as client:
            response = await client.request(connect("a.ok.test:443"), "CONNECT")
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert proxy.peers == []


async def test_f14_a_name_that_is_not_listed_is_neither_resolved_nor_asked_for() -> None:
    resolver = FakeResolver.everything("93.184.216.34")
    tables = '[upstream]\nproxy = "http://127.0.0.1:1"'
    async with loopback_gate(tables=tables, resolver=resolver) as gate, gate.client() as client:
        response = await client.request(connect("evil.test:443"), "CONNECT")
        assert (response.status, response.value("x-jobgate-reason")) == (403, "not-listed")
        assert (resolver.queries, gate.dials) == ([], [])


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        pytest.param(b"HTTP/1.1 403 No\r\n\r\n", 502, "connect-refused", id="refused"),
        pytest.param(b"HTTP/1.1 407 Who\r\n\r\n", 502, "connect-refused", id="credentials"),
        pytest.param(b"HTTP/1.1 503 Busy\r\n\r\n", 502, "connect-unreachable", id="unreachable"),
        pytest.param(b"HTTP/1.1 504 Late\r\n\r\n", 504, "connect-timeout", id="late"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x28", 502, "upstream-invalid", id="no-http"),
        pytest.param(b"", 502, "upstream-closed", id="closed"),
    ],
)
async def test_its_failures_are_502_or_504_and_say_nothing_of_it(
    answer: bytes, status: int, reason: str
) -> None:
    async with Origin(answering(answer)) as proxy, gate_behind(proxy.port) as gate, gate.client() as client:
        response = await client.request(connect("a.ok.test:443"), "CONNECT")
        assert (response.status, response.value("x-jobgate-reason")) == (status, reason)
        assert SECRET.encode() not in response.body
        assert str(proxy.port).encode() not in response.body


@pytest.mark.parametrize("exception", [".ok.test", "127.0.0.0/8"], ids=["name", "network"])
async def test_exceptions_are_dialled_directly(exception: str) -> None:
    tables = f'[upstream]\nproxy = "http://127.0.0.1:1"\nno_proxy = ["{exception}"]'
    async with Origin(echo) as origin, loopback_gate(tables=tables) as gate, gate.client() as client:
        assert (await client.request(connect(f"a.ok.test:{origin.port}"), "CONNECT")).status == 200
        assert gate.dials == [("127.0.0.1", origin.port)]


async def test_a_reload_may_bring_it_or_take_it_away() -> None:
    async with loopback_gate() as running:
        gate = running.gate
        assert gate.upstream is None
        gate.change_node(load_text('[upstream]\nproxy = "http://127.0.0.1:3128"'))
        assert isinstance(gate.upstream, UpstreamDialer)
        assert gate.upstream.serves(ip_address("192.0.2.7"), [ip_address("192.0.2.7")])
        gate.change_node(load_text(""))
        assert gate.upstream is None
