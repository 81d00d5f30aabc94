from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from jobgate.config.host import Address
from jobgate.proxy.dial import dial
from jobgate.proxy.errors import ProxyError
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.forward import IDEMPOTENT, MAX_INTERIM, Forward, ForwardOptions
from jobgate.proxy.head import HeadLimits, parse_request_head
from jobgate.proxy.journal import Journal
from jobgate.proxy.legs import Legs
from jobgate.proxy.repeats import Rewriter
from jobgate.proxy.usage import Usage
from support.clock import VirtualClock
from support.gate import DialHook, loopback_gate
from support.lanes import free_lane
from support.messages import absolute, head, ok, post
from support.narrow import narrow_client, only_connection, turns
from support.origin import Origin, Peer, Script, answer, answer_and_close, swallow
from support.wait import until
from support.wires import FakeWire

HINT = head("HTTP/1.1 103 Early Hints", "Link: </a.css>")


def url(origin: Origin) -> str:
    return f"http://ok.test:{origin.port}/"


# --- interim responses


@pytest.mark.parametrize(
    ("count", "status"), [(MAX_INTERIM - 1, 200), (MAX_INTERIM, 502)], ids=["most", "one-more"]
)
async def test_interim_responses_are_bounded(count: int, status: int) -> None:
    async with (
        Origin(answer(HINT * count + ok())) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        response = await client.request(absolute(url(origin)))
        assert response.status == status
        assert response.interim == [103] * count


async def test_interim_responses_wait_for_a_client_that_does_not_read() -> None:
    large = head("HTTP/1.1 103 Early Hints", "X: " + "x" * 60_000)
    interim = MAX_INTERIM - 1
    async with (
        Origin(answer(large * interim + ok(b"final"))) as origin,
        loopback_gate() as gate,
        narrow_client(gate) as client,
    ):
        await client.send(absolute(url(origin)))
        connection = await only_connection(gate)
        await until(lambda: connection._client.blocked)
        await turns()
        assert len(connection._client._unsent or b"") <= len(large)
        response = await client.response()
        assert (response.body, len(response.interim)) == (b"final", interim)


# --- sending again


class Dropping:
    """Serves one request; then, before or after the next head, ends without an answer; then serves again."""

    def __init__(self, *, part: bytes = b"") -> None:
        self._part = part
        self.methods: list[bytes] = []

    async def __call__(self, peer: Peer) -> None:
        is_first = not self.methods
        while received := await peer.read_head():
            self.methods.append(received.partition(b" ")[0])
            if is_first and len(self.methods) == 2:
                await peer.send(self._part)
                return
            await peer.send(ok())


METHODS = [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"POST", b"PATCH"]


@pytest.mark.parametrize("method", METHODS, ids=[method.decode() for method in METHODS])
async def test_request_is_sent_again_only_if_that_is_safe(method: bytes) -> None:
    script = Dropping()
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        assert (await client.request(absolute(url(origin)))).status == 200
        name = method.decode()
        response = await client.request(absolute(url(origin), method=name), name)
        assert response.status == (200 if method in IDEMPOTENT else 502)
        assert script.methods == [b"GET", method] + [method] * (method in IDEMPOTENT)


async def test_request_is_not_sent_again_once_an_answer_has_begun() -> None:
    script = Dropping(part=b"HTTP/1.1 2")
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        assert (await client.request(absolute(url(origin)))).status == 200
        response = await client.request(absolute(url(origin)))
        assert (response.status, response.value("x-jobgate-reason")) == (502, "upstream-closed")
        assert len(script.methods) == 2


async def test_first_request_of_a_connection_is_not_sent_again() -> None:
    async with Origin(answer_and_close(b"")) as origin, loopback_gate() as gate, gate.client() as client:
        assert (await client.request(absolute(url(origin)))).status == 502
        assert len(origin.peers) == 1


class Early:
    """Answers the first request of its first connection twice, the second time when told to."""

    def __init__(self, unasked: bytes) -> None:
        self._unasked = unasked
        self.go = asyncio.Event()
        self.connections = 0

    async def __call__(self, peer: Peer) -> None:
        self.connections += 1
        await peer.read_head()
        await peer.send(ok(b"asked %d" % self.connections))
        if self.connections == 1:
            await self.go.wait()
            if not self._unasked:
                return
            await peer.send(self._unasked)
        await peer.read_to_end()


@pytest.mark.parametrize("unasked", [ok(b"unasked"), b""], ids=["response", "end"])
async def test_what_comes_while_the_head_waits_for_its_tokens_is_no_answer(unasked: bytes) -> None:
    script = Early(unasked)
    fill = absolute("http://ok.test:PORT/", "X: " + "x" * 10_000)
    async with Origin(script) as origin, loopback_gate(rate='"400kbit"') as gate, gate.client() as client:
        assert (await client.request(absolute(url(origin)))).body == b"asked 1"
        await until(lambda: len(gate.gate.jobs["job"].pool) == 1)
        lane = gate.gate.jobs["job"].up.lane()
        assert lane is not None
        while lane.request(1_000, lambda: None):  # the bucket is empty now
            pass
        lane.cancel()
        await client.send(fill.replace(b"PORT", str(origin.port).encode()))
        await until(lambda: len(gate.gate.jobs["job"].pool) == 0)
        script.go.set()
        assert (await client.response()).body == b"asked 2"


# --- answers that are cut, or come early


async def test_cut_answer_says_why_in_the_log() -> None:
    reasons = []
    for script in (
        answer_and_close(head("HTTP/1.1 200 OK", "Content-Length: 9") + b"part"),
        answer(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"4\r\npart\r\nzz\r\n"),
    ):
        async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
            await client.send(absolute(url(origin)))
            await client.read_to_end()
            await gate.until_closed(1)
            reasons.append(gate.closes[0]["reason"])
    assert reasons == ["upstream-closed", "upstream-invalid"]


WITHOUT_CONTENT = {
    "head": ("HEAD", head("HTTP/1.1 200 OK", "Content-Length: 5")),
    "204": ("GET", head("HTTP/1.1 204 No Content")),
    "304": ("GET", head("HTTP/1.1 304 Not Modified")),
    "length-0": ("GET", ok()),
}


@pytest.mark.parametrize("rate", ['"unlimited"', '"10mbit"'], ids=["unlimited", "limited"])
@pytest.mark.parametrize(("method", "start"), WITHOUT_CONTENT.values(), ids=WITHOUT_CONTENT)
async def test_bytes_right_behind_an_answer_without_content_do_not_swallow_it(
    method: str, start: bytes, rate: str
) -> None:
    async with (
        Origin(answer(start + b"stray", ok(b"next"))) as origin,
        loopback_gate(rate=rate) as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(url(origin), method=method), method)).body == b""
        await (await origin.peer()).until_ended()  # never used again


