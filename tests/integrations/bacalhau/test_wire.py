"""Groups G and S of the acceptance cases over the wire: what a job's requests become.

Names lead to a public address; what is dialled there is an origin on loopback.
"""

from __future__ import annotations

import pytest

from support.bacalhau import (
    JOB,
    PUBLIC,
    SQUID_TEXT,
    asked,
    bacalhau_gate,
    request_for,
)
from support.client import Client
from support.gate import FakeResolver
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, head, post
from support.net import closed_port
from support.origin import Origin, Peer, answer, echo
from support.tls import hello_for


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let strangers go at once."""
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 0.0)


# --- which requests pass: rules, request, status; 200 means that the origin was reached

G = {
    "G1-listed": (["example.com"], "GET http://example.com/hello.txt", 200),
    "G3-not-listed": (["example.com"], "GET http://other.test/", 403),
    "G4-connect-not-listed": (["example.com"], "CONNECT other.test:443", 403),
    "G5-connect": (["example.com"], "CONNECT example.com:443", 200),
    "G6-connect-8443": (["example.com"], "CONNECT example.com:8443", 403),
    "G6-connect-22": (["example.com"], "CONNECT example.com:22", 403),
    "G7-http-9000": (["example.com"], "GET http://example.com:9000/", 200),
    "G8-http-22": (["example.com"], "GET http://example.com:22/", 403),
    "G9-below-a-name": (["example.com"], "GET http://www.example.com/", 403),
    "G10-apex": ([".example.com"], "GET http://example.com/", 200),
    "G10-www": ([".example.com"], "GET http://www.example.com/", 200),
    "G10-deep": ([".example.com"], "GET http://some.thing.example.com/", 200),
    "G10-connect": ([".example.com"], "CONNECT some.thing.example.com:443", 200),
    "G11-ends-alike": ([".example.com"], "GET http://notexample.com/", 403),
    "G12-upper-case": (["example.com"], "GET http://EXAMPLE.COM/", 200),
    "G12-final-dot": (["example.com"], "GET http://example.com./", 200),
    "G15-userinfo": (["example.com"], "GET http://example.com@other.test/", 400),
    "G16-origin-form": (["example.com"], "GET /", 400),
    "G22-address": ([PUBLIC], f"GET http://{PUBLIC}/", 200),
    "G22-connect-address": ([PUBLIC], f"CONNECT {PUBLIC}:443", 200),
    "G22-another-address": ([PUBLIC], "GET http://93.184.215.15/", 403),
    "G22-name-that-leads-there": ([PUBLIC], "GET http://example.com/", 403),
    "G22-loopback-address": (["127.0.0.2"], "GET http://127.0.0.2/", 403),
    "S1-http-to-an-address": ([".example.com"], "GET http://203.0.114.9/", 403),
    "S1-connect-to-an-address": ([".example.com"], "CONNECT 203.0.114.9:443", 403),
    "S2-decimal": ([".example.com"], "GET http://2130706434/", 400),
    "S2-hexadecimal": ([".example.com"], "GET http://0x7f000009/", 400),
    "S2-short": ([".example.com"], "GET http://127.9/", 400),
    "S2-connect-decimal": ([".example.com"], "CONNECT 2130706434:443", 400),
    "S2-connect-short": ([".example.com"], "CONNECT 127.9:443", 400),
    "S8-trace": (["example.com"], "TRACE http://example.com/", 405),
}


@pytest.mark.parametrize(("domains", "request_text", "status"), G.values(), ids=G)
async def test_request(domains: list[str], request_text: str, status: int) -> None:
    resolver = FakeResolver.everything(PUBLIC)
    async with HttpOrigin() as origin:
        ports = dict.fromkeys((80, 443, 9000), origin.port)
        async with bacalhau_gate(*domains, ports=ports, resolver=resolver) as gate:
            response = await asked(gate, request_for(request_text))
            assert response.status == status
            assert bool(gate.dials) is (status == 200)
            if status != 200:
                assert SQUID_TEXT in response.body
                assert response.value("x-jobgate-reason")
                assert resolver.queries == []
            await gate.until_closed(1)  # G27: one line each
            assert [line["job"] for line in gate.decisions] == [JOB]


async def test_denial_says_what_to_do_beside_the_text_of_squid_g3() -> None:
    async with bacalhau_gate() as gate:
        response = await asked(gate, absolute("http://other.test/"))
        first, second = response.body.decode().splitlines()
        assert first.startswith("other.test:80 is not in this job's domains. Add ")
        assert second.encode() == SQUID_TEXT


async def test_connect_to_80_is_read_as_plain_http_g6() -> None:
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        async with await Client.connect(gate.port) as client:
            assert (await client.request(connect("example.com:80"), "CONNECT")).status == 200
            assert (await client.request(head("GET / HTTP/1.1", "Host: example.com:80"))).status == 200
        assert origin.requests[0].values(b"x-bacalhau-job-id") == [JOB.encode()]


# --- what the origin sees

SPOOFS = {
    "G1-none": [],
    "G2-twice": ["X-Bacalhau-Job-ID: spoof", "X-BACALHAU-job-id: spoof2"],
    "G2-named-in-connection": ["Connection: close, X-Bacalhau-Job-ID", "X-Bacalhau-Job-ID: spoof"],
}


@pytest.mark.parametrize("fields", SPOOFS.values(), ids=SPOOFS)
async def test_origin_sees_the_id_of_the_job_and_nothing_else(fields: list[str]) -> None:
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        assert (await asked(gate, absolute("http://example.com/hello.txt", *fields))).status == 200
        (request,) = origin.requests
        assert request.values(b"x-bacalhau-job-id") == [b"job-123"]
        assert request.target == b"/hello.txt"


async def test_url_wins_over_host_g13() -> None:
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        request = head("GET http://example.com/ HTTP/1.1", "Host: other.test")
        assert (await asked(gate, request)).status == 200
        assert origin.requests[0].values(b"host") == [b"example.com"]


async def test_host_does_not_open_a_url_g14() -> None:
    async with bacalhau_gate() as gate:
        request = head("GET http://other.test/ HTTP/1.1", "Host: example.com")
        assert (await asked(gate, request)).status == 403


@pytest.mark.parametrize("url", ["http://EXAMPLE.COM/", "http://example.com./"])
async def test_origin_is_asked_under_the_canonical_name_g12(url: str) -> None:
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        assert (await asked(gate, absolute(url))).status == 200
        assert origin.requests[0].values(b"host") == [b"example.com"]


async def test_hop_by_hop_fields_stay_here_g24() -> None:
    fields = ["Proxy-Authorization: Basic YTpi", "Proxy-Connection: keep-alive"]
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        assert (await asked(gate, absolute("http://example.com/", *fields))).status == 200
        assert not [name for name, _ in origin.requests[0].headers if name.startswith(b"proxy-")]


async def test_nothing_of_the_job_leaks_and_nothing_is_cached_g25() -> None:
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        responses = [await asked(gate, absolute("http://example.com/")) for _ in range(2)]
        assert len(origin.requests) == 2
        for request in origin.requests:
            names = {name for name, _ in request.headers}
            assert names == {b"host", b"via", b"x-bacalhau-job-id"}
        assert all(not response.values("x-cache") for response in responses)


async def test_tunnel_is_untouched_and_has_no_job_header_g23() -> None:
    hello, inside = hello_for(b"example.com"), head("GET / HTTP/1.1", "Host: example.com")
    async with Origin(echo) as origin, bacalhau_gate(ports={443: origin.port}) as gate:
        async with await Client.connect(gate.port) as client:
            assert (await client.request(connect("example.com:443"), "CONNECT")).status == 200
            await client.send(hello + inside)
            assert await client.read_exactly(len(hello + inside)) == hello + inside
        peer = await origin.peer()
        assert bytes(peer.received) == hello + inside


async def test_plain_websocket_is_carried_g26() -> None:
    async def switch(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"))
        await echo(peer)

    fields = ["Connection: upgrade", "Upgrade: websocket"]
    async with Origin(switch) as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        async with await Client.connect(gate.port) as client:
            assert (await client.request(absolute("http://example.com/", *fields))).status == 101
            await client.send(b"frame")
            assert await client.read_exactly(5) == b"frame"
        assert b"X-Bacalhau-Job-ID: job-123" in bytes((await origin.peer()).received)


async def test_upload_arrives_whole_r5() -> None:
    """Squid cut a POST of more than some 1.5 MB that came at full speed; here the job's sending waits."""
    content = bytes(1_600_000)
    async with HttpOrigin() as origin, bacalhau_gate(ports={80: origin.port}) as gate:
        assert (await asked(gate, post("http://example.com/", content))).status == 200
        assert origin.requests[0].body == content


