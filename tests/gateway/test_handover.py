from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from jobgate.config.endpoints import parse_listen
from jobgate.gateway.handover import Handover, give, take
from jobgate.gateway.inherited import Inherited
from jobgate.gateway.link import MAX_DESCRIPTORS, Link, LinkError
from jobgate.gateway.listeners import bound_to, open_listener
from jobgate.gateway.stored import StoredJob
from jobgate.proxy.usage import JobCounters
from support.sockets import open_sockets

JOBS = [
    StoredJob("one", {"network": "http", "domains": [".ok.test"]}, b"\0\xff" * 16, 1.5, "127.0.0.1:3128"),
    StoredJob("two", {"labels": {"a": "ü"}}, None, 2, ""),
]
COUNTERS = {"one": JobCounters(1, 2, 3, 4, 5.5), "of the file": JobCounters(0, 0, 0, 0, 6)}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    stack.enter_context(left)
    stack.enter_context(right)
    return left, right


async def test_everything_arrives(stack: ExitStack, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = map(Link, pair)
    listeners = [
        Inherited(stack.enter_context(open_listener(parse_listen("127.0.0.1:0"))), f"netns {n}", f"job-{n}")
        for n in range(3)
    ]
    drainer, other = socket.socketpair()
    stack.enter_context(other)
    given = Handover(listeners, JOBS, COUNTERS, [Link(stack.enter_context(drainer))])
    await give(left, given)
    taken = await take(right)
    stack.callback(taken.close)
    assert (taken.jobs, taken.counters) == (JOBS, COUNTERS)
    assert [bound_to(found.sock) for found in taken.listeners] == [
        bound_to(found.sock) for found in listeners
    ]
    assert [found[1:] for found in taken.listeners] == [found[1:] for found in listeners]
    (link,) = taken.drainers
    await link.send({"of": 3})
    assert b'"of":3' in other.recv(100)


async def test_more_listeners_than_one_message_can_carry_arrive(
    stack: ExitStack, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = map(Link, pair)
    sock = stack.enter_context(open_listener(parse_listen("127.0.0.1:0")))
    count = 2 * MAX_DESCRIPTORS + 1
    listeners = [Inherited(sock, "", f"job-{number}") for number in range(count)]
    _, taken = await asyncio.gather(give(left, Handover(listeners)), take(right))
    assert [found.name for found in taken.listeners] == [found.name for found in listeners]
    taken.close()


BROKEN: list[tuple[str, dict[str, object], int]] = [
    ("unknown", {"something": 1}, 1),
    ("fewer places than sockets", {"listeners": [["", "a"]]}, 2),
    ("a place that is none", {"listeners": [["a"]]}, 1),
    ("a job without id", {"job": {"document": {}}}, 0),
    ("a hash that is none", {"job": {**JOBS[0]._asdict(), "token_hash": "xy"}}, 0),
    ("counters that are none", {"counters": {"bytes_up": "1"}, "of": "job"}, 0),
    ("counters of nobody", {"counters": JobCounters(0, 0, 0, 0, 0)._asdict()}, 0),
    ("error", {"error": "not today"}, 0),
]


@pytest.mark.parametrize(("body", "sockets"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
async def test_handover_that_is_not_understood_is_an_error_and_leaves_nothing_open(
    body: dict[str, object], sockets: int, stack: ExitStack, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = map(Link, pair)
    sock = stack.enter_context(open_listener(parse_listen("127.0.0.1:0")))
    before = open_sockets()
    await left.send({"listeners": [["", "first"]]}, [sock.fileno()])
    await left.send(body, [sock.fileno()] * sockets)
    with pytest.raises(LinkError, match="not understood here" if "error" not in body else "^not today$"):
        await take(right)
    assert open_sockets() == before


async def test_end_in_the_middle_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = map(Link, pair)
    await left.send({"counters": COUNTERS["one"]._asdict(), "of": "one"})
    left.close()
    with pytest.raises(LinkError, match="has ended"):
        await take(right)
