"""The way of one connection's requests to their origins; most of it is in test_wire_*.py."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Sequence

from jobgate.config.host import Address
from jobgate.proxy.connects import ConnectHeads
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.head import RequestHead
from jobgate.proxy.sockets import StreamSocket
from jobgate.proxy.wire import Wire
from support.changes import HeldDialer, job_of
from support.client import Client
from support.gate import DialHook, loopback_gate
from support.messages import absolute, connect, ok
from support.narrow import only_connection, turns
from support.origin import Origin, Peer, answer, echo, swallow
from support.tls import hello_for
from support.wait import until


async def test_tunnel_is_being_judged_from_its_promise_to_its_hello() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(tls="require") as gate,
        gate.client() as client,
    ):
        carrier = (await only_connection(gate))._carrier
        assert not carrier.is_judging
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        assert carrier.is_judging
        await client.send(hello_for(b"ok.test"))
        await (await origin.peer()).until_received(1)
        assert not carrier.is_judging


async def test_what_a_request_waited_for_is_not_the_next_one_s() -> None:
    async with loopback_gate() as gate, gate.client():
        carrier = (await only_connection(gate))._carrier
        assert carrier.take_waits() == (0.0, 0.0)  # nothing has been moved
        up, down = carrier.lanes()
        assert carrier.lanes() == (up, down)
        up.waited_s, down.waited_s = 3.0, 4.0
        assert carrier.take_waits() == (3.0, 4.0)
        up.waited_s += 0.5
        assert carrier.take_waits() == (0.5, 0.0)


async def test_tunnel_keeps_nothing_of_its_request() -> None:
    async with Origin(swallow) as origin, loopback_gate(tls="any") as gate, gate.client() as client:
        authority = f"this-test-alone.ok.test:{origin.port}"  # gates of others may remember their heads
        request = connect(authority, f"X: {'a' * ConnectHeads.MOST_BYTES}")  # more than the job remembers
        assert (await client.request(request, "CONNECT")).status == 200
        await turns()
        heads = [head for head in gc.get_objects() if isinstance(head, RequestHead)]
        assert [head for head in heads if head.target == authority.encode()] == []


async def test_tunnel_that_was_reset_waits_for_no_collection() -> None:
    async with Origin(echo) as origin, loopback_gate(tls="any") as gate:
        client = await Client.connect(gate.port)
        assert (await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")).status == 200
        await client.send(b"x")
        await client.read_exactly(1)
        gc.collect()
        gc.disable()
        try:
            client.reset()
            await until(lambda: not len(gate.gate.reception))
            await turns()
            assert [held for held in gc.get_objects() if isinstance(held, Wire)] == []
        finally:
            gc.enable()


class OnceDialer(DialHook):
    """Connects once, and is refused from then on."""

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        if self.dials:
            raise ProxyError(Reason.CONNECT_REFUSED)
        return await super().__call__(
            addresses, port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes
        )


async def test_kept_connection_that_was_dead_is_not_the_one_that_failed() -> None:
    """When the dial that takes its place fails, no address was reached."""

    async def once(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(ok(b"1"))
        await peer.read_head()

    async with Origin(once) as origin, loopback_gate(dialer=OnceDialer()) as gate, gate.client() as client:
        for _ in range(2):
            response = await client.request(absolute(f"http://ok.test:{origin.port}/"))
        assert (response.status, response.value("x-jobgate-reason")) == (502, "connect-refused")
        await gate.until_closed(2)
        assert [line["address"] for line in gate.closes] == ["127.0.0.1", None]


async def test_upstream_belongs_to_its_carrier_until_it_is_kept_for_the_job() -> None:
    async with Origin(answer(ok(b"1"))) as origin, loopback_gate() as gate, gate.client() as client:
        carrier = (await only_connection(gate))._carrier
        assert (await client.request(absolute(f"http://ok.test:{origin.port}/"))).status == 200
        await gate.until_closed(1)
        assert carrier.upstream is None
        assert len(job_of(gate).pool) == 1


async def test_client_that_leaves_during_a_dial_leaves_no_upstream() -> None:
    dialer = HeldDialer()
    async with Origin(swallow) as origin, loopback_gate(dialer=dialer) as gate, gate.client() as client:
        await client.send(connect(f"ok.test:{origin.port}"))
        await dialer.connected.wait()
        client.reset()
        dialer.go.set()
        await (await origin.peer()).until_ended()
        await until(lambda: not gate.gate.connections)
        await asyncio.sleep(0)


class Unbounded(StreamSocket):
    """A socket of a system that cannot bound what is not sent."""

    def setsockopt(self, level: int, option: int, *_: object) -> None:
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT):
            raise OSError(errno.ENOPROTOOPT, "protocol not available")


class UnboundedDialer(DialHook):
    """Connects by such sockets."""

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        sock = await super().__call__(
            addresses, port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes
        )
        return Unbounded(fileno=sock.detach())


async def test_upstream_that_cannot_be_bounded_is_let_go() -> None:
    async with (
        Origin(swallow) as origin,
        loopback_gate(dialer=UnboundedDialer(), rate='"10mbit"') as gate,
        gate.client() as client,
    ):
        response = await client.request(connect(f"ok.test:{origin.port}"), "CONNECT")
        assert (response.status, response.value("x-jobgate-reason")) == (500, "internal")
        await (await origin.peer()).until_ended()
