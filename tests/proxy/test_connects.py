from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.connects import ConnectHeads
from jobgate.proxy.errors import ProxyError
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.head import HeadLimits, RequestHead, parse_request_head
from jobgate.proxy.journal import Journal
from jobgate.proxy.target import asked
from jobgate.proxy.usage import Usage
from support.changes import job_of
from support.clock import VirtualClock
from support.gate import loopback_gate
from support.messages import connect
from support.narrow import only_connection
from support.origin import Origin, swallow
from support.wait import until

LIMITS, OTHER, SMALL = HeadLimits(4096, 1024, 64), HeadLimits(4096, 1024, 64), HeadLimits(20, 10, 1)
HEADS = [
    connect("ok.test:443"),
    connect("ok.test:443", "Proxy-Authorization: Basic am9iOnQ="),
    connect("other.test:443"),
    connect("ok.test:443", "Host: twice.test"),
    connect("ok.test"),
]
ROOM = ConnectHeads.MOST_BYTES - len(connect("ok.test:443", "X: "))


def outcome(
    parse: Callable[[bytes, HeadLimits], RequestHead], raw: bytes, limits: HeadLimits
) -> RequestHead | str:
    """Read a head; a refusal as text."""
    try:
        return parse(raw, limits)
    except ProxyError as error:
        return str(error)


def read(parse: Callable[[bytes, HeadLimits], RequestHead], raw: bytes) -> object:
    """Read a head, and whom it asks for, and what is noted of it; a refusal as text."""
    exchange = Exchange("job", "192.0.2.7:49152", Usage(), Journal(), VirtualClock().time)
    try:
        return asked(parse(raw, LIMITS), exchange, None), exchange.method, exchange.target
    except ProxyError as error:
        return str(error), exchange.method, exchange.target


@given(st.lists(st.tuples(st.sampled_from(HEADS), st.sampled_from([LIMITS, OTHER, SMALL]))))
def test_parse_reads_as_if_it_remembered_nothing(heads: list[tuple[bytes, HeadLimits]]) -> None:
    connects = ConnectHeads()
    for raw, limits in heads:
        assert outcome(connects.parse, raw, limits) == outcome(parse_request_head, raw, limits)


@pytest.mark.parametrize("raw", HEADS)
def test_whom_a_known_head_asks_for_is_what_is_read_of_an_unknown_one(raw: bytes) -> None:
    connects = ConnectHeads()
    with suppress(ProxyError):
        connects.parse(raw, LIMITS)
    assert read(connects.parse, raw) == read(parse_request_head, raw)


def test_what_is_known_is_not_read_again_within_the_same_limits() -> None:
    connects = ConnectHeads()
    first = connects.parse(HEADS[0], LIMITS)
    assert connects.parse(bytes(bytearray(HEADS[0])), LIMITS) is first
    assert connects.parse(HEADS[0], OTHER) is not first


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ([f"X: {'a' * ROOM}"], True),
        ([f"X: {'a' * (ROOM + 1)}"], False),
        (["X: a"] * (ConnectHeads.MOST_FIELDS - 1), True),
        (["X: a"] * ConnectHeads.MOST_FIELDS, False),
    ],
    ids=["bytes", "bytes-more", "fields", "fields-more"],
)
def test_large_heads_are_not_kept(fields: list[str], is_kept: bool) -> None:
    connects, raw = ConnectHeads(), connect("ok.test:443", *fields)
    assert (connects.parse(raw, LIMITS) is connects.parse(raw, LIMITS)) is is_kept


def test_so_many_are_kept() -> None:
    connects = ConnectHeads()
    for port in range(1, 3 * ConnectHeads.MOST):
        raw = connect(f"ok.test:{port}")
        assert connects.parse(raw, LIMITS) is connects.parse(raw, LIMITS)
        assert len(connects._heads) <= ConnectHeads.MOST


async def test_head_of_a_tunnel_is_read_once_for_all_connections_of_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate:
        raw = connect(f"ok.test:{origin.port}")
        for _ in range(2):
            async with gate.client() as client:
                await only_connection(gate)
                assert (await client.request(raw, "CONNECT")).status == 200
            await until(lambda: not gate.gate.connections)
            monkeypatch.setattr("jobgate.proxy.connects.parse_request_head", None)
        assert [line["host"] for line in gate.decisions] == ["ok.test"] * 2
        connects = job_of(gate).connects
        assert connects is not None
        assert list(connects._heads) == [raw]


async def test_strangers_share_no_memory() -> None:
    async with loopback_gate() as gate:
        assert gate.gate.nobody.connects is None