class Final:
    """Answers when told to, before the content has come, and never reads that."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self.go = asyncio.Event()
        self.leave = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_head()
        await self.go.wait()
        await peer.send(self._response)
        await self.leave.wait()


@pytest.mark.parametrize("ending", ["stays", "resets"])
async def test_early_answer_reaches_a_client_that_is_still_sending(ending: str) -> None:
    script = Final(head("HTTP/1.1 413 Content Too Large", "Content-Length: 4") + b"full")
    script.go.set()
    if ending == "resets":
        script.leave.set()  # unread content turns its close into a reset
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(url(origin), "Content-Length: 9000000", method="POST"))
        await client.send(b"x" * 200_000)
        response = await client.response()
        assert (response.status, response.body) == (413, b"full")
        assert response.value("connection") == "close"
        script.leave.set()
        await gate.until_closed(1)
        assert gate.closes[0]["status"] == 413
        assert len(gate.gate.jobs["job"].pool) == 0


async def test_upstream_that_takes_no_content_is_let_go_with_its_exchange() -> None:
    script = Final(ok(b"early"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(url(origin), "Content-Length: 90000000", method="POST"))
        sending = asyncio.ensure_future(client.send(b"x" * 20_000_000))
        connection = await only_connection(gate)
        carrier = connection._carrier
        await until(lambda: carrier.upstream is not None and carrier.upstream.blocked)
        upstream = carrier.upstream
        assert upstream is not None
        script.go.set()
        assert (await client.response()).body == b"early"
        await gate.until_closed(1)
        await until(lambda: upstream.is_lost)
        sending.cancel()
        script.leave.set()


# --- content on its way up


async def test_what_follows_the_announced_content_is_the_next_request() -> None:
    async def script(peer: Peer) -> None:
        for content in (b"12345", b"678"):
            await peer.read_head()
            assert await peer.read_exactly(len(content)) == content
            await peer.send(ok(content))
        await peer.read_to_end()

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(post(url(origin), b"12345") + post(url(origin), b"678"))
        assert (await client.response("POST")).body == b"12345"
        assert (await client.response("POST")).body == b"678"


@pytest.mark.parametrize(
    ("fields", "content", "reason"),
    [
        (("Content-Length: 101",), b"", "content-too-large"),
        (("Transfer-Encoding: chunked",), b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n", "content-too-large"),
        (("Transfer-Encoding: chunked",), b"zz\r\n", "bad-request"),
        (("Content-Length: 50",), b"x", "bad-request"),
    ],
    ids=["announced", "chunked", "broken-chunk", "cut"],
)
async def test_content_that_is_not_accepted_is_told_and_never_completed(
    fields: tuple[str, ...], content: bytes, reason: str
) -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(tables="[limits]\nmax_content_bytes = 100") as gate,
        gate.client() as client,
    ):
        await client.send(absolute(url(origin), *fields, method="POST") + content)
        if reason == "bad-request":
            client.half_close()
        assert (await client.response("POST")).value("x-jobgate-reason") == reason
        for peer in origin.peers:
            assert not (await peer.until_ended()).endswith(b"0\r\n\r\n")


async def test_content_of_exactly_the_limit_is_accepted() -> None:
    async with (
        Origin(answer(ok(), ok())) as origin,
        loopback_gate(tables="[limits]\nmax_content_bytes = 100") as gate,
        gate.client() as client,
    ):
        assert (await client.request(post(url(origin), b"x" * 100), "POST")).status == 200
        chunked = absolute(url(origin), "Transfer-Encoding: chunked", method="POST")
        content = b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"
        assert (await client.request(chunked + content, "POST")).status == 200


class TimedWire(FakeWire):
    """An upstream that does one step for each time somebody waits for it; the deadline passes every time.

    Args:
        client: Sends what a step says; an upstream step that begins with HTTP is a response.
    """

    __slots__ = ("_client", "_steps")

    def __init__(self, client: FakeWire, steps: list[bytes]) -> None:
        super().__init__()
        self._client = client
        self._steps = steps

    async def more(self, deadline: float) -> None:
        step = self._steps.pop(0)
        if step.startswith(b"HTTP"):
            self.arrive(step)
            return
        if step:
            self._client.arrive(step)
        raise TimeoutError


WAITS: dict[str, tuple[list[bytes], int | None]] = {
    "content-moves": ([b"a", b"b", b"c", ok()], 200),
    "content-stops": ([b"a", b"b", b""], None),
    "content-complete": ([b"abc", b""], None),
    "nothing-at-all": ([b""], None),
}


@pytest.mark.parametrize(("steps", "status"), WAITS.values(), ids=WAITS)
async def test_origin_has_its_time_for_the_answer_counted_from_the_last_content(
    steps: list[bytes], status: int | None
) -> None:
    client = FakeWire()
    upstream = TimedWire(client, remaining := list(steps))
    limits = HeadLimits(65536, 16384, 128)
    request = parse_request_head(absolute("http://ok.test/", "Content-Length: 3", method="POST"), limits)
    exchange = Exchange("job", "client", Usage(), Journal(), VirtualClock().time)
    forward = Forward(
        Legs(client, upstream, free_lane(), free_lane()),
        request,
        exchange,
        ForwardOptions(limits, 0, 60.0, 60.0, 60.0, b""),
        Rewriter(),
    )
    if status is None:
        with pytest.raises(ProxyError, match="upstream-timeout"):
            await forward.run(b"head", reused=False)
    else:
        await forward.run(b"head", reused=False)
    assert exchange.status == status
    assert remaining == []


async def test_origin_that_stops_taking_content_is_timed_out() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.read_exactly(3)
        await asyncio.Event().wait()

    timeouts = "[timeouts]\nupstream_response_s = 0.05"
    async with Origin(script) as origin, loopback_gate(tables=timeouts) as gate, gate.client() as client:
        await client.send(absolute(url(origin), "Content-Length: 9", method="POST") + b"abc")
        response = await client.response("POST")
        assert (response.status, response.value("x-jobgate-reason")) == (504, "upstream-timeout")


# --- clients that leave


class HeldDial(DialHook):
    """Dials when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        self.asked.set()
        await self.go.wait()
        return await dial(
            [ip_address("127.0.0.1")], port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes
        )


