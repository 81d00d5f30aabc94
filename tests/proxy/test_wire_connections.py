"""Connections over the wire: keep-alive, pipelining, reuse, retry, caps, deadlines."""

from __future__ import annotations

import asyncio

import pytest

from support.gate import FakeResolver, RunningGate, loopback_gate
from support.http_origin import HttpOrigin
from support.messages import absolute, connect, head, ok, post
from support.origin import Origin, Peer, answer, answer_when, echo, swallow


async def test_b28_each_request_of_a_connection_is_decided_anew() -> None:
    async with (
        HttpOrigin(b"one") as one,
        HttpOrigin(b"two") as two,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(f"http://ok.test:{one.port}/"))).body == b"one"
        assert (await client.request(absolute(f"http://sub.ok.test:{two.port}/"))).body == b"two"
        assert (await client.request(absolute(f"http://evil.test:{one.port}/"))).status == 403
        assert (await client.request(absolute(f"http://ok.test:{one.port}/"))).body == b"one"
        assert [line["decision"] for line in gate.decisions] == ["allow", "allow", "deny", "allow"]
        assert len(one.requests) == 2


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}"
        refused = f"http://evil.test:{origin.port}/"
        await client.send(
            absolute(f"{url}/1")
            + post(f"{url}/2", b"content")
            + absolute(refused)
            + absolute(f"{url}/3", method="HEAD")
            + absolute(f"{url}/4")
        )
        methods = ["GET", "POST", "GET", "HEAD", "GET"]
        statuses = [(await client.response(method)).status for method in methods]
        assert statuses == [200, 200, 403, 200, 200]
        assert [request.target for request in origin.requests] == [b"/1", b"/2", b"/3", b"/4"]


async def test_connect_after_plain_requests_on_one_connection() -> None:
    async with (
        HttpOrigin() as plain,
        Origin(echo) as tunnelled,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(f"http://ok.test:{plain.port}/"))).status == 200
        assert (await client.request(absolute("http://evil.test/"))).status == 403
        assert (await client.request(connect(f"ok.test:{tunnelled.port}"), "CONNECT")).status == 200
        await client.send(b"ping")
        assert await client.read_exactly(4) == b"ping"


async def test_connect_pipelined_behind_a_plain_request() -> None:
    async with (
        HttpOrigin() as plain,
        Origin(echo) as tunnelled,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        await client.send(
            absolute(f"http://ok.test:{plain.port}/") + connect(f"ok.test:{tunnelled.port}") + b"early"
        )
        assert (await client.response()).status == 200
        assert (await client.response("CONNECT")).status == 200
        assert await client.read_exactly(5) == b"early"


async def test_upstream_connection_is_used_again_by_other_clients_of_the_job() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate:
        for _ in range(3):
            async with gate.client() as client:
                assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        assert (len(origin.peers), len(origin.requests), len(gate.decisions)) == (1, 3, 3)


async def test_upstream_connection_is_not_used_for_another_name() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        for name in ["ok.test", "other.ok.test"]:
            assert (await client.request(absolute(f"http://{name}:{origin.port}/"))).status == 200
        assert len(origin.peers) == 2


async def test_upstream_that_said_close_is_not_used_again() -> None:
    script = answer(ok(b"1", "Connection: close"))
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        for _ in range(2):
            assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).body == b"1"
        assert len(origin.peers) == 2


async def test_client_that_said_close_is_closed_after_the_answer() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        response = await client.request(absolute(f"http://ok.test:{origin.port}/", "Connection: close"))
        assert response.value("connection").lower() == "close"
        assert await client.read_to_end() == b""


async def test_http_1_0_client_is_closed_after_the_answer() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        request = absolute(f"http://ok.test:{origin.port}/", "Connection: keep-alive", minor=0)
        assert (await client.request(request)).body == b"hello\n"
        assert await client.read_to_end() == b""


class StaleOrigin:
    """Answers the first request of its first connection, closes it at the second; then serves."""

    def __init__(self, *, read_the_second: bool) -> None:
        self._read_the_second = read_the_second
        self.connections = 0

    async def __call__(self, peer: Peer) -> None:
        self.connections += 1
        await peer.read_head()
        await peer.send(ok(b"%d" % self.connections))
        if self.connections > 1 or self._read_the_second:
            await peer.read_head()
        if self.connections == 1:
            return
        await peer.read_to_end()


async def test_request_without_content_is_sent_again_when_a_reused_connection_was_closed() -> None:
    script = StaleOrigin(read_the_second=True)
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        assert (await client.request(absolute(url))).body == b"1"
        assert (await client.request(absolute(url))).body == b"2"
        assert len(gate.decisions) == 2


async def test_request_with_content_is_never_sent_twice() -> None:
    script = StaleOrigin(read_the_second=True)
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        assert (await client.request(absolute(url))).body == b"1"
        response = await client.request(post(url, b"order one"), "POST")
        assert (response.status, response.value("x-jobgate-reason")) == (502, "upstream-closed")
        assert script.connections == 1


async def test_idle_upstream_that_closed_is_not_used() -> None:
    script = StaleOrigin(read_the_second=False)
    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        url = f"http://ok.test:{origin.port}/"
        assert (await client.request(absolute(url))).body == b"1"
        await (await origin.peer()).until_ended()
        assert (await client.request(post(url, b"content"), "POST")).body == b"2"


