from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.connects import ConnectHeads
from jobgate.proxy.head import HeadLimits, parse_request_head
from support.changes import job_of
from support.gate import loopback_gate
from support.messages import absolute, connect
from support.narrow import only_connection
from support.origin import Origin, swallow
from support.wait import until

LIMITS, OTHER = HeadLimits(4096, 1024, 64), HeadLimits(4096, 1024, 64)
HEADS = [
    connect("ok.test:443"),
    connect("ok.test:443", "Proxy-Authorization: Basic am9iOnQ="),
    connect("other.test:443"),
    absolute("http://ok.test/"),
]
ROOM = ConnectHeads.MOST_BYTES - len(connect("ok.test:443", "X: "))


@given(st.lists(st.tuples(st.sampled_from(HEADS), st.sampled_from([LIMITS, OTHER]))))
def test_what_is_found_is_what_parsing_gives(asked: list[tuple[bytes, HeadLimits]]) -> None:
    connects = ConnectHeads()
    for raw, limits in asked:
        parsed = parse_request_head(raw, limits)
        assert connects.find(raw, limits) in (None, parsed)
        connects.keep(raw, parsed, limits)
        assert connects.find(raw, limits) == (parsed if raw.startswith(b"CONNECT") else None)


def test_other_limits_know_nothing() -> None:
    connects, raw = ConnectHeads(), HEADS[0]
    connects.keep(raw, parse_request_head(raw, LIMITS), LIMITS)
    assert connects.find(raw, OTHER) is None


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
    connects.keep(raw, parse_request_head(raw, LIMITS), LIMITS)
    assert (connects.find(raw, LIMITS) is not None) is is_kept


def test_so_many_are_kept() -> None:
    connects = ConnectHeads()
    for port in range(1, 3 * ConnectHeads.MOST):
        raw = connect(f"ok.test:{port}")
        connects.keep(raw, parse_request_head(raw, LIMITS), LIMITS)
        assert len(connects._heads) <= ConnectHeads.MOST
        assert connects.find(raw, LIMITS) is not None


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
            monkeypatch.setattr("jobgate.proxy.repeats.parse_request_head", None)
        assert [line["host"] for line in gate.decisions] == ["ok.test"] * 2
        connects = job_of(gate).connects
        assert connects is not None
        assert list(connects._heads) == [raw]


async def test_strangers_share_no_memory() -> None:
    async with loopback_gate() as gate:
        assert gate.gate.nobody.connects is None
