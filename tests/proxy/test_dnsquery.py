"""One question to one scripted name server: what is sent, what is believed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.update
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.endpoints import Endpoint
from jobgate.proxy.dnsanswer import MAX_ADDRESSES, Outcome, RecordType, Reply
from jobgate.proxy.dnsquery import MAX_ANSWER_BYTES, UDP_PAYLOAD_BYTES, answers, ask, read_answer
from support import dns as script
from support.dns import DnsServer, Query
from support.sockets import open_sockets

A, AAAA = RecordType.A, RecordType.AAAA
GOOD = script.records("192.0.2.7", "2001:db8::7")
QUERY = dns.message.make_query("n.test.", "A").to_wire()
QUESTION = b"\x01n\x04test\0\0\x01\0\x01"
GARBAGE = script.messages(b"\x81\x80\0\1\0\1\0\0\0\0" + QUESTION + b"\xc0\xff")
NAME_2_TEST = b"\x01m\x04test\0\0\x01\0\x01"
RESPONSE = b"\x81\x80\0\1\0\0\0\0\0\0"


async def asked(reply: script.Reply, kind: RecordType = A) -> Reply:
    async with DnsServer({"n.test": reply}) as server:
        return await ask("n.test", kind, server.endpoint)


@pytest.mark.parametrize(("kind", "address"), [(A, "192.0.2.7"), (AAAA, "2001:db8::7")], ids=["A", "AAAA"])
async def test_ask_returns_the_family_asked_for(kind: RecordType, address: str) -> None:
    assert await asked(GOOD, kind) == (Outcome.ADDRESSES, (ip_address(address),), 60)


CHAINS = [
    ("F10-chain", script.chain("internal.test", "x.test", addresses=["10.0.0.5"]), ["10.0.0.5"]),
    ("chain into nothing", script.chain("internal.test"), []),
    ("long chain", script.chain(*(f"c{n}.test" for n in range(40)), addresses=["192.0.2.7"]), None),
    ("F11-loop", script.chain("m.test", "n.test"), None),
    ("loop onto itself", script.chain("n.test"), None),
    ("address of another name", script.by_type(A=script.other("m.test", "10.0.0.5")), []),
]


@pytest.mark.parametrize(("reply", "expected"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS])
async def test_ask_follows_aliases_by_owner_name(reply: script.Reply, expected: list[str] | None) -> None:
    found = await asked(reply)
    if expected is None:
        assert found.outcome is Outcome.FAILED
    else:
        assert found.outcome is (Outcome.ADDRESSES if expected else Outcome.NODATA)
        assert [str(address) for address in found.addresses] == expected


OUTCOMES = [
    ("F8-nxdomain", script.nxdomain(), Reply(Outcome.NXDOMAIN, (), 30)),
    ("F8-nodata", script.records("2001:db8::7"), Reply(Outcome.NODATA, (), 30)),
    ("nxdomain without SOA", script.error("NXDOMAIN"), Reply(Outcome.NXDOMAIN, (), 0)),
    ("nodata without SOA", script.error("NOERROR"), Reply(Outcome.NODATA, (), 0)),
    ("F8-servfail", script.error("SERVFAIL"), Reply(Outcome.FAILED)),
    ("refused", script.error("REFUSED"), Reply(Outcome.FAILED)),
    ("refused without question", script.error("REFUSED", question=False), Reply(Outcome.FAILED)),
    ("formerr", script.error("FORMERR"), Reply(Outcome.FAILED)),
    (
        "garbage",
        GARBAGE,
        Reply(Outcome.FAILED),
    ),
    ("cut off", script.altered(GOOD, lambda wire: wire[:-3]), Reply(Outcome.FAILED)),
    ("ttl 0", script.records("192.0.2.7", ttl_s=0), Reply(Outcome.ADDRESSES, (ip_address("192.0.2.7"),), 0)),
]


@pytest.mark.parametrize(("reply", "expected"), [c[1:] for c in OUTCOMES], ids=[c[0] for c in OUTCOMES])
async def test_ask_tells_outcomes_apart(reply: script.Reply, expected: Reply) -> None:
    assert await asked(reply) == expected


def other_id(wire: bytes) -> bytes:
    return bytes([wire[0] ^ 1]) + wire[1:]


def other_name(wire: bytes) -> bytes:
    return wire.replace(b"\x01n\x04test", b"\x01m\x04test", 1)


def query_bit(wire: bytes) -> bytes:
    return wire[:2] + bytes([wire[2] & 0x7F]) + wire[3:]


STRAY = script.records("203.0.113.9")
STRAYS = [
    ("other id", script.altered(STRAY, other_id)),
    ("other question", script.altered(STRAY, other_name)),
    ("a query", script.altered(STRAY, query_bit)),
    ("empty", script.altered(STRAY, lambda wire: b"")),
    ("header cut off", script.altered(STRAY, lambda wire: wire[:11])),
    ("no question, no error", script.error("NOERROR", question=False)),
]


@pytest.mark.parametrize("stray", [c[1] for c in STRAYS], ids=[c[0] for c in STRAYS])
async def test_ask_ignores_what_does_not_belong_to_the_question(stray: script.Reply) -> None:
    found = await asked(script.both(stray, GOOD))
    assert found.addresses == (ip_address("192.0.2.7"),)


async def test_ask_hears_nobody_but_the_server_it_asked() -> None:
    """The server answers from another port: that is somebody else."""
    async with DnsServer({"n.test": script.silence()}) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            server.on_datagram = lambda wire, sender: stranger.sendto(
                dns.message.make_response(dns.message.from_wire(wire)).to_wire(), sender
            )
            asking = asyncio.ensure_future(ask("n.test", A, server.endpoint))
            await server.until_asked(1)
            done, _ = await asyncio.wait({asking}, timeout=0.01)
            asking.cancel()
        assert not done


async def test_ask_uses_random_ids_and_ports() -> None:
    async with DnsServer({"n.test": GOOD}) as server:
        seen: set[tuple[bytes, int]] = set()
        server.on_datagram = lambda wire, sender: seen.add((wire[:2], sender[1]))
        for _ in range(8):
            await ask("n.test", A, server.endpoint)
    assert len({query_id for query_id, _ in seen}) > 6
    assert len({port for _, port in seen}) > 6


async def test_ask_sends_the_name_as_it_is_and_says_what_fits() -> None:
    async with DnsServer({"r3---sn_x.test": GOOD}) as server:
        wires: list[bytes] = []
        server.on_datagram = lambda wire, sender: wires.append(wire)
        await ask("r3---sn_x.test", A, server.endpoint)
        assert server.queries == [Query("r3---sn_x.test", "A", "udp")]
    message = dns.message.from_wire(wires[0])
    assert (message.edns, message.payload) == (0, UDP_PAYLOAD_BYTES)


async def test_ask_repeats_over_tcp_what_was_cut_off() -> None:
    async with DnsServer({"n.test": script.truncated(GOOD)}) as server:
        found = await ask("n.test", A, server.endpoint)
        assert [query.transport for query in server.queries] == ["udp", "tcp"]
    assert found.addresses == (ip_address("192.0.2.7"),)


TCP_FAILURES = [
    ("closes", script.silence()),
    ("other id", script.altered(GOOD, other_id)),
    ("too long", script.altered(GOOD, lambda wire: wire + bytes(MAX_ANSWER_BYTES))),
]


@pytest.mark.parametrize("reply", [c[1] for c in TCP_FAILURES], ids=[c[0] for c in TCP_FAILURES])
async def test_ask_fails_where_tcp_brings_no_answer(reply: script.Reply) -> None:
    assert await asked(script.truncated(reply)) == Reply(Outcome.FAILED)


def many(count: int) -> script.Reply:
    return script.truncated(script.records(*(f"192.0.{n // 200}.{n % 200}" for n in range(count))))


async def test_f11_200_addresses_are_cut_to_the_bound() -> None:
    found = await asked(many(200))
    assert len(set(found.addresses)) == MAX_ADDRESSES


async def test_f11_answer_of_64_kib_is_not_read() -> None:
    assert await asked(many(4000)) == Reply(Outcome.FAILED)


async def test_ask_fails_where_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert await ask("n.test", A, Endpoint(ip_address("127.0.0.1"), port)) == Reply(Outcome.FAILED)


ZONES = [("unknown zone", "fe80::1%nowhere", False), ("known zone", "fe80::1%lo", True)]


@pytest.mark.parametrize(("address", "known"), [c[1:] for c in ZONES], ids=[c[0] for c in ZONES])
async def test_ask_gives_the_zone_of_a_link_local_server_to_the_kernel(
    address: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones: list[str] = []

    def index(zone: str) -> int:
        zones.append(zone)
        if not known:
            raise OSError("no such interface")
        return 1

    monkeypatch.setattr(socket, "if_nametoindex", index)
    assert await ask("n.test", A, Endpoint(ip_address(address), 9)) == Reply(Outcome.FAILED)
    assert zones == [address.partition("%")[2]]


HANGING = [("udp", script.silence(), 1), ("tcp", script.truncated(script.hangs()), 2)]


@pytest.mark.parametrize(("reply", "queries"), [c[1:] for c in HANGING], ids=[c[0] for c in HANGING])
async def test_cancelled_question_leaves_nothing(reply: script.Reply, queries: int) -> None:
    before = open_sockets()
    async with DnsServer({"n.test": reply}) as server:
        asking = asyncio.ensure_future(ask("n.test", A, server.endpoint))
        await server.until_asked(queries)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert open_sockets() == before


MATCHES = [
    ("same", QUERY[:2] + RESPONSE + QUESTION, True),
    ("other letter case", QUERY[:2] + RESPONSE + QUESTION.upper(), True),
    ("longer question", QUERY[:2] + RESPONSE + b"\x01n\x04testx\0\0\x01\0\x01", False),
    ("other name", QUERY[:2] + RESPONSE + NAME_2_TEST, False),
    ("other type", QUERY[:2] + RESPONSE + QUESTION[:-4] + b"\0\x1c\0\x01", False),
    ("other opcode", QUERY[:2] + b"\xa1" + RESPONSE[1:] + QUESTION, False),
    ("two questions", QUERY[:2] + RESPONSE[:2] + b"\0\2" + RESPONSE[4:] + QUESTION * 2, False),
    ("no question, error", QUERY[:2] + b"\x81\x82" + bytes(8), True),
    ("no question, no error", QUERY[:2] + b"\x81\x80" + bytes(8), False),
]


@pytest.mark.parametrize(("wire", "expected"), [c[1:] for c in MATCHES], ids=[c[0] for c in MATCHES])
def test_answers_compares_id_question_and_direction(wire: bytes, expected: bool) -> None:
    assert answers(QUERY, wire) is expected


def test_update_message_is_no_answer() -> None:
    assert read_answer(dns.update.UpdateMessage("test.").to_wire()) == Reply(Outcome.FAILED)


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_read_or_have_failed(tail: bytes, with_head: bool) -> None:
    wire = QUERY[:2] + b"\x81\x80\0\1\0\2\0\1\0\1" + QUESTION + tail if with_head else tail
    found = read_answer(wire)
    assert bool(found.addresses) == (found.outcome is Outcome.ADDRESSES)


def test_importing_the_resolver_does_not_load_dnspython() -> None:
    root = Path(__file__).resolve().parents[2]
    program = "import sys, jobgate.proxy.resolver; print('dns' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )
    assert done.stdout == "False\n"