async def test_bytes_behind_an_answer_are_no_answer() -> None:
    async with (
        Origin(answer(ok(b"1") + ok(b"smuggled"), ok(b"2"))) as origin,
        loopback_gate() as gate,
        gate.client() as client,
    ):
        url = f"http://ok.test:{origin.port}/"
        assert (await client.request(absolute(url))).body == b"1"
        assert (await client.request(absolute(url))).body == b"1"
        assert len(origin.peers) == 2


async def test_head_that_never_ends_is_answered_408() -> None:
    async with loopback_gate(tables="[timeouts]\nhead_s = 0.05") as gate, gate.client() as client:
        await client.send(b"GET http://ok.test/ HTTP/1.1\r\nHost: ok")
        response = await client.response()
        assert (response.status, response.value("x-jobgate-reason")) == (408, "head-timeout")
        assert await client.read_to_end() == b""


async def test_silent_connection_is_closed_without_a_word() -> None:
    async with loopback_gate(tables="[timeouts]\nhead_s = 0.05") as gate, gate.client() as client:
        assert not (await client.read_to_end()).startswith(b"HTTP/1.1 2")


async def test_idle_connection_is_closed_after_keepalive() -> None:
    async with (
        HttpOrigin() as origin,
        loopback_gate(tables="[timeouts]\nkeepalive_s = 0.05") as gate,
        gate.client() as client,
    ):
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        assert await client.read_to_end() == b""
        await origin.until_all_ended()


LIMITS = {
    "head-too-large": (
        "max_head_bytes = 2048\nmax_target_bytes = 1024",
        lambda: absolute("http://ok.test/", "X: " + "a" * 4096),
        431,
    ),
    "max-fields": ("max_fields = 8", lambda: absolute("http://ok.test/", *["X: 1"] * 9), 431),
    "target-too-long": ("max_target_bytes = 512", lambda: absolute("http://ok.test/" + "a" * 600), 414),
    "content-too-large": ("max_content_bytes = 4", lambda: post("http://ok.test/", b"12345"), 413),
}


@pytest.mark.parametrize(("limit", "request_of", "status"), LIMITS.values(), ids=LIMITS)
async def test_request_above_a_limit_is_refused(limit: str, request_of: object, status: int) -> None:
    assert callable(request_of)
    resolver = FakeResolver.everything("127.0.0.1")
    async with loopback_gate(tables=f"[limits]\n{limit}", resolver=resolver) as gate, gate.client() as client:
        response = await client.request(request_of())
        assert response.status == status
        await client.read_to_end()
        assert resolver.queries == []


async def test_endless_target_is_refused_before_its_head_ends() -> None:
    async with loopback_gate() as gate, gate.client() as client:
        response = await client.request(b"GET http://ok.test/" + b"a" * 20000)
        assert (response.status, response.value("x-jobgate-reason")) == (414, "target-too-long")


async def test_connections_above_the_cap_are_refused_after_their_head() -> None:
    async with Origin(swallow) as origin, loopback_gate(job="max_connections = 1") as gate:
        async with gate.client() as first, gate.client() as second:
            assert (await first.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
            response = await second.request(absolute(f"http://ok.test:{origin.port}/"))
            assert (response.status, response.value("x-jobgate-reason")) == (429, "connections")
            await second.read_to_end()
        await gate.until_closed(2)
        await until_served(gate)


async def until_served(gate: RunningGate) -> None:
    """Try again while the gate still counts a connection whose end it is about to notice."""
    for _ in range(100):
        async with gate.client() as client:
            if (await client.request(absolute("http://evil.test/"))).status == 403:
                return
    pytest.fail("a connection that has ended is still counted")


async def test_requests_above_the_rate_are_told_when_to_come_back() -> None:
    async with (
        HttpOrigin() as origin,
        loopback_gate(tables="[limits]\nrequests_per_s_per_job = 2") as gate,
        gate.client() as client,
    ):
        request = absolute(f"http://ok.test:{origin.port}/")
        responses = [await client.request(request) for _ in range(3)]
        limited = [response for response in responses if response.status == 429]
        assert limited
        assert limited[0].value("x-jobgate-reason") == "rate"
        assert int(limited[0].value("retry-after")) >= 1


async def test_client_that_leaves_ends_its_exchange() -> None:
    async with Origin(swallow) as origin, loopback_gate() as gate:
        async with gate.client() as client:
            await client.send(absolute(f"http://ok.test:{origin.port}/"))
            await (await origin.peer()).until_received(1)
            client.reset()
        await (await origin.peer()).until_ended()
        await gate.until_closed(1)
        assert gate.closes[0]["reason"] == "client-reset"


async def test_client_that_half_closes_still_gets_its_answer() -> None:
    release = asyncio.Event()

    script = answer_when(release, ok(b"late"))

    async with Origin(script) as origin, loopback_gate() as gate, gate.client() as client:
        await client.send(absolute(f"http://ok.test:{origin.port}/"))
        client.half_close()
        await (await origin.peer()).until_received(1)
        release.set()
        assert (await client.response()).body == b"late"
        assert await client.read_to_end() == b""


async def test_early_empty_line_is_ignored() -> None:
    async with HttpOrigin() as origin, loopback_gate() as gate, gate.client() as client:
        request = b"\r\n" + head(f"GET http://ok.test:{origin.port}/ HTTP/1.1", "Host: ok.test")
        assert (await client.request(request)).status == 200
