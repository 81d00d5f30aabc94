"""CONNECT to port 80 over the wire: plain HTTP in a tunnel is read as plain HTTP."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from support.client import Client
from support.gate import DialHook, FakeResolver, RunningGate, running_gate
from support.http_origin import HttpOrigin
from support.messages import connect, head
from support.origin import Origin, echo
from support.tls import client_hello, records

CONFIGURATION = """
[node]
allow_addresses = ["127.0.0.1"]
[[job]]
id = "job"
network = "http"
listen = "127.0.0.1:0"
domains = [".ok.test"]
deny = ["bad.ok.test"]
"""


def gate_with(port: int, configuration: str = CONFIGURATION) -> AbstractAsyncContextManager[RunningGate]:
    resolver = FakeResolver.everything("127.0.0.1")
    return running_gate(configuration, resolver=resolver, dialer=DialHook({80: port}))


async def open_port_80(client: Client, name: str = "ok.test") -> None:
    assert (await client.request(connect(f"{name}:80"), "CONNECT")).status == 200


async def test_connect_to_port_80_is_answered_without_dialling() -> None:
    async with HttpOrigin() as origin, gate_with(origin.port) as gate, gate.client() as client:
        await open_port_80(client)
        assert origin.peers == []
        assert gate.dials == []


async def test_requests_inside_are_read_decided_and_logged_as_http() -> None:
    async with HttpOrigin() as origin, gate_with(origin.port) as gate, gate.client() as client:
        await open_port_80(client)
        for path in ["/a", "/b"]:
            response = await client.request(head(f"GET {path} HTTP/1.1", "Host: ok.test"))
            assert response.status == 200
        assert [request.target for request in origin.requests] == [b"/a", b"/b"]
        assert {tuple(request.values(b"host")) for request in origin.requests} == {(b"ok.test",)}
        assert [line["kind"] for line in gate.decisions[1:]] == ["http", "http"]


@pytest.mark.parametrize("host", ["ok.test:80", "OK.test.", "ok.test"])
async def test_host_equal_to_the_authority_is_accepted(host: str) -> None:
    async with HttpOrigin() as origin, gate_with(origin.port) as gate, gate.client() as client:
        await open_port_80(client)
        assert (await client.request(head("GET / HTTP/1.1", f"Host: {host}"))).status == 200
        assert origin.requests[0].values(b"host") == [b"ok.test"]


NOT_HTTP = {
    "other-host": head("GET / HTTP/1.1", "Host: other.ok.test"),
    "absolute-form": head("GET http://ok.test/ HTTP/1.1", "Host: ok.test"),
    "tls": b"\x16\x03\x01\x00\x86\x01\x00\x00\x82\x03\x03\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no-host": head("GET / HTTP/1.1"),
    "connect": connect("ok.test:443"),
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_anything_else_inside_closes(data: bytes) -> None:
    async with HttpOrigin() as origin, gate_with(origin.port) as gate, gate.client() as client:
        await open_port_80(client)
        await client.send(data)
        assert await client.read_to_end() == b""
        await gate.until_closed(len(gate.decisions))
        assert "not-http" in {line["reason"] for line in gate.closes}
        assert origin.raw == b""


async def test_connect_to_port_80_of_a_name_that_is_not_listed_is_refused() -> None:
    async with HttpOrigin() as origin, gate_with(origin.port) as gate, gate.client() as client:
        for name, reason in [("evil.test", "not-listed")]:
            response = await client.request(connect(f"{name}:80"))
            assert (response.status, response.value("x-jobgate-reason")) == (403, reason)
        assert await client.read_to_end() == b""


async def test_denied_name_on_port_80_is_refused() -> None:
    async with HttpOrigin() as origin, gate_with(origin.port) as gate, gate.client() as client:
        response = await client.request(connect("bad.ok.test:80"))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "denied")


async def test_port_80_listed_for_connect_is_an_ordinary_tunnel() -> None:
    configuration = CONFIGURATION.replace("[node]", '[node]\nconnect_ports = ["80", "443"]')
    hello = records(client_hello())
    async with Origin(echo) as origin, gate_with(origin.port, configuration) as gate, gate.client() as client:
        await open_port_80(client)
        await client.send(hello)
        assert await client.read_exactly(len(hello)) == hello


async def test_address_is_vetted_for_each_request_inside() -> None:
    configuration = CONFIGURATION.replace('".ok.test"', '"169.254.169.254"')
    async with HttpOrigin() as origin, gate_with(origin.port, configuration) as gate, gate.client() as client:
        await open_port_80(client, "169.254.169.254")
        response = await client.request(head("GET / HTTP/1.1", "Host: 169.254.169.254"))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert gate.dials == []
