from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import pytest

from jobgate.config.host import Address, Name
from jobgate.config.settings import DnsSettings
from jobgate.proxy.decision import Kind, Target
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import Journal
from jobgate.proxy.reach import reach
from jobgate.proxy.resolver import Resolver
from jobgate.proxy.usage import Usage
from support import dns as script
from support.dns import DnsServer
from support.gate import DialHook, FakeResolver, running_gate

PUBLIC = "93.184.215.14"


class Decided(Journal):
    """Keeps what was decided."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed: list[bool] = []
        self.dropped_addresses: tuple[str, ...] = ()

    def decision(self, exchange: Exchange) -> None:
        self.allowed.append(exchange.refused is None)
        self.dropped_addresses = exchange.dropped


async def reached(
    answers: list[str],
    *,
    target: Callable[[int], Target] = lambda port: Target(Kind.CONNECT, Name("n.test"), port),
    failure: ProxyError | None = None,
    resolver: Resolver | None = None,
    hook: type[DialHook] = DialHook,
) -> tuple[Decided, Exchange, list[tuple[str, int]], Reason | None]:
    """Reach for a target from a gate whose names lead to ``answers``; everything dialled answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        dialer = hook({port: port, 443: port})
        resolver = resolver or FakeResolver({"n.test": answers}, failure=failure)
        configuration = '[[job]]\nid = "job"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["n.test"]'
        async with running_gate(configuration, resolver=resolver, dialer=dialer) as running:
            journal = Decided()
            exchange = Exchange("job", "c", Usage(), journal, lambda: 0.0)
            wanted = target(running.port)
            exchange.asks(wanted.kind, b"CONNECT", wanted)  # type: ignore[arg-type]  # host and port are all that is read
            try:
                sock = await reach(running.gate, running.gate.jobs["job"], wanted, exchange)
            except ProxyError as error:
                return journal, exchange, dialer.dials, error.reason
            sock.close()
            await asyncio.sleep(0)  # the line of a request that is dialled comes in the next turn
            return journal, exchange, dialer.dials, None


def to_443(_: int) -> Target:
    return Target(Kind.CONNECT, Name("n.test"), 443)


async def test_reach_dials_a_vetted_address_and_writes_the_decision() -> None:
    journal, exchange, dials, reason = await reached([PUBLIC], target=to_443)
    assert reason is None
    assert dials == [(PUBLIC, 443)]
    assert journal.allowed == [True]
    assert exchange.address == "127.0.0.1"  # where the test led the dial


async def test_f6_reach_drops_bad_addresses_and_tells() -> None:
    journal, _, dials, reason = await reached(["10.0.0.1", PUBLIC], target=to_443)
    assert reason is None
    assert dials == [(PUBLIC, 443)]
    assert journal.dropped_addresses == ("10.0.0.1",)


async def test_f7_reach_refuses_when_no_address_is_left() -> None:
    journal, _, dials, reason = await reached(["192.168.1.1", "10.0.0.1"], target=to_443)
    assert reason is Reason.ADDRESS
    assert not dials
    assert journal.allowed == []  # the refusal writes it


async def test_f5_reach_refuses_the_gate_itself() -> None:
    _, _, dials, reason = await reached(["127.0.0.1"])
    assert reason is Reason.SELF
    assert not dials


@pytest.mark.parametrize("reason", [Reason.DNS_NXDOMAIN, Reason.DNS_FAILURE, Reason.DNS_TIMEOUT])
async def test_f8_reach_allows_by_name_what_does_not_resolve(reason: Reason) -> None:
    journal, _, dials, got = await reached([], target=to_443, failure=ProxyError(reason))
    assert got is reason
    assert journal.allowed == [True]
    assert not dials


class Ipv6Refused(DialHook):
    """As where nothing listens on IPv6."""

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        if addresses[0].version == 6:
            self.dials.append((str(addresses[0]), port))
            raise ProxyError(Reason.CONNECT_REFUSED)
        return await super().__call__(
            addresses, port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes
        )


async def reached_late(
    aaaa: str, a: script.Reply, *, hook: type[DialHook] = DialHook
) -> tuple[Decided, list[tuple[str, int]], Reason | None]:
    """Reach for a name whose AAAA comes at once and whose A is lost twice."""
    lost = script.by_type(A=script.silence(), AAAA=script.records(aaaa))
    async with DnsServer({"n.test": [lost, lost, script.by_type(A=a)]}) as server:
        # Each try has a fifth of it, and a busy machine answers well within that.
        settings = DnsSettings(servers=(server.endpoint,), timeout_s=2.0)
        resolver = Resolver(settings, resolution_delay_s=0.0)
        journal, _, dials, reason = await reached([], target=to_443, resolver=resolver, hook=hook)
        return journal, dials, reason


GOOD_V6 = "2606:2800:21f:cb07::1"


async def test_reach_waits_for_the_late_family_when_nothing_of_the_early_one_may_be_dialled() -> None:
    journal, dials, reason = await reached_late("fd00::7", script.records("10.0.0.7", PUBLIC))
    assert (reason, dials) == (None, [(PUBLIC, 443)])
    assert (journal.allowed, journal.dropped_addresses) == ([True], ("fd00::7", "10.0.0.7"))


async def test_reach_waits_for_the_late_family_when_nothing_of_the_early_one_connects() -> None:
    journal, dials, reason = await reached_late(GOOD_V6, script.records(PUBLIC), hook=Ipv6Refused)
    assert (reason, dials) == (None, [(GOOD_V6, 443), (PUBLIC, 443)])
    assert journal.allowed == [True]


async def test_reach_waits_for_no_family_when_the_early_one_connects() -> None:
    _, dials, reason = await reached_late(GOOD_V6, script.silence())
    assert (reason, dials) == (None, [(GOOD_V6, 443)])


LATE_AND_NO_HELP = [
    ("never comes", "fd00::7", script.silence(), Reason.DNS_TIMEOUT, [True], ("fd00::7",)),
    ("fails", "fd00::7", script.error("SERVFAIL"), Reason.DNS_FAILURE, [True], ("fd00::7",)),
    ("bad", "fd00::7", script.records("10.0.0.7"), Reason.ADDRESS, [], ()),
    ("no address", "fd00::7", script.records(), Reason.ADDRESS, [], ()),
    ("never comes after a failed dial", GOOD_V6, script.silence(), Reason.CONNECT_REFUSED, [True], ()),
    ("bad after a failed dial", GOOD_V6, script.records("10.0.0.7"), Reason.CONNECT_REFUSED, [True], ()),
]


@pytest.mark.parametrize(
    ("aaaa", "a", "reason", "allowed", "dropped"),
    [case[1:] for case in LATE_AND_NO_HELP],
    ids=[case[0] for case in LATE_AND_NO_HELP],
)
async def test_reach_refuses_by_a_complete_answer_alone(
    aaaa: str, a: script.Reply, reason: Reason, allowed: list[bool], dropped: tuple[str, ...]
) -> None:
    journal, dials, got = await reached_late(aaaa, a, hook=Ipv6Refused)
    assert (got, journal.allowed, journal.dropped_addresses) == (reason, allowed, dropped)
    assert dials == ([(GOOD_V6, 443)] if aaaa == GOOD_V6 else [])
