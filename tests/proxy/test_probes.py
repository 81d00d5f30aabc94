from __future__ import annotations

import pytest

from jobgate.probe import PROBE
from jobgate.proxy.head import HeadLimits, parse_request_head
from jobgate.proxy.probes import is_probe
from jobgate.proxy.usage import Usage
from support.gate import DialHook, FakeResolver, RunningGate, loopback_gate, running_gate
from support.http_origin import HttpOrigin
from support.messages import connect, head


def usage_of(gate: RunningGate) -> Usage:
    return gate.gate.jobs["job"].usage


async def test_probe_is_refused_and_leaves_no_trace() -> None:
    async with loopback_gate() as gate:
        async with gate.client() as client:
            response = await client.request(PROBE)
            assert (response.status, response.value("x-jobgate-reason")) == (400, "bad-request")
            await client.read_to_end()
        async with gate.client() as client:
            await client.request(head("GET http://evil.test/ HTTP/1.1", "Host: evil.test"))
        await gate.until_closed(1)
        assert [line["host"] for line in gate.decisions] == ["evil.test"]
        assert usage_of(gate).decisions == {"not-listed": 1}


@pytest.mark.parametrize(
    ("client", "is_one"),
    [
        ("127.0.0.1:40000", True),
        ("[::1]:40000", True),
        ("172.30.99.3:40000", False),
        ("[fd00::3]:40000", False),
        ("unix:1000", False),
    ],
)
def test_only_what_comes_from_where_the_gate_runs_is_a_probe(client: str, is_one: bool) -> None:
    request = parse_request_head(PROBE, HeadLimits(1 << 16, 1 << 14, 128))
    assert is_probe(request, client) is is_one


ALMOST = {
    "other host": head("GET / HTTP/1.1", "Host: other"),
    "other port": head("GET / HTTP/1.1", "Host: jobgate:81"),
    "other path": head("GET /x HTTP/1.1", "Host: jobgate"),
    "other method": head("DELETE / HTTP/1.1", "Host: jobgate"),
    "no host": head("GET / HTTP/1.0"),
    "credentials": head("GET / HTTP/1.1", "Host: jobgate", "Proxy-Authorization: Basic YTpi"),
}


@pytest.mark.parametrize("request_bytes", ALMOST.values(), ids=ALMOST)
async def test_other_requests_to_the_gate_itself_are_logged(request_bytes: bytes) -> None:
    async with loopback_gate() as gate, gate.client() as client:
        assert (await client.request(request_bytes)).status == 400
        await gate.until_closed(1)
        assert usage_of(gate).decisions == {"bad-request": 1}


NAMESAKE = """
[node]
allow_addresses = ["127.0.0.1"]
[[job]]
id = "job"
network = "http"
listen = "127.0.0.1:0"
domains = ["jobgate"]
"""


async def test_same_bytes_to_an_origin_of_that_name_are_logged() -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with (
        HttpOrigin() as origin,
        running_gate(NAMESAKE, resolver=resolver, dialer=DialHook({80: origin.port})) as gate,
        gate.client() as client,
    ):
        assert (await client.request(connect("jobgate:80"), "CONNECT")).status == 200
        assert (await client.request(PROBE)).status == 200
        assert [line["kind"] for line in gate.decisions] == ["connect", "http"]
