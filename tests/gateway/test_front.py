from __future__ import annotations

import pytest

from jobgate.gateway.front import Endpoints, Front
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.identity import Identities
from jobgate.proxy.peer import Peer
from support.registry import world

PEER = Peer("192.0.2.7:49152")
JOB = """
[listen]
proxy = ["127.0.0.1:0"]
[[job]]
id = "t"
network = "http"
clients = ["192.0.2.0/24"]
domains = ["a.test"]
"""


def test_endpoints_are_told_as_they_come_and_go() -> None:
    told: list[object] = []
    own = Endpoints(told.append)
    own.add("127.0.0.1", 80)
    own.discard("127.0.0.1", 80)
    assert told == [{"own": ["127.0.0.1", 80], "there": True}, {"own": ["127.0.0.1", 80], "there": False}]
    assert own.places() == []


async def test_front_knows_the_owner_and_lets_nobody_be_served_here() -> None:
    async with world(JOB) as made:
        job = made.gate.jobs["t"]
        identities = Identities()
        identities.add(job.settings)
        front = Front(identities, made.gate.members)
        assert front.owner_of(PEER, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is job
        assert front.owner_of(Peer("198.51.100.1:1"), b"GET / HTTP/1.1\r\n\r\n") is None
        wrong = b"GET / HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
        assert front.owner_of(PEER, wrong) is None
        with pytest.raises(ProxyError) as error:
            front.identify(PEER, [])
        assert error.value.reason is Reason.HEAD_TIMEOUT
