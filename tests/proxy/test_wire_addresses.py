"""E and F rows over the wire: which addresses a request may end at."""

from __future__ import annotations

import asyncio

import pytest

from jobgate.proxy.errors import ProxyError, Reason
from support.gate import DialHook, FakeResolver, loopback_gate, running_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, head
from support.net import silent_port
from support.origin import Origin, echo

KINDS = {"connect": "CONNECT {}:443 HTTP/1.0", "http": "GET http://{}/ HTTP/1.0"}
kinds = pytest.mark.parametrize("line", KINDS.values(), ids=KINDS)


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@kinds
@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700:4700::1111"], ids=["E1-ipv4", "E1-ipv6"])
async def test_e1_literal_never_matches_a_name_rule(line: str, address: str) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(head(line.format(literal(address))))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "not-listed")
        assert resolver.queries == []
        assert gate.dials == []


async def test_e2_listed_literal_is_dialled() -> None:
    async with (
        HttpOrigin() as origin,
        loopback_gate(domains=["127.0.0.1"]) as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(f"http://127.0.0.1:{origin.port}/"))).status == 200


@kinds
async def test_e2_listed_literal_is_subject_to_its_class(line: str) -> None:
    async with loopback_gate(domains=["192.0.2.7"]) as gate, gate.client() as client:
        response = await client.request(head(line.format("192.0.2.7")))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert gate.dials == []


SPELLINGS = [
    "2130706433",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f000001",
    "017700000001",
    "0",
    "127.0.0.1.",
    "127.0.0.01",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "2852039166",
    "127.0.0.1%lo",
]


@kinds
@pytest.mark.parametrize("spelling", SPELLINGS, ids=[f"E3-{text}" for text in SPELLINGS])
async def test_e3_e4_other_spellings_of_addresses_are_bad_requests(line: str, spelling: str) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with (
        loopback_gate(resolver=resolver, domains=[".ok.test", "127.0.0.1"]) as gate,
        gate.client() as client,
    ):
        response = await client.request(head(line.format(spelling)))
        assert response.status == 400
        assert (resolver.queries, gate.dials) == ([], [])


EMBEDDED = ["::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]


@kinds
@pytest.mark.parametrize("address", EMBEDDED, ids=[f"E5-{text}" for text in EMBEDDED])
async def test_e5_embedded_address_is_judged(line: str, address: str) -> None:
    resolver = FakeResolver.everything(address)
    async with loopback_gate(domains=[address, "n.test"], node_addresses=[], resolver=resolver) as gate:
        for host in [f"[{address}]", "n.test"]:
            async with gate.client() as client:
                response = await client.request(head(line.format(host)))
                assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert gate.dials == []


@kinds
@pytest.mark.parametrize(
    "host", ["\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021"], ids=["E6-digits", "E6-dots"]
)
async def test_e6_unicode_spellings_are_bad_requests(line: str, host: str) -> None:
    async with loopback_gate(domains=["127.0.0.1"]) as gate, gate.client() as client:
        response = await client.request((line.format(host) + "\r\n\r\n").encode())
        assert response.status == 400


@kinds
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "ip6-localhost", "foo.localhost"])
async def test_e7_names_of_loopback_are_refused_unless_listed(line: str, host: str) -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(head(line.format(host)))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "not-listed")


@kinds
@pytest.mark.parametrize("host", ["localhost", "foo.localhost"])
async def test_e7_listed_localhost_is_never_asked_for_and_needs_the_exception(line: str, host: str) -> None:
    configuration = """
    [dns]
    servers = ["127.0.0.1:9"]
    [[job]]
    id = "job"
    network = "http"
    listen = "127.0.0.1:0"
    domains = ["localhost", "foo.localhost"]
    """
    async with running_gate(configuration) as gate, gate.client() as client:
        response = await client.request(head(line.format(host)))
        assert response.value("x-jobgate-reason") in ("address", "dns-nxdomain")
        assert gate.dials == []


@kinds
@pytest.mark.parametrize("host", ["metadata.google.internal", "metadata.google.internal."])
async def test_e8_metadata_service_is_refused_by_its_address(line: str, host: str) -> None:
    configuration = """
    [node]
    allow_addresses = ["169.254.0.0/16"]
    [[job]]
    id = "job"
    network = "http"
    listen = "127.0.0.1:0"
    domains = ["metadata.google.internal"]
    """
    resolver = FakeResolver.everything("169.254.169.254")
    async with running_gate(configuration, resolver=resolver) as gate, gate.client() as client:
        response = await client.request(head(line.format(host)))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert gate.dials == []


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"], ids=["F5-exact", "F5-wildcard"])
async def test_f5_own_listener_is_no_destination(listening: str) -> None:
    async with loopback_gate(node='connect_ports = ["1-65535"]', listening=listening) as gate:
        for request in [connect(f"ok.test:{gate.port}"), absolute(f"http://ok.test:{gate.port}/")]:
            async with gate.client() as client:
                response = await client.request(request)
                assert (response.status, response.value("x-jobgate-reason")) == (403, "self")
        assert gate.dials == []