async def test_client_that_leaves_while_dialling_is_not_asked_for() -> None:
    dialer = HeldDial()
    async with Origin(swallow) as origin, loopback_gate(dialer=dialer) as gate, gate.client() as client:
        await client.send(absolute(url(origin)))
        await dialer.asked.wait()
        connection = await only_connection(gate)
        client.reset()
        await until(lambda: connection._client.is_lost)
        dialer.go.set()
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "client-reset"
        assert await (await origin.peer()).until_ended() == b""


LEAVING: dict[str, tuple[Script, str]] = {
    "before-the-answer": (swallow, ""),
    "in-its-content": (answer(head("HTTP/1.1 200 OK", "Content-Length: 99") + b"part"), "part"),
}


@pytest.mark.parametrize("rate", ['"unlimited"', '"10mbit"'], ids=["unlimited", "limited"])
@pytest.mark.parametrize(("script", "seen"), LEAVING.values(), ids=LEAVING)
async def test_client_that_resets_ends_its_exchange_on_both_sides(
    script: Script, seen: str, rate: str
) -> None:
    async with Origin(script) as origin, loopback_gate(rate=rate) as gate, gate.client() as client:
        await client.send(post(url(origin), b"x" * 40_000))  # more than one limited piece
        await (await origin.peer()).until_received(40_000)
        received = b""
        while seen.encode() not in received:
            received += await client.read_some()
        client.reset()
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "client-reset"
        await (await origin.peer()).until_ended()


