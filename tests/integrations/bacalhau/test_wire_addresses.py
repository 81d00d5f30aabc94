"""Where names may lead, and that a job cannot submit jobs: addresses, ``/etc/hosts``, and the deny recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.config.settings import DnsSettings
from jobgate.proxy.resolver import Resolver
from support.bacalhau import PUBLIC, asked, bacalhau_gate, bacalhau_settings, request_for, variables
from support.client import Client
from support.dns import DnsServer
from support.gate import DialHook, FakeResolver, running_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect
from support.origin import Origin, echo
from support.tls import hello_for

ROOT = Path(__file__).resolve().parents[3]


S3 = {"metadata": "169.254.169.254", "loopback": "127.0.0.1", "private": "10.0.0.1", "docker": "172.17.0.1"}


@pytest.mark.parametrize("address", S3.values(), ids=S3)
@pytest.mark.parametrize("request_text", ["GET http://example.com/", "CONNECT example.com:443"])
async def test_listed_name_that_leads_inside_is_refused_s3(address: str, request_text: str) -> None:
    async with bacalhau_gate(resolver=FakeResolver.everything(address)) as gate:
        response = await asked(gate, request_for(request_text))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")
        assert gate.dials == []


HOST = "host.docker.internal"
HOSTS = f"172.17.0.1 {HOST}\n127.0.0.1 localhost\n10.0.0.5 db.inside.test\n"

INSIDE = {
    "exact": (["host.docker.internal"], "GET http://host.docker.internal:8000/", [("172.17.0.1", 8000)], ""),
    "exact-connect": (
        ["host.docker.internal"],
        "CONNECT host.docker.internal:443",
        [("172.17.0.1", 443)],
        "",
    ),
    "exact-beside-its-suffix": (
        [".inside.test", "db.inside.test"],
        "GET http://db.inside.test/",
        [("10.0.0.5", 80)],
        "",
    ),
    "api": (["host.docker.internal"], "GET http://host.docker.internal:1234/", [], "denied"),
    "api-connect": (["host.docker.internal"], "CONNECT host.docker.internal:1234", [], "denied"),
    "suffix": ([".docker.internal"], "GET http://host.docker.internal:8000/", [], "address"),
    "address": (["172.17.0.1"], "GET http://172.17.0.1:8000/", [], "address"),
    "loopback": (["localhost"], "GET http://localhost:8000/", [], "address"),
    "from-dns": (["db.outside.test"], "GET http://db.outside.test/", [], "address"),
    "another-name-with-that-address": (
        ["host.docker.internal", "db.outside.test"],
        "GET http://db.outside.test/",
        [],
        "address",
    ),
}


@pytest.mark.parametrize(("domains", "request_text", "dials", "reason"), INSIDE.values(), ids=INSIDE)
async def test_private_target_needs_its_exact_name_and_the_hosts_file(
    domains: list[str], request_text: str, dials: list[tuple[str, int]], reason: str, tmp_path: Path
) -> None:
    settings = bacalhau_settings(variables(domains), hosts=HOSTS)
    (tmp_path / "hosts").write_text(HOSTS)
    async with HttpOrigin() as origin, DnsServer({"db.outside.test": "172.17.0.1"}) as server:
        dns = DnsSettings(servers=(server.endpoint,), hosts=settings.dns.hosts)
        resolver = Resolver(dns, hosts_path=tmp_path / "hosts")
        hook = DialHook(dict.fromkeys((80, 443, 8000), origin.port))
        async with running_gate(settings, resolver=resolver, dialer=hook) as gate:
            response = await asked(gate, request_for(request_text))
            assert response.status == (403 if reason else 200)
            assert response.values("x-jobgate-reason") == ([reason] if reason else [])
            assert gate.dials == dials


async def test_hosts_file_that_changes_opens_nothing(tmp_path: Path) -> None:
    """What counts is what stood there at the start."""
    settings = bacalhau_settings(variables(["db.inside.test"]), hosts="")
    (tmp_path / "hosts").write_text(HOSTS)
    resolver = Resolver(settings.dns, hosts_path=tmp_path / "hosts")
    async with running_gate(settings, resolver=resolver) as gate:
        response = await asked(gate, absolute("http://db.inside.test/"))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")


async def test_pinned_name_is_not_asked_of_dns_once_it_is_gone_from_the_file(tmp_path: Path) -> None:
    settings = bacalhau_settings(variables(["db.inside.test"]), hosts=HOSTS)
    (tmp_path / "hosts").write_text("")
    async with HttpOrigin() as origin, DnsServer({"db.inside.test": "10.0.0.6"}) as server:
        dns = DnsSettings(servers=(server.endpoint,), hosts=settings.dns.hosts)
        resolver = Resolver(dns, hosts_path=tmp_path / "hosts")
        hook = DialHook({80: origin.port})
        async with running_gate(settings, resolver=resolver, dialer=hook) as gate:
            assert (await asked(gate, absolute("http://db.inside.test/"))).status == 200
            assert (gate.dials, server.queries) == ([("10.0.0.5", 80)], [])


# --- a job must not submit jobs

RECIPE = (ROOT / "deploy/bacalhau/jobgate.toml").read_text()
SCHEDULERS = {
    "S5-name-http": "GET http://requester.example:1234/api/v1/requester/submit",
    "S5-name-https": "CONNECT requester.example:443",
    "S5-below": "CONNECT api.bootstrap.example:443",
    "S5-host": "GET http://host.docker.internal:1234/",
}


@pytest.mark.parametrize("request_text", SCHEDULERS.values(), ids=SCHEDULERS)
async def test_recipe_denies_the_scheduler_over_http_and_https(request_text: str) -> None:
    resolver = FakeResolver.everything(PUBLIC)
    settings = bacalhau_settings(
        variables(["requester.example", ".bootstrap.example", "host.docker.internal"]),
        hosts=HOSTS,
        config=RECIPE,
    )
    async with running_gate(settings, resolver=resolver) as gate:
        response = await asked(gate, request_for(request_text))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "denied")
        assert (resolver.queries, gate.dials) == ([], [])


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::10"])
async def test_recipe_denies_the_schedulers_addresses_under_any_name_s5(address: str) -> None:
    settings = bacalhau_settings(variables(["elsewhere.test"]), config=RECIPE)
    async with running_gate(settings, resolver=FakeResolver.everything(address)) as gate:
        for request in ("GET http://elsewhere.test:1234/", "CONNECT elsewhere.test:443"):
            response = await asked(gate, request_for(request))
            assert (response.status, response.value("x-jobgate-reason")) == (403, "address")


async def test_recipe_denies_the_schedulers_name_in_a_hello_s5() -> None:
    """A tunnel to a listed front that names the scheduler as its server."""
    settings = bacalhau_settings(variables(["elsewhere.test"]), config=RECIPE)
    async with Origin(echo) as origin:
        hook = DialHook({443: origin.port})
        resolver = FakeResolver.everything(PUBLIC)
        async with running_gate(settings, resolver=resolver, dialer=hook) as gate:
            async with await Client.connect(gate.port) as client:
                assert (await client.request(connect("elsewhere.test:443"), "CONNECT")).status == 200
                await client.send(hello_for(b"requester.example"))
                await client.read_to_end()
            await gate.until_closed(1)
            assert gate.closes[0]["reason"] == "sni"
            assert (await origin.peer()).received == b""


async def test_recipe_leaves_other_hosts_alone() -> None:
    settings = bacalhau_settings(variables(["elsewhere.test"]), config=RECIPE)
    async with HttpOrigin() as origin:
        hook = DialHook({80: origin.port})
        resolver = FakeResolver.everything(PUBLIC)
        async with running_gate(settings, resolver=resolver, dialer=hook) as gate:
            assert (await asked(gate, absolute("http://elsewhere.test/"))).status == 200