async def test_f5_listener_of_another_job_is_no_destination() -> None:
    configuration = """
    [node]
    allow_addresses = ["127.0.0.1"]
    [[job]]
    id = "one"
    network = "http"
    listen = "127.0.0.1:0"
    domains = [".ok.test"]
    [[job]]
    id = "two"
    network = "http"
    listen = "127.0.0.1:0"
    domains = [".ok.test"]
    """
    resolver = FakeResolver.everything("127.0.0.1")
    async with running_gate(configuration, resolver=resolver) as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{gate.ports[1]}/"))
        assert response.value("x-jobgate-reason") == "self"


@kinds
async def test_f6_bad_address_beside_a_good_one_is_dropped(line: str) -> None:
    resolver = FakeResolver.everything("10.0.0.1", "127.0.0.1")
    async with HttpOrigin() as origin:
        dialer = DialHook({80: origin.port, 443: origin.port})
        async with loopback_gate(resolver=resolver, dialer=dialer) as gate, gate.client() as client:
            method = line.split()[0]
            assert (await client.request(head(line.format("ok.test")), method)).status == 200
            assert {address for address, _ in gate.dials} == {"127.0.0.1"}


@kinds
async def test_f7_name_with_bad_addresses_only_is_refused(line: str) -> None:
    resolver = FakeResolver.everything("192.168.1.1", "10.0.0.1")
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(head(line.format("ok.test")))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert "192.168" not in response.body.decode()
        assert gate.dials == []


FAILURES = {
    "F8-nxdomain": (Reason.DNS_NXDOMAIN, 502),
    "F8-servfail": (Reason.DNS_FAILURE, 502),
    "F8-timeout": (Reason.DNS_TIMEOUT, 504),
}


@kinds
@pytest.mark.parametrize(("reason", "status"), FAILURES.values(), ids=FAILURES)
async def test_f8_failed_resolution_is_told_apart(line: str, reason: Reason, status: int) -> None:
    resolver = FakeResolver({}, failure=ProxyError(reason, "it failed"))
    async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
        response = await client.request(head(line.format("ok.test")))
        assert (response.status, response.value("x-jobgate-reason")) == (status, reason.value)
        await gate.until_closed(1)
        assert (gate.decisions[0]["decision"], gate.closes[0]["reason"]) == ("allow", reason.value)


async def test_f9_name_is_resolved_once_per_dial() -> None:
    async with HttpOrigin() as origin:
        resolver = FakeResolver.sequence("ok.test", [["127.0.0.1"], ["127.0.0.2"]])
        async with loopback_gate(resolver=resolver) as gate, gate.client() as client:
            for _ in range(3):
                assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
            assert resolver.queries == ["ok.test"]
            assert [address for address, _ in gate.dials] == ["127.0.0.1"]


async def test_f9_answer_that_changed_is_vetted_again() -> None:
    async with Origin(echo) as origin:
        resolver = FakeResolver.sequence("ok.test", [["127.0.0.1"], ["169.254.169.254"]])
        async with loopback_gate(resolver=resolver) as gate:
            for status in [200, 403]:
                async with gate.client() as client:
                    response = await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")
                    assert response.status == status
            assert [address for address, _ in gate.dials] == ["127.0.0.1"]


async def test_f12_silent_family_does_not_hold_the_other_one_up() -> None:
    resolver = FakeResolver.everything("::1", "127.0.0.1")
    async with HttpOrigin() as origin, loopback_gate(resolver=resolver) as gate, gate.client() as client:
        with silent_port("::1", origin.port):
            async with asyncio.timeout(1.0):
                assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200


async def test_f13_next_address_is_tried_when_the_first_refuses() -> None:
    async with (
        HttpOrigin() as origin,
        loopback_gate(
            resolver=FakeResolver.everything("127.0.0.2", "127.0.0.1"), node_addresses=["127.0.0.0/8"]
        ) as gate,
        gate.client() as client,
    ):
        # The origin listens on 127.0.0.1 only; the same port of 127.0.0.2 answers RST.
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200


@kinds
@pytest.mark.parametrize("host", ["evil.test", "bad.ok.test", "93.184.216.34"])
async def test_f15_refused_host_costs_no_query(line: str, host: str) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with (
        loopback_gate(resolver=resolver, job='deny = ["bad.ok.test"]') as gate,
        gate.client() as client,
    ):
        assert (await client.request(head(line.format(host)))).status == 403
        assert (resolver.queries, gate.dials) == ([], [])


async def test_f1_exception_for_one_port_lifts_the_guard_for_that_port_only() -> None:
    async with HttpOrigin() as origin, HttpOrigin() as other:
        addresses = [f"127.0.0.1:{origin.port}"]
        async with loopback_gate(node_addresses=addresses) as gate, gate.client() as client:
            assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
            response = await client.request(absolute(f"http://ok.test:{other.port}/"))
            assert response.value("x-jobgate-reason") == "address"
            assert other.peers == []


async def test_f4_deny_addresses_beats_every_exception() -> None:
    async with HttpOrigin() as origin:
        node = f'deny_addresses = ["127.0.0.1:{origin.port}"]'
        async with loopback_gate(node=node) as gate, gate.client() as client:
            response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
            assert response.status == 403
            assert origin.peers == []