# --- failures, and who is heard


async def test_text_that_is_no_http_is_400_g17() -> None:
    async with bacalhau_gate() as gate, await Client.connect(gate.port) as client:
        assert (await client.request(b"FOO\r\n\r\n")).status == 400


async def test_closed_port_is_502_g18() -> None:
    async with bacalhau_gate(ports={9000: closed_port()}) as gate:
        assert (await asked(gate, absolute("http://example.com:9000/"))).status == 502


async def test_name_that_does_not_resolve_is_502_g19() -> None:
    async with bacalhau_gate(resolver=FakeResolver({})) as gate:
        assert (await asked(gate, absolute("http://example.com/"))).status == 502


@pytest.mark.parametrize("request_text", ["GET http://example.com/", "CONNECT example.com:443"])
async def test_client_from_elsewhere_is_refused_g20(request_text: str) -> None:
    resolver = FakeResolver.everything(PUBLIC)
    async with bacalhau_gate(clients=["127.1.0.0/16"], resolver=resolver) as gate:
        response = await asked(gate, request_for(request_text), source="127.2.0.1")
        assert (response.status, response.value("x-jobgate-reason")) == (403, "unknown-job")
        assert (gate.decisions[-1]["job"], resolver.queries, gate.dials) == ("", [], [])


async def test_probe_is_answered_to_anybody_else_too_g21() -> None:
    async with bacalhau_gate(clients=["10.0.0.0/8"]) as gate:
        request = head("GET / HTTP/1.1", "Host: localhost:8080", "Docker-Health-Check: true")
        assert (await asked(gate, request)).status == 400
        assert (await asked(gate, absolute("http://example.com/"))).status == 403


