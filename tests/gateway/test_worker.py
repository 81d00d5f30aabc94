"""What a worker makes of its orders, in this process; the whole of it is in test_fleet.py."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from jobgate.config.load import load_text
from jobgate.gateway import orders
from jobgate.gateway.link import Link, LinkError, Message
from jobgate.gateway.worker import Worker
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.proxy.usage import JobCounters
from support.gate import RecordingWriter

NODE = '[listen]\nproxy = ["127.0.0.1:0"]\n[node]\ntotal_rate_up = 1000000\n'
JOB = '[[job]]\nid = "t"\nnetwork = "http"\ndomains = ["{}.test"]\ntoken = "0123456789abcdef"\n'
SETTINGS = load_text(NODE + JOB.format("a"))
CHANGED = load_text(NODE + JOB.format("b"))
COUNTERS = JobCounters(10, 20, 3, 1, 5.0)


class Rig:
    """A worker and the other end of its link."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.link, self.main = Link(ours), Link(theirs)
        self.log = RecordingWriter()
        self.gate = Gate(SETTINGS, journal=Journal(self.log))
        self.worker = Worker(self.gate, self.link, self.log)

    def tell(self, body: Mapping[str, object], *socks: socket.socket) -> dict[str, object] | None:
        return self.worker.heed(Message(body, tuple(sock.detach() for sock in socks)))

    def add(self) -> None:
        self.tell(orders.add(SETTINGS.jobs[0], COUNTERS))


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    try:
        yield made
    finally:
        made.worker.lag.stop()
        await made.gate.close()
        made.link.close()
        made.main.close()
        made.log.close()


async def test_jobs_come_with_their_counters_change_and_go() -> None:
    async with rig() as at:
        at.add()
        assert at.gate.jobs["t"].counters() == COUNTERS
        assert list(at.worker.report().jobs) == ["t"]
        assert at.worker.report().jobs == {}  # nothing has changed
        at.tell(orders.change(CHANGED.jobs[0]))
        assert str(next(iter(at.gate.jobs["t"].policy.job.domains))) == "b.test"
        at.tell(orders.change_node(SETTINGS, SETTINGS.jobs, 1))
        assert str(next(iter(at.gate.jobs["t"].policy.job.domains))) == "a.test"
        at.tell({"remove": "t", "reason": "unknown-job"})
        assert at.gate.jobs == {}


async def test_listener_is_served_until_it_is_taken_away() -> None:
    async with rig() as at:
        at.add()
        listener = socket.create_server(("127.0.0.1", 0))
        where = listener.getsockname()
        at.tell({"listen": 7, "job": "t", "elsewhere": False}, listener)
        with socket.create_connection(where):
            await asyncio.sleep(0)
        at.tell({"unlisten": 7})
        with pytest.raises(ConnectionRefusedError), socket.create_connection(where):
            pass


async def test_connections_that_were_accepted_elsewhere_are_served() -> None:
    async with rig() as at:
        at.add()
        (first, client), (second, other) = socket.socketpair(), socket.socketpair()
        peers = [["unix", socket.AF_UNIX, ""]] * 2
        at.worker.heed(Message({"connections": peers}, (first.detach(), second.detach())))
        assert at.gate.connections == 2
        with client, other:
            client.setblocking(False)
            client.sendall(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
            answer = await asyncio.get_running_loop().sock_recv(client, 100)
            assert answer.startswith(b"HTTP/1.1 407 ")


async def test_parts_of_rates_are_taken() -> None:
    async with rig() as at:
        at.add()
        at.tell({"share": 0.5})
        at.tell({"part_of_total": [0.25, 0.75]})
        assert "125000" in repr(at.gate._commons.total_up._queue)
        assert math.isinf(at.gate.settings.node.total_rate_down)


async def test_endpoints_of_the_gateway_are_its_own() -> None:
    async with rig() as at:
        at.tell(orders.own("127.0.0.1", 4000, there=True))
        assert at.gate.own.places() == [("127.0.0.1", 4000)]
        at.tell(orders.own("127.0.0.1", 4000, there=False))
        assert at.gate.own.places() == []


async def test_questions_are_answered_with_their_mark() -> None:
    async with rig() as at:
        at.add()
        assert at.tell({"mark": 1}) == {"mark": 1}
        answer = at.tell({"mark": 2, "usage": "t"})
        assert answer is not None
        assert (answer["mark"], answer["recent"]) == (2, [])
        assert at.tell({"mark": 3, "usage": "gone"}) == {"mark": 3, "usage": None, "recent": []}


async def test_end_is_asked_for_and_insisted_on() -> None:
    async with rig() as at:
        at.tell({"close": 30.0})
        assert at.worker.closing.result() == 30.0
        assert not at.worker.insisted.is_set()
        at.tell({"close": 0.0})
        assert at.worker.insisted.is_set()


async def test_listeners_are_let_go_of_and_taken_up_again() -> None:
    async with rig() as at:
        at.add()
        listener = socket.create_server(("127.0.0.1", 0))
        at.tell({"listen": 1, "job": "t", "elsewhere": False}, listener)
        at.tell({"do": "detach"})
        assert at.gate.retiring
        at.tell({"do": "resume"})
        assert not at.gate.retiring
        at.tell({"do": "detach"})
        at.tell({"do": "part"})
        at.tell({"do": "reopen"})


async def test_lines_are_passed_on_while_somebody_follows() -> None:
    async with rig() as at:
        at.tell({"follow": True})
        at.tell({"follow": True})
        await asyncio.sleep(0)
        at.gate.journal.event("state", {"problem": "x"})
        said = (await asyncio.wait_for(at.main.receive(), 8.0)).body
        assert said["lost"] == 0
        assert '"problem":"x"' in str(said["lines"])
        at.tell({"follow": False})


@pytest.mark.parametrize(
    "body", [{}, {"nonsense": 1}, {"connections": 1}, {"share": "all"}, {"listen": "x"}], ids=str
)
async def test_order_that_is_not_understood_is_an_error(body: dict[str, object]) -> None:
    async with rig() as at:
        with pytest.raises(LinkError):
            at.tell(body)
