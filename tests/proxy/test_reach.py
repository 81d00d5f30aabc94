from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from jobgate.config.host import Name
from jobgate.proxy.decision import Kind, Target
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import Journal
from jobgate.proxy.reach import reach
from jobgate.proxy.usage import Usage
from support.gate import DialHook, FakeResolver, running_gate

PUBLIC = "93.184.215.14"


class Decided(Journal):
    """Keeps what was decided."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed: list[bool] = []
        self.dropped: tuple[str, ...] = ()

    def decision(self, **fields: object) -> None:
        self.allowed.append(bool(fields["allowed"]))
        self.dropped = fields["dropped"]  # type: ignore[assignment]


async def reached(
    answers: list[str],
    *,
    target: Callable[[int], Target] = lambda port: Target(Kind.CONNECT, Name("n.test"), port),
    failure: ProxyError | None = None,
) -> tuple[Decided, Exchange, list[tuple[str, int]], Reason | None]:
    """Reach for a target from a gate whose names lead to ``answers``; everything dialled answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        hook = DialHook({port: port, 443: port})
        resolver = FakeResolver({"n.test": answers}, failure=failure)
        configuration = '[[job]]\nid = "job"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["n.test"]'
        async with running_gate(configuration, resolver=resolver, dialer=hook) as running:
            journal = Decided()
            exchange = Exchange("job", "c", Usage(), journal, lambda: 0.0)
            wanted = target(running.port)
            exchange.asks(wanted.kind, b"CONNECT", wanted)  # type: ignore[arg-type]  # host and port are all that is read
            try:
                sock = await reach(running.gate, running.gate.jobs["job"], wanted, exchange)
            except ProxyError as error:
                return journal, exchange, hook.dials, error.reason
            sock.close()
            return journal, exchange, hook.dials, None


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
    assert journal.dropped == ("10.0.0.1",)


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
