"""Requests that repeat: served without the carrier, as by it, and by it where anything is different."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from ipaddress import ip_network

import pytest

from jobgate.config.policy import Mode
from jobgate.config.rules import RuleSet
from jobgate.proxy.carrier import Carrier
from jobgate.proxy.fastpath import origin_prefix
from jobgate.proxy.head import parse_request_head
from jobgate.proxy.wire import Wire
from support.changes import allow_only, change_job, change_node, change_policy, deny_address, job_of
from support.client import Client, Response
from support.gate import FakeResolver, RunningGate, loopback_gate, running_gate
from support.messages import absolute, head, ok
from support.narrow import narrow_client, turns
from support.origin import Origin, Peer, Script, answer_when, swallow
from support.pipeline import LIMITS
from support.wait import until

WARM = ok(b"warm")


@dataclass
class Scene:
    """A client that has been answered once, and what its gate does from then on.

    Attributes:
        carried: Targets of the requests that the carrier has forwarded since.
    """

    gate: RunningGate
    client: Client
    origin: Origin
    carried: list[bytes] = field(default_factory=list)

    def get(self, path: str = "/a", *fields: str, method: str = "GET") -> bytes:
        return absolute(f"http://ok.test:{self.origin.port}{path}", *fields, method=method)

    @property
    def wire(self) -> Wire:
        """The gate's side of the client's connection, the only one."""
        (connection,) = job_of(self.gate).open
        return connection._client

    async def ask(self, path: str = "/a", method: str = "GET") -> Response:
        return await self.client.request(self.get(path, method=method), method)

    @property
    def peer(self) -> Peer:
        return self.origin.peers[0]

    @property
    def ends(self) -> list[object]:
        """Reasons of the close lines behind the first."""
        return [line["reason"] for line in self.gate.closes[1:]]


def after_warm(then: Script) -> Script:
    """Answer one request, then do what the script says, on each connection."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(WARM)
        await then(peer)

    return script


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Targets of the requests that a carrier forwards."""
    targets: list[bytes] = []
    forward = Carrier.forward

    async def counted(self: Carrier, request, *args, **options) -> bool:  # type: ignore[no-untyped-def]
        targets.append(request.target)
        return await forward(self, request, *args, **options)

    monkeypatch.setattr(Carrier, "forward", counted)
    return targets


@asynccontextmanager
async def warmed(
    carried: list[bytes], then: Script, *, warm_on: str = "/a", **options: str
) -> AsyncIterator[Scene]:
    """Serve a job whose client has been answered once by an origin that goes on with a script."""
    async with Origin(after_warm(then)) as origin, loopback_gate(**options) as gate, gate.client() as client:  # type: ignore[arg-type]
        scene = Scene(gate, client, origin, carried)
        assert (await scene.ask(warm_on)).body == b"warm"
        await gate.until_closed(1)
        carried.clear()
        yield scene


def each(*responses: bytes) -> Script:
    """Answer request after request, the last one for good."""

    async def script(peer: Peer) -> None:
        left = list(responses)
        while await peer.read_head():
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


# --- what goes the fast path


async def test_requests_that_repeat_are_served_without_the_carrier_and_logged_as_ever(
    carried: list[bytes],
) -> None:
    async with warmed(
        carried, each(ok(b"one"), ok(b"other", "Date: now"), ok(b"third", "Date: then"))
    ) as scene:
        bodies = [(await scene.ask(path)).body for path in ("/a", "/b?c=/d", "/")]
        await scene.gate.until_closed(4)
        assert bodies == [b"one", b"other", b"third"]
        assert scene.carried == []
        heads = bytes(scene.peer.received).split(b"\r\n\r\n")
        assert [part.split(b" ")[1] for part in heads[:4]] == [b"/a", b"/a", b"/b?c=/d", b"/"]
        assert len({part.split(b"\r\n", 1)[1] for part in heads[:4]}) == 1
        first, *others = scene.gate.decisions
        same = {"ts", "id"}
        assert all({**first, **{k: line[k] for k in same}} == line for line in others)
        sizes = [len(scene.get(path)) for path in ("/a", "/a", "/b?c=/d", "/")]
        assert [line["bytes_up"] for line in scene.gate.closes] == sizes
        assert [line["status"] for line in scene.gate.closes] == [200] * 4
        assert [line["bytes_down"] for line in scene.gate.closes[1:]] == [
            len(ok(b"one")),
            len(ok(b"other", "Date: now")),
            len(ok(b"third", "Date: then")),
        ]
        usage = job_of(scene.gate).usage
        assert (usage.requests, usage.decisions, usage.ends) == (4, {"allow": 4}, {"done": 4})
        reached = usage.reached[f"ok.test:{scene.origin.port}"]
        assert (reached.requests, reached.bytes_up) == (4, sum(sizes))
        assert len(job_of(scene.gate).pool) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(head("HTTP/1.1 304 Not Modified", 'ETag: "x"'), id="304"),
        pytest.param(head("HTTP/1.1 204 No Content"), id="204"),
        pytest.param(head("HTTP/1.1 404 No", "Content-Length: 0"), id="404"),
    ],
)
async def test_answers_of_other_kinds_that_come_in_one_piece_are_passed_on(
    carried: list[bytes], answer: bytes
) -> None:
    async with warmed(carried, each(answer)) as scene:
        found = [await scene.ask() for _ in range(2)]
        assert [response.status for response in found] == [int(answer[9:12])] * 2
        assert scene.carried == []


async def test_head_is_answered_without_content(carried: list[bytes]) -> None:
    answer = head("HTTP/1.1 200 OK", "Content-Length: 1000")
    async with Origin(each(answer)) as origin, loopback_gate() as gate, gate.client() as client:
        scene = Scene(gate, client, origin)
        for _ in range(3):
            response = await scene.ask(method="HEAD")
            assert (response.status, response.value("content-length"), response.body) == (200, "1000", b"")
        assert len(carried) == 1


# --- what does not


def without_slash(scene: Scene) -> bytes:
    return absolute(f"http://ok.test:{scene.origin.port}")


OTHERS: dict[str, tuple[Callable[[Scene], bytes], int]] = {
    "other-method": (lambda scene: scene.get(method="DELETE"), 200),
    "head": (lambda scene: scene.get(method="HEAD"), 200),
    "other-fields": (lambda scene: scene.get("/a", "X-Other: 1"), 200),
    "content": (lambda scene: scene.get("/a", "Content-Length: 2", method="POST") + b"hi", 200),
    "close": (lambda scene: scene.get("/a", "Connection: close"), 200),
    "other-host": (lambda scene: scene.get().replace(b"//ok.test", b"//a.ok.test"), 200),
    "no-slash": (without_slash, 200),
    "query-at-once": (lambda scene: scene.get("/a").replace(b"/a ", b"?x=/y "), 200),
    "older-version": (lambda scene: scene.get().replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
    "fragment": (lambda scene: scene.get("/a#b"), 400),
    "user": (lambda scene: scene.get().replace(b"//ok.test", b"//u@ok.test"), 400),
    "not-listed": (lambda scene: absolute("http://other.test/a"), 403),
    "stray-byte": (lambda scene: scene.get("/a\x7f"), 400),
    "bare-lf": (lambda scene: scene.get().replace(b"\r\n\r\n", b"\n\n"), 400),
    "no-http": (lambda scene: b"\x16\x03\x01\x00\x05hello\r\n\r\n", 400),
}


@pytest.mark.parametrize(("other", "status"), OTHERS.values(), ids=OTHERS)
async def test_another_request_goes_the_whole_way(
    carried: list[bytes], other: Callable[[Scene], bytes], status: int
) -> None:
    async with warmed(carried, each(head("HTTP/1.1 200 OK", "Content-Length: 0"))) as scene:
        await scene.ask()
        assert scene.carried == []
        request = other(scene)
        method = request.split(b" ")[0].decode("latin-1")
        response = await scene.client.request(request, method if method in ("HEAD", "POST") else "GET")
        assert response.status == status
        assert len(scene.carried) == (status == 200)


@pytest.mark.parametrize("cut", [1, 20, -1])
async def test_request_that_comes_in_pieces_goes_the_whole_way(carried: list[bytes], cut: int) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        request = scene.get()
        await scene.client.send(request[:cut])
        await until(lambda: bool(scene.wire.inbox))
        assert (await scene.client.request(request[cut:])).body == b"x"
        assert len(scene.carried) == 1
        assert (await scene.ask()).body == b"x"
        assert len(scene.carried) == 1


async def test_requests_that_come_together_are_answered_in_order(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"1"), ok(b"2"), ok(b"3"), ok(b"4"))) as scene:
        await scene.client.send(scene.get("/1") + scene.get("/2"))
        await scene.client.send(scene.get("/3"))
        bodies = [(await scene.client.response()).body for _ in range(3)]
        assert bodies == [b"1", b"2", b"3"]
        assert (await scene.ask("/4")).body == b"4"
        paths = [part.split(b" ")[1] for part in bytes(scene.peer.received).split(b"\r\n\r\n")[:-1]]
        assert paths == [b"/a", b"/1", b"/2", b"/3", b"/4"]


async def test_client_that_was_held_back_is_read_again(carried: list[bytes]) -> None:
    tables = "[limits]\nmax_head_bytes = 1024\nmax_target_bytes = 512"
    async with warmed(carried, each(ok(b"x")), tables=tables) as scene:
        await scene.client.send(30 * scene.get())
        assert [(await scene.client.response()).body for _ in range(30)] == [b"x"] * 30
        assert (await scene.ask()).body == b"x"


async def test_request_that_comes_while_one_is_under_way_waits_for_it(carried: list[bytes]) -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(ok(b"first"))
        assert b"/second" in await peer.read_head()
        await peer.send(ok(b"second"))
        await peer.read_to_end()

    async with warmed(carried, script) as scene:
        await scene.client.send(scene.get("/first"))
        await scene.peer.until_received(2 * len(scene.get()) - 60)
        await scene.client.send(scene.get("/second"))
        await until(lambda: bool(scene.wire.inbox))
        assert b"/second" not in scene.peer.received
        release.set()
        assert [(await scene.client.response()).body for _ in range(2)] == [b"first", b"second"]


CHUNKED = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n"
LEAVING: dict[str, tuple[list[bytes], bytes, int]] = {
    "chunked": ([CHUNKED], b"hi", 1),
    "head-in-pieces": ([ok(b"hi")[:10], ok(b"hi")[10:]], b"hi", 1),
    "content-in-pieces": ([ok(b"hello")[:-2], b"lo"], b"hello", 1),
    "interim-before": ([head("HTTP/1.1 103 Early Hints", "Link: </x>") + ok(b"hi")], b"hi", 1),
    "interim-alone": ([head("HTTP/1.1 100 Continue"), ok(b"hi")], b"hi", 1),
    "large": ([ok(bytes(300_000))], bytes(300_000), 1),
    "connection-close": ([ok(b"hi", "Connection: close")], b"hi", 2),
    "more-than-asked-for": ([ok(b"hi") + ok(b"forged")], b"hi", 2),
}


@pytest.mark.parametrize(("pieces", "body", "upstreams"), LEAVING.values(), ids=LEAVING)
async def test_answer_that_is_no_single_piece_is_brought_by_the_carrier(
    carried: list[bytes], pieces: list[bytes], body: bytes, upstreams: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        for piece in pieces:
            await peer.send(piece)
            await turns()
        await each(ok(b"behind"))(peer)

    async with warmed(carried, script) as scene:
        response = await scene.ask("/left")
        assert response.body == body
        assert [target.rpartition(b"/")[2] for target in scene.carried] == [b"left"]
        behind = await scene.ask("/behind")
        assert behind.body == (b"behind" if upstreams == 1 else b"warm")
        await scene.gate.until_closed(3)
        assert len(scene.origin.peers) == upstreams
        assert scene.ends == ["done", "done"]
        assert int(str(scene.gate.closes[1]["bytes_down"])) >= len(body)


async def test_answer_until_the_end_of_the_connection_is_whole(carried: list[bytes]) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(head("HTTP/1.1 200 OK") + b"until the end")

    async with warmed(carried, script) as scene:
        assert (await scene.ask()).body == b"until the end"
        assert scene.client.ended or await scene.client.read_to_end() == b""


# --- broken origins


async def test_connection_that_ends_under_a_request_is_replaced_once(carried: list[bytes]) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()

    async with warmed(carried, script) as scene:
        assert (await scene.ask()).body == b"warm"  # by a second connection
        await scene.gate.until_closed(2)
        assert (len(scene.origin.peers), len(scene.gate.decisions), scene.ends) == (2, 2, ["done"])


async def test_connection_that_ended_while_it_was_idle_is_not_used(carried: list[bytes]) -> None:
    async def script(peer: Peer) -> None:
        return

    async with warmed(carried, script) as scene:
        await until(lambda: len(job_of(scene.gate).pool) == 0)
        assert (await scene.ask()).body == b"warm"
        assert len(scene.origin.peers) == 2


BROKEN: dict[str, tuple[bytes, int, str]] = {
    "no-http": (b"garbage\r\n\r\n", 502, "upstream-invalid"),
    "two-lengths": (
        head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2") + b"x",
        502,
        "upstream-invalid",
    ),
    "websocket-unasked": (
        head("HTTP/1.1 101 Switching", "Connection: Upgrade", "Upgrade: websocket"),
        502,
        "upstream-invalid",
    ),
    "half-a-head": (b"HTTP/1.1 200 OK\r\nX: ", 502, "upstream-closed"),
}


@pytest.mark.parametrize(("answer", "status", "reason"), BROKEN.values(), ids=BROKEN)
async def test_answer_that_is_none_is_refused_and_the_client_goes_on(
    carried: list[bytes], answer: bytes, status: int, reason: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answer)

    async with warmed(carried, script) as scene:
        response = await scene.ask()
        assert (response.status, response.value("x-jobgate-reason")) == (status, reason)
        await scene.gate.until_closed(2)
        assert scene.ends == [reason]
        assert (await scene.ask()).body == b"warm"  # by a new connection


async def test_content_that_is_cut_looks_cut(carried: list[bytes]) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(ok(b"whole")[:-2])

    async with warmed(carried, script) as scene:
        await scene.client.send(scene.get())
        assert (await scene.client.read_to_end()).endswith(b"who")
        assert scene.client.was_reset
        await scene.gate.until_closed(2)
        assert scene.ends == ["upstream-closed"]


async def test_origin_that_does_not_answer_is_given_up(carried: list[bytes]) -> None:
    async with warmed(carried, swallow, tables="[timeouts]\nupstream_response_s = 1.0") as scene:
        response = await scene.ask()
        assert (response.status, response.value("x-jobgate-reason")) == (504, "upstream-timeout")
        await scene.gate.until_closed(2)
        assert scene.ends == ["upstream-timeout"]
        await scene.peer.until_ended()


# --- clients


async def test_client_that_asks_for_nothing_more_is_closed_in_time(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x")), tables="[timeouts]\nkeepalive_s = 1.0") as scene:
        await scene.ask()
        assert await scene.client.read_to_end() == b""
        assert not scene.client.was_reset
        assert scene.carried == []


async def test_keepalive_counts_from_the_last_answer(carried: list[bytes]) -> None:
    tables = "[timeouts]\nkeepalive_s = 100\nupstream_response_s = 20"
    async with warmed(carried, each(ok(b"x")), tables=tables) as scene:
        for _ in range(3):
            scene.wire.prolong(scene.wire.loop.time() + 50)
            assert (await scene.ask()).body == b"x"
            assert 90 < scene.wire._deadline - scene.wire.loop.time() <= 100
        assert scene.carried == []


async def test_head_that_begins_behind_an_answer_has_its_own_deadline(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x")), tables="[timeouts]\nhead_s = 1.0\nkeepalive_s = 60") as scene:
        await scene.ask()
        await scene.client.send(scene.get()[:10])
        response = await scene.client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (408, "head-timeout")


@pytest.mark.parametrize("is_reset", [False, True], ids=["fin", "reset"])
async def test_client_that_leaves_when_it_is_idle_leaves_the_upstream_behind(
    carried: list[bytes], is_reset: bool
) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        if is_reset:
            scene.client.reset()
        else:
            scene.client.half_close()
            assert await scene.client.read_to_end() == b""
        await until(lambda: not job_of(scene.gate).open)
        assert len(job_of(scene.gate).pool) == 1
        assert scene.ends == ["done"]


async def test_client_that_is_lost_under_a_request_ends_it_upstream(carried: list[bytes]) -> None:
    async with warmed(carried, swallow) as scene:
        await scene.client.send(scene.get())
        await scene.peer.until_received(2 * len(scene.get()) - 60)
        scene.client.reset()
        await scene.gate.until_closed(2)
        await scene.peer.until_ended()
        assert scene.ends == ["client-reset"]
        assert scene.peer.was_reset
        assert scene.carried == []


async def test_client_that_has_ended_its_side_is_answered(carried: list[bytes]) -> None:
    release = asyncio.Event()

    script = answer_when(release, ok(b"late"))

    async with warmed(carried, script) as scene:
        await scene.client.send(scene.get())
        await scene.peer.until_received(2 * len(scene.get()) - 60)
        scene.client.half_close()
        await until(lambda: scene.wire.at_eof)
        release.set()
        assert (await scene.client.response()).body == b"late"
        assert await scene.client.read_to_end() == b""
        assert scene.ends == ["done"]


async def test_client_that_does_not_read_is_not_answered_further(
    carried: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with warmed(carried, each(ok(bytes(40_000)))) as scene:
        asked = 0
        while not scene.wire.blocked:
            await scene.client.send(scene.get())
            asked += 1
            await scene.gate.until_closed(asked + 1)
        served = len(scene.gate.decisions)
        for _ in range(5):
            await scene.client.send(scene.get())
        await turns()
        assert len(scene.gate.decisions) == served
        for _ in range(asked + 5):
            assert len((await scene.client.response()).body) == 40_000


# --- caps, rates, changes


async def test_request_over_the_cap_is_refused_and_the_pause_kept(
    carried: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 0.05)
    async with warmed(carried, each(ok(b"x")), tables="[limits]\nrequests_per_s_per_job = 3") as scene:
        found = [200]
        while found[-1] == 200:  # the more, the slower this machine is
            found.append((await scene.ask()).status)
        await scene.gate.until_closed(len(found))
        assert {line["rule"] for line in scene.gate.decisions if line["reason"] == "rate"} == {None}
        assert (found[-1], scene.ends[-1]) == (429, "rate")
        assert scene.carried == []


async def test_bytes_are_paid_for_at_the_jobs_rate(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(bytes(4000))), rate='"0.8mbit"') as scene:
        before = job_of(scene.gate).down.moved_bytes
        for _ in range(30):
            assert len((await scene.ask()).body) == 4000
        moved = job_of(scene.gate).down.moved_bytes - before
        assert moved == sum(int(str(line["bytes_down"])) for line in scene.gate.closes[1:])
        assert 0 < len(scene.carried) < 30  # those that had to wait
        assert sum(float(str(line["wait_down_s"])) for line in scene.gate.closes) > 0


async def test_quota_that_an_answer_exceeds_ends_the_job(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(bytes(1000))), job="max_bytes_down = 2500") as scene:
        assert [(await scene.ask()).status for _ in range(2)] == [200, 200]
        assert scene.carried == []
        await scene.client.send(scene.get())
        await scene.client.read_to_end()
        assert scene.client.was_reset
        assert len(scene.carried) == 1
        await scene.gate.until_closed(4)
        assert scene.ends == ["done", "done", "quota"]
        assert job_of(scene.gate).down.moved_bytes <= 2500


async def test_change_of_the_policy_holds_for_the_next_request(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        allow_only(scene.gate, "other.test")
        response = await scene.ask()
        assert (response.status, response.value("x-jobgate-reason")) == (403, "not-listed")
        allow_only(scene.gate, ".ok.test")
        assert (await scene.ask()).status == 200


async def test_change_of_the_policy_ends_what_is_under_way(carried: list[bytes]) -> None:
    async with warmed(carried, swallow) as scene:
        await scene.client.send(scene.get())
        await scene.peer.until_received(2 * len(scene.get()) - 60)
        allow_only(scene.gate, "other.test")
        response = await scene.client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (403, "not-listed")
        await scene.peer.until_ended()
        assert scene.peer.was_reset
        assert scene.ends == ["not-listed"] or scene.ends == ["revoked"]


async def test_address_that_is_refused_now_is_not_asked_again(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        deny_address(scene.gate)
        response = await scene.ask()
        assert (response.status, response.value("x-jobgate-reason")) == (403, "address")


async def test_rule_of_now_is_logged(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        allow_only(scene.gate, "ok.test")
        assert (await scene.ask()).status == 200
        assert [line["rule"] for line in scene.gate.decisions] == [".ok.test", ".ok.test", "ok.test"]
        assert len(scene.carried) == 1


async def test_change_that_refuses_nothing_is_followed(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        change_node(scene.gate, replace(scene.gate.gate.settings.node, via="other"))
        assert (await scene.ask()).value("via") == "1.1 other"
        assert b"Via: 1.1 other\r\n" in bytes(scene.peer.received)
        assert len(scene.carried) == 1
        assert (await scene.ask()).value("via") == "1.1 other"
        assert len(scene.carried) == 1


async def test_answer_under_a_change_is_not_kept_on_the_fast_path(carried: list[bytes]) -> None:
    release = asyncio.Event()

    script = answer_when(release, ok(b"late"))

    async with warmed(carried, script) as scene:
        await scene.client.send(scene.get())
        await scene.peer.until_received(2 * len(scene.get()) - 60)
        allow_only(scene.gate, ".ok.test", "more.test")
        release.set()
        assert (await scene.client.response()).body == b"late"
        assert len(scene.carried) == 1
        assert len(job_of(scene.gate).pool) == 0


async def test_job_that_is_removed_ends_its_idle_connection(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        scene.gate.gate.remove_job("job")
        assert await scene.client.read_to_end() == b""


async def test_drain_closes_it_idle_and_lets_a_running_request_end(carried: list[bytes]) -> None:
    release = asyncio.Event()

    script = answer_when(release, ok(b"late"))

    async with warmed(carried, script) as scene, scene.gate.client() as idle:
        await scene.client.send(scene.get())
        await scene.peer.until_received(2 * len(scene.get()) - 60)
        await idle.request(scene.get())
        closing = asyncio.ensure_future(scene.gate.close(drain_s=8.0))
        assert await idle.read_to_end() == b""
        release.set()
        assert (await scene.client.response()).body == b"late"
        assert await scene.client.read_to_end() == b""
        await closing


async def test_retiring_gate_says_so_with_the_next_answer(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        await scene.ask()
        sockets = scene.gate.gate.detach()
        assert (await scene.ask()).value("connection") == "close"
        assert await scene.client.read_to_end() == b""
        scene.gate.gate.resume()
        assert len(sockets) == 1


# --- what happens at once: in the kernel together, before the gate has seen any of it


async def silent(peer: Peer) -> None:
    """Read a request, and then whatever comes."""
    await peer.read_head()
    await peer.read_to_end()


@asynccontextmanager
async def busy(carried: list[bytes], then: Script = silent) -> AsyncIterator[Scene]:
    """Have a request under way on the fast path."""
    async with warmed(carried, then) as scene:
        await scene.client.send(scene.get())
        await until(lambda: scene.peer.received.count(b"\r\n\r\n") == 2)
        await turns()
        yield scene


async def test_answer_that_is_none_is_refused_at_once_behind_a_byte_of_the_client(
    carried: list[bytes],
) -> None:
    async with busy(carried) as scene:
        scene.client.now(b"G")
        scene.peer.now(b"garbage\r\n\r\n")
        response = await scene.client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (502, "upstream-invalid")


@pytest.mark.parametrize("answer", [ok(b"x"), ok(b"x")[:10]], ids=["whole", "part"])
async def test_client_that_was_reset_under_its_answer_ends_its_upstream(
    carried: list[bytes], answer: bytes
) -> None:
    async with busy(carried) as scene:
        scene.client.reset()
        scene.peer.now(answer)
        await scene.gate.until_closed(2)
        await scene.peer.until_ended()
        assert scene.ends == ["client-reset"]
        assert scene.peer.was_reset
        assert len(job_of(scene.gate).pool) == 0


@pytest.mark.parametrize("is_first", [False, True], ids=["behind", "before"])
async def test_answer_that_came_before_its_request_is_no_answer(carried: list[bytes], is_first: bool) -> None:
    async with warmed(carried, each(ok(b"true"))) as scene:
        await turns()
        if is_first:
            scene.peer.now(ok(b"forged"))
        scene.client.now(scene.get())
        if not is_first:
            scene.peer.now(ok(b"forged"))
        assert (await scene.client.response()).body == b"warm"  # by a second connection
        assert len(scene.origin.peers) == 2


@pytest.mark.parametrize("is_drain", [False, True], ids=["removed", "drained"])
async def test_client_that_reads_slowly_gets_its_last_answer_whole(
    carried: list[bytes], is_drain: bool
) -> None:
    async with (
        Origin(each(ok(b"x"), ok(bytes(40_000)))) as origin,
        loopback_gate() as gate,
        narrow_client(gate) as client,
    ):
        scene = Scene(gate, client, origin)
        await scene.ask()
        asked = 0
        while not scene.wire.blocked:
            await client.send(scene.get())
            asked += 1
            await gate.until_closed(asked + 1)
        assert len(carried) == 1
        await turns()
        closing = asyncio.ensure_future(gate.close(drain_s=8.0)) if is_drain else None
        if closing is None:
            gate.gate.remove_job("job")
        await turns()
        for _ in range(asked):
            assert len((await client.response()).body) == 40_000
        if closing is not None:
            await closing


async def test_origin_has_no_more_time_for_its_answer_off_the_fast_path(carried: list[bytes]) -> None:
    async with busy(carried) as scene:
        (connection,) = job_of(scene.gate).open
        answer_by = scene.wire._deadline
        scene.peer.now(b"HTTP/1.1 200 ")
        await until(lambda: len(scene.carried) == 1)
        upstream = connection._carrier.upstream
        assert upstream is not None
        await until(lambda: upstream._deadline == answer_by)


@pytest.mark.parametrize(
    ("domain", "mode", "said"),
    [
        pytest.param("ok.test", Mode.ENFORCE, (None, "ok.test", None), id="rule"),
        pytest.param("other.test", Mode.REPORT, ("not-listed", None, "deny"), id="report"),
    ],
)
async def test_change_under_the_first_request_is_followed_by_the_next(
    carried: list[bytes], domain: str, mode: Mode, said: tuple[object, ...]
) -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.read_head():
            await peer.send(ok(b"whole")[:-2])
            if peer is origin.peers[0]:
                await release.wait()
            await peer.send(b"le")

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        scene = Scene(gate, client, origin)
        await client.send(scene.get())
        await (await origin.peer()).until_received(1)
        async with gate.client() as other:
            await other.request(scene.get())  # leaves a connection that may be used next
            policy = job_of(gate).settings.policy
            change_policy(gate, replace(policy, domains=RuleSet.parse([domain]), mode=mode))
            release.set()
            assert (await client.response()).body == b"whole"
            assert (await scene.ask()).body == b"whole"
        line = gate.decisions[2]
        assert (line["reason"], line["rule"], line.get("would")) == said


# --- where there is none


async def test_what_report_mode_lets_pass_is_said_of_each_request(carried: list[bytes]) -> None:
    async with warmed(carried, each(ok(b"x")), job='mode = "report"', domains=("other.test",)) as scene:  # type: ignore[arg-type]
        await scene.ask()
        assert [line["would"] for line in scene.gate.decisions] == ["deny", "deny"]
        assert len(scene.carried) == 1


async def test_defect_in_it_is_answered_and_ends_one_connection(
    carried: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        with monkeypatch.context() as broken:
            broken.setattr("jobgate.proxy.visit.Visit.admit", lambda *_, **__: 1 // 0)
            response = await scene.ask()
        assert (response.status, response.value("x-jobgate-reason")) == (500, "internal")
        await scene.gate.until_closed(2)
        assert scene.ends == ["internal"]
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()
        async with scene.gate.client() as other:
            assert (await other.request(scene.get())).status == 200


async def test_defect_before_a_request_has_begun_cuts_the_connection(
    carried: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with warmed(carried, each(ok(b"x"))) as scene:
        with monkeypatch.context() as broken:
            broken.setattr("jobgate.proxy.heads.HeadReader.again", lambda *_: 1 // 0)
            await scene.client.send(scene.get())
            assert await scene.client.read_to_end() == b""
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        caplog.clear()
        assert scene.ends == []


@pytest.mark.parametrize(
    ("line", "fields", "prefix"),
    [
        ("GET http://a.test/ HTTP/1.1", [], b"http://a.test/"),
        ("HEAD HTTP://A.test:81/x?y=/z HTTP/1.1", [], b"HTTP://A.test:81/"),
        ("GET http://a.test HTTP/1.1", [], None),
        ("GET http://a.test?x=/y HTTP/1.1", [], None),
        ("GET http://a.test/ HTTP/1.0", ["Connection: keep-alive"], None),
        ("GET http://a.test/ HTTP/1.1", ["Connection: close"], None),
        ("GET http://a.test/ HTTP/1.1", ["Content-Length: 1"], None),
        ("GET http://a.test/ HTTP/1.1", ["Transfer-Encoding: chunked"], None),
        ("GET http://a.test/ HTTP/1.1", ["Connection: upgrade", "Upgrade: websocket"], None),
        ("POST http://a.test/ HTTP/1.1", [], None),
        ("OPTIONS http://a.test/ HTTP/1.1", ["Max-Forwards: 0"], None),
    ],
)
def test_origin_prefix_is_there_where_nothing_but_a_path_is_asked_for(
    line: str, fields: list[str], prefix: bytes | None
) -> None:
    raw = head(line, "Host: a.test", *fields)
    assert origin_prefix(parse_request_head(raw, LIMITS)) == prefix


# --- on a shared listener

SHARED = """
listen.proxy = ["127.0.0.1:3128"]
[node]
allow_addresses = ["127.0.0.1"]
http_ports = ["1-65535"]
[[job]]
id = "job"
network = "http"
domains = [".ok.test"]
token = "s3cret-s3cret"
"""
SHOWN = "Proxy-Authorization: Basic " + b64encode(b"job:s3cret-s3cret").decode()


async def test_job_that_shows_itself_again_is_looked_at_each_time(carried: list[bytes]) -> None:
    resolver = FakeResolver.everything("127.0.0.1")
    async with (
        Origin(each(ok(b"x"))) as origin,
        running_gate(SHARED, resolver=resolver) as gate,
        await Client.connect(gate.shared_ports[0]) as client,
    ):
        request = absolute(f"http://ok.test:{origin.port}/", SHOWN)
        assert [(await client.request(request)).status for _ in range(3)] == [200] * 3
        assert len(carried) == 1
        assert b"s3cret" not in bytes(origin.peers[0].received)
        assert [line["job"] for line in gate.decisions] == ["job"] * 3
        change_job(gate, replace(job_of(gate).settings, token_hash=sha256(b"another").digest()))
        response = await client.request(request)
        assert (response.status, response.value("x-jobgate-reason")) == (407, "auth")
        assert len(carried) == 1


async def test_job_that_another_one_makes_doubtful_is_not_served_by_habit(
    carried: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobgate.proxy.connection.FLOOD_PAUSE_S", 3600.0)  # which comes behind the answer
    shared = SHARED.replace('token = "s3cret-s3cret"', 'clients = ["127.0.0.0/8"]')
    resolver = FakeResolver.everything("127.0.0.1")
    async with (
        Origin(each(ok(b"x"))) as origin,
        running_gate(shared, resolver=resolver) as gate,
        await Client.connect(gate.shared_ports[0]) as client,
    ):
        request = absolute(f"http://ok.test:{origin.port}/")
        assert [(await client.request(request)).status for _ in range(3)] == [200] * 3
        assert len(carried) == 1
        narrower = replace(job_of(gate).settings, id="narrower", clients=(ip_network("127.0.0.1/32"),))
        gate.gate.add_job(narrower)
        response = await client.request(request)
        assert (response.status, response.value("x-jobgate-reason")) == (407, "auth")
        assert len(carried) == 1
