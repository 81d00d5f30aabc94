"""Names to addresses: hosts, cache, name servers, and what happens when they misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from jobgate.config.host import Address, Name
from jobgate.config.settings import DnsSettings
from jobgate.proxy.dnsanswer import Outcome, RecordType
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.resolver import Resolution, Resolver, ask_servers
from jobgate.proxy.watch import CHECK_INTERVAL_S
from support import dns as script
from support.clock import VirtualClock
from support.dns import DnsServer
from support.sockets import open_sockets

N_TEST = Name("n.test")
NOWHERE = Path("/nonexistent")
SHORT_S = 0.03
#: Where answers come or are lost: each try has a fifth of it, and a busy machine answers well within that.
LOSSY_S = 2.0
GOOD = script.records("192.0.2.7", "2001:db8::7")
GOOD_ADDRESSES = (ip_address("2001:db8::7"), ip_address("192.0.2.7"))


def resolver(
    *servers: DnsServer,
    clock: Callable[[], float] = lambda: 0.0,
    hosts: dict[str, str] | None = None,
    hosts_path: Path = NOWHERE,
    resolv_conf_path: Path = NOWHERE,
    timeout_s: float = 8.0,
    delay_s: float = 8.0,
) -> Resolver:
    table = {Name(name): tuple(map(ip_address, text.split())) for name, text in (hosts or {}).items()}
    settings = DnsSettings(
        servers=tuple(server.endpoint for server in servers), hosts=table, timeout_s=timeout_s
    )
    return Resolver(
        settings,
        clock=clock,
        hosts_path=hosts_path,
        resolv_conf_path=resolv_conf_path,
        resolution_delay_s=delay_s,
    )


@asynccontextmanager
async def serving(reply: script.Reply | list[script.Reply]) -> AsyncIterator[DnsServer]:
    """A server that knows ``n.test`` alone."""
    async with DnsServer({"n.test": reply}) as server:
        yield server


def known(resolving: Resolver, name: Name = N_TEST) -> tuple[Address, ...] | None:
    found = resolving.lookup(name)
    return None if found is None else found.addresses


async def failure(resolving: Resolver, name: str = "n.test") -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await resolving.resolve(Name(name))
    return caught.value


async def test_both_families_are_asked_and_each_once() -> None:
    async with serving(GOOD) as server:
        assert await resolver(server).resolve(N_TEST) == Resolution(GOOD_ADDRESSES, queried=True)
        assert sorted(server.queries) == [("n.test", "A", "udp"), ("n.test", "AAAA", "udp")]


async def test_known_name_costs_no_query() -> None:
    async with serving(GOOD) as server:
        resolving = resolver(server)
        assert (known(resolving), resolving.cached(N_TEST)) == (None, False)
        await resolving.resolve(N_TEST)
        assert (known(resolving), resolving.cached(N_TEST)) == (GOOD_ADDRESSES, True)
        assert await resolving.resolve(N_TEST) == Resolution(GOOD_ADDRESSES, queried=False)
        assert len(server.queries) == 2


async def test_name_is_asked_again_when_its_ttl_is_over() -> None:
    clock = VirtualClock()
    async with serving([script.records("192.0.2.1"), script.records("192.0.2.2")]) as server:
        resolving = resolver(server, clock=clock.time)
        await resolving.resolve(N_TEST)
        clock.advance(59.9)
        assert known(resolving) == (ip_address("192.0.2.1"),)
        clock.advance(0.1)
        assert known(resolving) is None
        assert (await resolving.resolve(N_TEST)).addresses == (ip_address("192.0.2.2"),)


async def test_f9_answer_without_ttl_serves_one_dial() -> None:
    """One resolution for one dial: the second answer, another address, needs a second call."""
    replies = [script.records("192.0.2.7", ttl_s=0), script.records("127.0.0.1", ttl_s=0)]
    async with serving(replies) as server:
        resolving = resolver(server)
        assert (await resolving.resolve(N_TEST)).addresses == (ip_address("192.0.2.7"),)
        assert len(server.queries) == 2
        assert not resolving.cached(N_TEST)
        assert (await resolving.resolve(N_TEST)).addresses == (ip_address("127.0.0.1"),)


async def test_f10_aliases_are_followed_to_their_addresses() -> None:
    async with serving(script.chain("internal.corp", addresses=["10.0.0.5"])) as server:
        assert (await resolver(server).resolve(N_TEST)).addresses == (ip_address("10.0.0.5"),)
        assert {query.name for query in server.queries} == {"n.test"}


NEGATIVES = [
    ("F8-nxdomain", script.nxdomain(), Reason.DNS_NXDOMAIN, "does not exist"),
    ("F8-nodata", script.records(), Reason.DNS_NXDOMAIN, "has no address"),
]


@pytest.mark.parametrize(
    ("reply", "reason", "detail"), [c[1:] for c in NEGATIVES], ids=[c[0] for c in NEGATIVES]
)
async def test_negative_answer_is_remembered_as_long_as_it_says(
    reply: script.Reply, reason: Reason, detail: str
) -> None:
    clock = VirtualClock()
    async with serving(reply) as server:
        resolving = resolver(server, clock=clock.time)
        for _ in range(2):
            refused = await failure(resolving)
            assert refused.reason is reason
            assert detail in refused.detail
        assert (known(resolving), resolving.cached(N_TEST)) == (None, True)
        assert len(server.queries) == 2
        clock.advance(script.SOA_TTL_S)
        assert not resolving.cached(N_TEST)


FAILURES = [
    ("F8-servfail", script.error("SERVFAIL"), LOSSY_S, Reason.DNS_FAILURE),
    ("refused", script.error("REFUSED", question=False), LOSSY_S, Reason.DNS_FAILURE),
    ("F11-loop", script.chain("m.test", "n.test"), LOSSY_S, Reason.DNS_FAILURE),
    ("F8-timeout", script.silence(), SHORT_S, Reason.DNS_TIMEOUT),
]


@pytest.mark.parametrize(
    ("reply", "timeout_s", "reason"), [c[1:] for c in FAILURES], ids=[c[0] for c in FAILURES]
)
async def test_failure_has_its_reason_and_is_not_remembered(
    reply: script.Reply, timeout_s: float, reason: Reason
) -> None:
    async with serving(reply) as server:
        resolving = resolver(server, timeout_s=timeout_s)
        assert (await failure(resolving)).reason is reason
        assert not resolving.cached(N_TEST)


async def test_failed_server_gives_way_to_the_next() -> None:
    async with serving(script.error("SERVFAIL")) as bad, serving(GOOD) as good:
        assert (await resolver(bad, good).resolve(N_TEST)).addresses == GOOD_ADDRESSES
        assert len(bad.queries) == len(good.queries) == 2


async def test_silent_server_gives_way_to_the_next() -> None:
    async with serving(script.silence()) as bad, serving(GOOD) as good:
        resolving = resolver(bad, good, timeout_s=LOSSY_S)
        assert (await resolving.resolve(N_TEST)).addresses == GOOD_ADDRESSES


async def test_lost_answer_is_asked_for_again() -> None:
    async with serving([script.silence(), GOOD]) as server:
        assert (await resolver(server, timeout_s=LOSSY_S).resolve(N_TEST)).addresses == GOOD_ADDRESSES
        assert len(server.queries) == 4


async def test_name_that_does_not_exist_is_asked_of_one_server() -> None:
    async with serving(script.nxdomain()) as first, serving(GOOD) as second:
        assert (await failure(resolver(first, second))).reason is Reason.DNS_NXDOMAIN
        assert second.queries == []


async def test_ask_servers_ends_at_the_deadline_of_all() -> None:
    async with serving(script.silence()) as first, serving(script.silence()) as second:
        servers = [first.endpoint, second.endpoint]
        reply = await ask_servers("n.test", RecordType.A, servers, 0.5)  # for both to be asked
        assert reply.outcome is Outcome.TIMED_OUT
        assert first.queries
        assert second.queries


PARTIAL = [
    ("AAAA fails", script.by_type(A=GOOD, AAAA=script.error("SERVFAIL"))),
    ("AAAA is silent", script.by_type(A=GOOD, AAAA=script.silence())),
    ("AAAA does not exist", script.by_type(A=GOOD, AAAA=script.nxdomain())),
]


@pytest.mark.parametrize("reply", [c[1] for c in PARTIAL], ids=[c[0] for c in PARTIAL])
async def test_one_family_is_enough(reply: script.Reply) -> None:
    async with serving(reply) as server:
        resolving = resolver(server, delay_s=0.01)
        assert (await resolving.resolve(N_TEST)).addresses == (ip_address("192.0.2.7"),)
        assert resolving.cached(N_TEST)


async def test_one_lost_datagram_does_not_delay_a_family() -> None:
    lost_a = [script.by_type(A=script.silence(), AAAA=script.records("fd00::7")), GOOD]
    async with serving(lost_a) as server:
        settings = DnsSettings(servers=(server.endpoint,), timeout_s=LOSSY_S)
        resolving = Resolver(settings)
        found = await resolving.resolve(N_TEST)
        assert (ip_address("192.0.2.7") in found.addresses, found.missing) == (True, None)
        await resolving.close()


async def test_family_without_addresses_does_not_hurry_the_other() -> None:
    slow_a = [script.by_type(A=script.silence(), AAAA=script.nxdomain()), GOOD]
    async with serving(slow_a) as server:
        resolving = resolver(server, timeout_s=LOSSY_S, delay_s=0.0)
        assert (await resolving.resolve(N_TEST)).addresses == (ip_address("192.0.2.7"),)


def late_a(then: script.Reply) -> list[script.Reply]:
    """AAAA comes at once, A is lost twice."""
    lost = script.by_type(A=script.silence(), AAAA=script.records("fd00::7"))
    return [lost, lost, then]


EARLY = Resolution((ip_address("fd00::7"),), queried=True, missing=Reason.DNS_TIMEOUT)
WHOLE = (ip_address("fd00::7"), ip_address("192.0.2.7"))


async def query_over() -> None:
    """Wait for the end of the query that is under way."""
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "jobgate-resolve"])
    await asyncio.sleep(0)


async def test_family_that_is_late_is_said_to_be_missing_and_completes_the_answer() -> None:
    async with serving(late_a(script.records("192.0.2.7"))) as server:
        resolving = resolver(server, timeout_s=LOSSY_S, delay_s=0.0)
        assert await resolving.resolve(N_TEST) == EARLY
        assert resolving.lookup(N_TEST) == EARLY._replace(queried=False)
        assert (resolving.pending(N_TEST), resolving.cached(N_TEST, whole=True)) == (True, False)
        assert await resolving.resolve(N_TEST, whole=True) == Resolution(WHOLE, queried=True)
        assert resolving.lookup(N_TEST) == Resolution(WHOLE, queried=False)
        assert (resolving.pending(N_TEST), resolving.cached(N_TEST, whole=True)) == (False, True)


async def test_query_for_a_late_family_goes_on_when_nobody_waits() -> None:
    async with serving(late_a(script.records("192.0.2.7"))) as server:
        resolving = resolver(server, timeout_s=LOSSY_S, delay_s=0.0)
        await resolving.resolve(N_TEST)
        waiting = asyncio.ensure_future(resolving.resolve(N_TEST, whole=True))
        await asyncio.sleep(0)
        waiting.cancel()
        await query_over()
        assert resolving.lookup(N_TEST) == Resolution(WHOLE, queried=False)


async def test_late_family_is_waited_for_by_all_in_one_query() -> None:
    async with serving(late_a(script.records("192.0.2.7"))) as server:
        resolving = resolver(server, timeout_s=LOSSY_S, delay_s=0.0)
        first = await asyncio.gather(*(resolving.resolve(N_TEST) for _ in range(3)))
        second = await asyncio.gather(*(resolving.resolve(N_TEST, whole=True) for _ in range(3)))
        assert (first, second) == ([EARLY] * 3, [Resolution(WHOLE, queried=True)] * 3)
        assert [query.record_type for query in server.queries].count("AAAA") == 1


NEVER = [
    ("silent", script.silence(), Reason.DNS_TIMEOUT),
    ("failed", script.error("SERVFAIL"), Reason.DNS_FAILURE),
]


@pytest.mark.parametrize(("reply", "missing"), [c[1:] for c in NEVER], ids=[c[0] for c in NEVER])
async def test_family_that_never_comes_stays_missing_and_is_asked_for_again(
    reply: script.Reply, missing: Reason
) -> None:
    async with serving(script.by_type(A=reply, AAAA=script.records("fd00::7"))) as server:
        resolving = resolver(server, timeout_s=0.5)
        assert await resolving.resolve(N_TEST, whole=True) == EARLY._replace(missing=missing)
        assert (resolving.pending(N_TEST), resolving.cached(N_TEST)) == (False, True)
        asked = len(server.queries)
        await resolving.resolve(N_TEST, whole=True)
        assert len(server.queries) > asked


async def test_close_ends_the_query_for_a_late_family() -> None:
    async with serving(script.by_type(A=script.silence(), AAAA=GOOD)) as server:
        resolving = resolver(server, delay_s=0.0)
        sockets, tasks = open_sockets(), asyncio.all_tasks()
        await resolving.resolve(N_TEST)
        assert resolving.pending(N_TEST)
        await resolving.close()
        assert (open_sockets(), asyncio.all_tasks()) == (sockets, tasks)


async def test_incomplete_answer_is_asked_again_soon() -> None:
    clock = VirtualClock()
    async with serving(script.by_type(A=GOOD, AAAA=script.error("SERVFAIL"))) as server:
        resolving = resolver(server, clock=clock.time)
        await resolving.resolve(N_TEST)
        clock.advance(5.0)
        assert not resolving.cached(N_TEST)


async def test_name_in_flight_is_asked_once_for_all() -> None:
    async with serving(GOOD) as server:
        resolving = resolver(server)
        found = await asyncio.gather(*(resolving.resolve(N_TEST) for _ in range(5)))
        assert found == [Resolution(GOOD_ADDRESSES, queried=True)] * 5
        assert len(server.queries) == 2


async def test_name_in_flight_fails_for_all_with_errors_of_their_own() -> None:
    async with serving(script.error("SERVFAIL")) as server:
        resolving = resolver(server)
        failures = await asyncio.gather(*(failure(resolving) for _ in range(3)))
        assert len({id(error) for error in failures}) == 3


async def test_cancelled_waiter_does_not_disturb_the_others() -> None:
    async with serving([script.silence(), GOOD]) as server:
        resolving = resolver(server, timeout_s=LOSSY_S)
        first = asyncio.ensure_future(resolving.resolve(N_TEST))
        second = asyncio.ensure_future(resolving.resolve(N_TEST))
        await server.until_asked(2)
        first.cancel()
        assert (await second).addresses == GOOD_ADDRESSES
        assert first.cancelled()


async def test_last_cancelled_waiter_leaves_nothing() -> None:
    async with serving(script.silence()) as server:
        resolving = resolver(server)
        sockets, tasks = open_sockets(), asyncio.all_tasks()
        waiting = [asyncio.ensure_future(resolving.resolve(N_TEST)) for _ in range(2)]
        await server.until_asked(2)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        for _ in range(10):
            await asyncio.sleep(0)
        assert (open_sockets(), asyncio.all_tasks()) == (sockets, tasks)


async def test_name_can_be_asked_again_right_after_a_cancelled_call() -> None:
    async with serving([script.silence(), GOOD]) as server:
        resolving = resolver(server)
        first = asyncio.ensure_future(resolving.resolve(N_TEST))
        await server.until_asked(2)
        first.cancel()
        await asyncio.wait([first])
        assert (await resolving.resolve(N_TEST)).addresses == GOOD_ADDRESSES


async def test_close_ends_what_is_under_way_and_leaves_nothing() -> None:
    async with serving(script.silence()) as server:
        resolving = resolver(server)
        sockets, tasks = open_sockets(), asyncio.all_tasks()
        waiting = asyncio.ensure_future(failure(resolving))
        await server.until_asked(2)
        await resolving.close()
        assert (await waiting).reason is Reason.DRAINING
        assert (open_sockets(), asyncio.all_tasks()) == (sockets, tasks)
        assert (await failure(resolving)).reason is Reason.DRAINING
        assert len(server.queries) == 2


async def test_close_of_an_idle_resolver_ends_at_once() -> None:
    resolving = resolver()
    await resolving.close()
    await resolving.close()
    assert (await failure(resolving)).reason is Reason.DRAINING


async def test_configured_hosts_come_before_the_file_and_the_servers(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("192.0.2.2 n.test m.test\n")
    async with serving(GOOD) as server:
        resolving = resolver(server, hosts={"n.test": "192.0.2.1 ::1"}, hosts_path=path)
        assert known(resolving) == (ip_address("192.0.2.1"), ip_address("::1"))
        assert await resolving.resolve(Name("m.test")) == Resolution((ip_address("192.0.2.2"),), False)
        assert resolving.cached(Name("m.test"))
        assert server.queries == []


async def test_hosts_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    clock = VirtualClock()
    path = tmp_path / "hosts"
    path.write_text("192.0.2.2 n.test\n")
    resolving = resolver(clock=clock.time, hosts_path=path)
    assert known(resolving) == (ip_address("192.0.2.2"),)
    path.write_text("192.0.2.33 n.test\n")
    clock.advance(CHECK_INTERVAL_S)
    assert known(resolving) == (ip_address("192.0.2.33"),)


@pytest.mark.parametrize("name", ["localhost", "foo.localhost"], ids=["E7-localhost", "E7-below"])
async def test_localhost_is_never_asked_of_a_server(name: str) -> None:
    async with DnsServer({name: "127.0.0.1"}) as server:
        resolving = resolver(server)
        assert (await failure(resolving, name)).reason is Reason.DNS_NXDOMAIN
        assert (known(resolving, Name(name)), resolving.cached(Name(name))) == (None, True)
        assert server.queries == []


def test_e7_localhost_is_what_hosts_say() -> None:
    resolving = resolver(hosts={"localhost": "127.0.0.1"})
    assert known(resolving, Name("localhost")) == (ip_address("127.0.0.1"),)


async def test_names_are_asked_without_search_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single label is asked as it is, whatever ``resolv.conf`` says."""
    path = tmp_path / "resolv.conf"
    path.write_text("search ok.test\noptions ndots:5\nnameserver 127.0.0.1\n")
    async with DnsServer({"origin.ok.test": "192.0.2.7"}) as server:
        monkeypatch.setattr("jobgate.proxy.hosts.DNS_PORT", server.port)
        refused = await failure(resolver(resolv_conf_path=path), "origin")
        assert refused.reason is Reason.DNS_NXDOMAIN
        assert {query.name for query in server.queries} == {"origin"}


async def test_servers_of_resolv_conf_are_asked_where_none_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    async with serving(GOOD) as server:
        monkeypatch.setattr("jobgate.proxy.hosts.DNS_PORT", server.port)
        resolving = resolver(resolv_conf_path=path)
        assert (await resolving.resolve(N_TEST)).addresses == GOOD_ADDRESSES


async def test_e1_nothing_but_addresses_of_names_is_asked() -> None:
    async with serving(GOOD) as server:
        resolving = resolver(server)
        await resolving.resolve(N_TEST)
        await failure(resolving, "m.test")
        assert {query.record_type for query in server.queries} == {"A", "AAAA"}