async def test_bytes_of_both_directions_are_counted_whole() -> None:
    response = ok(b"content")
    request = post("http://ok.test:PORT/", b"five!")
    async with Origin(answer(response)) as origin, loopback_gate() as gate, gate.client() as client:
        request = request.replace(b"PORT", str(origin.port).encode())
        assert (await client.request(request, "POST")).status == 200
        await gate.until_closed(1)
        line = gate.closes[0]
        assert (line["bytes_up"], line["bytes_down"]) == (len(request), len(response))
        counters = gate.gate.jobs["job"].counters()
        assert (counters.bytes_up, counters.bytes_down) == (len(request), len(response))


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["final", "interim"])
async def test_head_that_no_quota_is_left_for_is_not_counted(head: bytes) -> None:
    async with (
        Origin(answer(head + ok(b"content"))) as origin,
        loopback_gate(job="max_bytes_down = 10") as gate,
        gate.client() as client,
    ):
        response = await client.request(absolute(url(origin)))
        assert (response.status, response.value("x-jobgate-reason")) == (403, "quota")
        await gate.until_closed(1)
        assert gate.closes[0]["bytes_down"] == gate.gate.jobs["job"].counters().bytes_down == 0


async def test_time_held_back_is_logged_for_a_request_that_failed() -> None:
    async with (
        Origin(answer_and_close(b"")) as origin,
        loopback_gate(rate='"400kbit"') as gate,
        gate.client() as client,
    ):
        lane = gate.gate.jobs["job"].up.lane()
        assert lane is not None
        while lane.request(1_000, lambda: None):  # the bucket is empty now
            pass
        lane.cancel()
        assert (await client.request(absolute(url(origin), "X: " + "x" * 2_000))).status == 502
        await gate.until_closed(1)
        assert float(str(gate.closes[0]["wait_up_s"])) > 0.0
