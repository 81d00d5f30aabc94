"""With and without the fast path: the same bytes for client and origin, the same log, the same counters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import permutations

import pytest
from h11 import RemoteProtocolError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobgate.proxy.connection import Connection
from support.changes import allow_only, change_policy, job_of
from support.client import Client
from support.gate import RunningGate, loopback_gate
from support.messages import absolute, head, ok
from support.narrow import turns
from support.origin import Origin, Peer
from support.wait import until, until_seen

#: Of the log, what no two runs have in common.
_OWN = {"ts", "id", "client", "duration_s", "dns_s", "connect_s", "wait_up_s", "wait_down_s"}

REQUESTS = {
    "a": lambda port: absolute(f"http://ok.test:{port}/a"),
    "b": lambda port: absolute(f"http://ok.test:{port}/b?c"),
    "head": lambda port: absolute(f"http://ok.test:{port}/a", method="HEAD"),
    "fields": lambda port: absolute(f"http://ok.test:{port}/a", "X-Other: 1"),
    "post": lambda port: absolute(f"http://ok.test:{port}/a", "Content-Length: 3", method="POST") + b"abc",
    "host": lambda port: absolute(f"http://more.ok.test:{port}/a"),
    "refused": lambda port: absolute(f"http://other.test:{port}/a"),
    "fragment": lambda port: absolute(f"http://ok.test:{port}/a#"),
    "stray": lambda port: absolute(f"http://ok.test:{port}/a\x01"),
    "twice": lambda port: 2 * absolute(f"http://ok.test:{port}/a"),
    "close": lambda port: absolute(f"http://ok.test:{port}/a", "Connection: close"),
}
RESPONSES = {
    "small": [ok(b"small")],
    "dated": [ok(b"dated", "Date: now")],
    "empty": [head("HTTP/1.1 204 No")],
    "cut-head": [ok(b"pieces")[:9], ok(b"pieces")[9:]],
    "cut-content": [ok(b"pieces")[:-3], b"ces"],
    "chunked": [head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n"],
    "interim": [head("HTTP/1.1 103 Hints") + ok(b"x")],
    "close": [ok(b"close", "Connection: close")],
    "too-much": [ok(b"x") + b"HTTP/1.1 200 forged\r\n\r\n"],
    "invalid": [head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2") + b"x"],
    "ended": [ok(b"half")[:-2]],
    "nothing": [],
}
CHANGES: dict[str, Callable[[RunningGate], None]] = {
    "none": lambda gate: None,
    "same": lambda gate: change_policy(gate, job_of(gate).settings.policy),
    "other": lambda gate: allow_only(gate, "other.test"),
    "back": lambda gate: allow_only(gate, ".ok.test"),
    "narrow": lambda gate: allow_only(gate, "ok.test"),
}
Step = tuple[str, str, str, int]
STEPS = st.tuples(
    st.sampled_from(["a"] * 6 + ["b"] * 3 + [*REQUESTS]),
    st.sampled_from(["small"] * 8 + ["dated"] * 4 + [*RESPONSES]),
    st.sampled_from(["none"] * 30 + [*CHANGES]),
    st.sampled_from([0] * 10 + [30, -1]),
)


def origin_of(steps: Sequence[Step]) -> Callable[[Peer], Awaitable[None]]:
    """Answer each request as the step that it is of says; it has no other name."""
    left = [RESPONSES[name] for request, name, _, _ in steps for _ in range(1 + (request == "twice"))]

    async def script(peer: Peer) -> None:
        while request := await peer.read_head():
            if request.startswith(b"POST"):
                await peer.read_exactly(3)
            pieces = left.pop(0) if left else []
            for piece in pieces:
                await peer.send(piece)
                await turns()
            if pieces in (RESPONSES["close"], RESPONSES["ended"], RESPONSES["nothing"]):
                return

    return script


async def run(steps: Sequence[Step]) -> str:
    """Send request after request, each once the one before is answered; say all that can be seen."""
    seen: list[object] = []
    async with Origin(origin_of(steps)) as origin, loopback_gate() as gate:
        client = await Client.connect(gate.port)
        try:
            for name, _, change, cut in steps:
                request = REQUESTS[name](origin.port)
                try:
                    for piece in [request[:cut], request[cut:]] if cut else [request]:
                        await client.send(piece)
                        await turns()
                    for _ in range(1 + (name == "twice")):
                        response = await client.response("HEAD" if name == "head" else "GET")
                        seen.append((response.status, response.headers, response.body, response.interim))
                except (ConnectionError, EOFError, RemoteProtocolError) as error:
                    seen.append("cut" if isinstance(error, RemoteProtocolError) else "closed")
                    client.close()
                    client = await Client.connect(gate.port)
                CHANGES[change](gate)
        finally:
            client.close()
        await until(lambda: not job_of(gate).open)
        job, usage = job_of(gate), job_of(gate).usage
        counted = [
            dict(of) for of in (usage.decisions, usage.ends, usage.refused, usage.failed, usage.reached)
        ]
        lines = [
            [{k: v for k, v in line.items() if k not in _OWN} for line in lines]
            for lines in (gate.decisions, gate.closes)
        ]
        received = [bytes(peer.received) for peer in origin.peers]
        found = [seen, counted, lines, received, job.down.moved_bytes, job.up.moved_bytes]
        return repr(found).replace(str(origin.port), "PORT")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=6, max_size=16))
def test_the_fast_path_changes_nothing_that_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step]
) -> None:
    fast = asyncio.run(run(steps))
    with monkeypatch.context() as without:
        without.setattr(Connection, "_fast_path", lambda *_: None)
        slow = asyncio.run(run(steps))
    assert fast == slow


# --- what both sides do in one turn of the loop

Act = Callable[[Client, Peer, RunningGate], None]
ACTS: dict[str, Act] = {
    "client-byte": lambda client, _, gate: client.now(b"G"),
    "client-fin": lambda client, _, gate: client.half_close(),
    "client-reset": lambda client, _, gate: client.reset(),
    "part": lambda _, peer, gate: peer.now(b"HTTP/1.1 200 OK\r\nContent-"),
    "whole": lambda _, peer, gate: peer.now(ok(b"whole")),
    "junk": lambda _, peer, gate: peer.now(b"junk\r\n\r\n"),
    "refuse": lambda _, peer, gate: allow_only(gate, "other.test"),
}
#: Far more than anything here takes that is not to time out.
TIMEOUTS = "[timeouts]\nupstream_response_s = 1.5\nhead_s = 1.5\nkeepalive_s = 1.5"
AT_ONCE = 21


async def answer_once(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(ok(b"first"))
    await peer.read_to_end()


async def together(acts: Sequence[str], *, is_busy: bool) -> str:
    """Do some things at once, beside a request that repeats or after it; say what came of them."""
    async with (
        Origin(answer_once) as origin,
        loopback_gate(tables=TIMEOUTS) as gate,
        await Client.connect(gate.port) as client,
    ):
        request = REQUESTS["a"](origin.port)
        await client.request(request)
        peer, job = origin.peers[0], job_of(gate)
        if is_busy:
            await client.send(request)
            await until(lambda: peer.received.count(b"\r\n\r\n") == 2)
        await turns()
        for name in acts:
            with suppress(OSError):  # there is no saying more behind an end
                ACTS[name](client, peer, gate)
        if not is_busy:
            client.now(request)
        await until_seen(lambda: not job.open)
        if "client-reset" not in acts:
            await client.read_to_end()
        await turns()
        lines = [
            [{k: v for k, v in line.items() if k not in _OWN} for line in lines]
            for lines in (gate.decisions, gate.closes)
        ]
        found = [bytes(client.received), client.was_reset, peer.was_reset, len(job.pool), lines]
        return repr(found).replace(str(origin.port), "PORT")


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "idle"])
def test_what_both_sides_do_at_once_is_seen_alike(monkeypatch: pytest.MonkeyPatch, is_busy: bool) -> None:
    """But where a client was reset it is said so sooner, whatever its origin did."""
    names = [name for name in ACTS if is_busy or name not in ("client-byte", "client-fin", "client-reset")]
    pairs = list(permutations(names, 2))

    async def all_of_them() -> list[str]:
        some = asyncio.Semaphore(AT_ONCE)

        async def one(pair: Sequence[str]) -> str:
            async with some:
                return await together(pair, is_busy=is_busy)

        return await asyncio.gather(*map(one, pairs))

    fast = asyncio.run(all_of_them())
    with monkeypatch.context() as without:
        without.setattr(Connection, "_fast_path", lambda *_: None)
        slow = asyncio.run(all_of_them())
    for pair, quick, other in zip(pairs, fast, slow, strict=True):
        is_said_sooner = "client-reset" in pair and "'reason': 'client-reset'" in quick
        assert quick == other or is_said_sooner, (pair, quick, other)