@pytest.mark.parametrize(
    ("clients", "status"), [(["127.0.0.0/8"], 403), (["::1/128"], 200)], ids=["IPv4 only", "IPv6"]
)
async def test_networks_hold_for_ipv6_s7(clients: list[str], status: int) -> None:
    async with (
        HttpOrigin() as origin,
        bacalhau_gate(clients=clients, ports={80: origin.port}, listening="::1") as gate,
        await Client.connect(gate.port, "::1") as client,
    ):
        assert (await client.request(absolute("http://example.com/"))).status == status


async def test_redirect_is_a_request_of_its_own_s6() -> None:
    redirect = head("HTTP/1.1 302 Found", "Location: http://other.test/", "Content-Length: 0")
    async with (
        Origin(answer(redirect)) as origin,
        bacalhau_gate(ports={80: origin.port}) as gate,
        await Client.connect(gate.port) as client,
    ):
        found = await client.request(absolute("http://example.com/"))
        assert found.status == 302
        followed = await client.request(absolute(found.value("location")))
        assert (followed.status, followed.value("x-jobgate-reason")) == (403, "not-listed")


async def test_tunnel_that_is_no_tls_is_closed_where_upstream_carries_it() -> None:
    async with Origin(echo) as origin, bacalhau_gate(ports={443: origin.port}) as gate:
        async with await Client.connect(gate.port) as client:
            assert (await client.request(connect("example.com:443"), "CONNECT")).status == 200
            await client.send(b"SSH-2.0-x\r\n")
            assert await client.read_to_end() == b""
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "not-tls"
