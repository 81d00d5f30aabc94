"""Every way in which a client connection ends, each as a client and an origin play it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from .client import Client
from .messages import absolute, connect, head, ok, post
from .net import closed_port, silent_port
from .origin import Origin, Peer
from .tls import hello_for

_SWITCHING = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
_UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
_CHUNKED = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
_LARGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Origins:
    """An HTTP origin that does as the path says, one for tunnels that ends as their first byte says, none."""

    http: Origin
    tunnels: Origin
    closed_port: int
    silent_port: int

    def url(self, path: str) -> str:
        """Return the URL of one behaviour."""
        return f"http://ok.test:{self.http.port}/{path}"

    @property
    def tunnel(self) -> bytes:
        """A CONNECT to the origin for tunnels."""
        return connect(f"ok.test:{self.tunnels.port}")


@asynccontextmanager
async def running_origins() -> AsyncIterator[Origins]:
    """Run them."""
    with silent_port() as silent:
        async with Origin(_serve_http) as http, Origin(_serve_tunnel) as tunnels:
            yield Origins(http, tunnels, closed_port(), silent)


async def _serve_http(peer: Peer) -> None:
    while (request := await peer.read_head()).endswith(b"\r\n\r\n"):
        match request.split(b" ", 2)[1]:
            case b"/ok":
                await peer.send(ok(b"ok"))
            case b"/close":
                return
            case b"/reset":
                return peer.reset()
            case b"/cut":
                return await peer.send(_CHUNKED + b"5\r\nhal")
            case b"/cut-reset":
                await peer.send(_CHUNKED + b"5\r\nhal")
                return peer.reset()
            case b"/invalid":
                await peer.send(b"SSH-2.0-OpenSSH\r\n\r\n")
            case b"/broken":
                await peer.send(_CHUNKED + b"zz\r\n")
            case b"/large":
                await peer.send(ok(bytes(_LARGE_BYTES)))
            case b"/endless":
                await peer.send(head("HTTP/1.1 200 OK", "Content-Length: 1000000000000"))
                while True:
                    await peer.send(bytes(65536))
            case b"/early":
                await peer.send(ok(b"no", "Connection: close"))
            case b"/upgrade":
                await peer.send(_SWITCHING)
                return await _serve_tunnel(peer)
            case _:  # /silent, and uploads
                await peer.read_to_end()


async def _serve_tunnel(peer: Peer) -> None:
    order = await peer.read_exactly(1)
    match order:
        case b"f":
            with suppress(OSError):  # the client's reset may be here already
                peer.half_close()
            await peer.read_to_end()
        case b"r":
            peer.reset()
        case b"s":
            await asyncio.Event().wait()
        case _:
            await peer.send(order)
            while data := await peer.read_some():
                await peer.send(data)


Play = Callable[[Client, Origins], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Departure:
    """A way to end.

    Attributes:
        play: What the client does; its connection is closed behind it.
        reason: Of the close line; ``None``: there is none, nothing was asked.
        lines: How many close lines there are.
        rate: Of the job.
        tls: Of the job.
    """

    play: Play
    reason: str | None
    lines: int = 1
    rate: str = "unlimited"
    tls: str = "any"


async def _send(client: Client, origins: Origins, *, data: bytes = b"", reset: bool = False) -> None:
    await client.send(data)
    if reset:
        client.reset()


async def _ask(client: Client, origins: Origins, *, data: bytes) -> None:
    await client.send(data)
    await client.read_some()


async def _ask_to_end(client: Client, origins: Origins, *, data: bytes) -> None:
    await client.send(data)
    await client.read_to_end()


async def _get(client: Client, origins: Origins, *, path: str, then: str = "read") -> None:
    upgrade = _UPGRADE if path == "upgrade" else ()
    await client.send(absolute(origins.url(path), *upgrade))
    if then == "reset":
        return client.reset()
    await client.read_some()
    if then == "half-close":
        client.half_close()
    if then == "reset-later":
        return client.reset()
    if then != "close":
        await client.read_to_end()


async def _keep_alive(client: Client, origins: Origins, *, then: str) -> None:
    for _ in range(3):
        response = await client.request(absolute(origins.url("ok")))
        assert (response.status, response.phrase) == (200, "OK")
    if then == "reset":
        client.reset()
    elif then == "wait":
        assert await client.read_to_end() == b""


async def _upload(client: Client, origins: Origins, *, path: str, then: str = "read") -> None:
    await client.send(post(origins.url(path), b"whole")[:-2])
    if then == "reset":
        return client.reset()
    if then == "half-close":
        client.half_close()
    await client.read_to_end()


async def _port(client: Client, origins: Origins, *, kind: str) -> None:
    port = origins.closed_port if kind == "closed" else origins.silent_port
    await client.send(connect(f"ok.test:{port}"))
    if kind == "silent-reset":
        return client.reset()
    await client.read_to_end()


async def _tunnel(client: Client, origins: Origins, *, order: bytes, then: str) -> None:
    assert (await client.request(origins.tunnel, "CONNECT")).status == 200
    await _order_and_leave(client, order, then)


async def _upgraded(client: Client, origins: Origins, *, order: bytes, then: str) -> None:
    assert (await client.request(absolute(origins.url("upgrade"), *_UPGRADE))).status == 101
    await _order_and_leave(client, order, then)


async def _order_and_leave(client: Client, order: bytes, then: str) -> None:
    if order:
        await client.send(order)
    if order == b"e":
        await client.read_some()
    if then == "reset":
        return client.reset()
    if then == "half-close":
        client.half_close()
    await client.read_to_end()


async def _plain_tunnel(client: Client, origins: Origins, *, data: bytes, reset: bool) -> None:
    assert (await client.request(connect("ok.test:80"), "CONNECT")).status == 200
    await client.send(data)
    if reset:
        return client.reset()
    client.half_close()
    await client.read_to_end()


async def _hello(client: Client, origins: Origins, *, data: bytes, then: str = "read") -> None:
    assert (await client.request(origins.tunnel, "CONNECT")).status == 200
    await client.send(data)
    if then == "reset":
        return client.reset()
    if then == "half-close":
        client.half_close()
    await client.read_to_end()


DEPARTURES: Mapping[str, Departure] = {
    "nothing-fin": Departure(partial(_send), None),
    "nothing-reset": Departure(partial(_send, reset=True), None),
    "half-a-head-fin": Departure(partial(_send, data=b"GET http://ok"), None),
    "half-a-head-reset": Departure(partial(_send, data=b"GET http://ok", reset=True), None),
    "half-a-head-silence": Departure(partial(_ask_to_end, data=b"GET http://ok"), "head-timeout"),
    "silence": Departure(partial(_ask_to_end, data=b""), None),
    "nonsense": Departure(partial(_ask_to_end, data=bytes(64) + b"\r\n\r\n"), "bad-request"),
    "refused": Departure(partial(_ask, data=absolute("http://evil.test/")), "not-listed"),
    "refused-tunnel": Departure(partial(_ask_to_end, data=connect("evil.test:443") + b"more"), "not-listed"),
    "unknown-name": Departure(partial(_ask, data=absolute("http://no.ok.test/")), "dns-failure"),
    "closed-port": Departure(partial(_port, kind="closed"), "connect-refused"),
    "silent-port": Departure(partial(_port, kind="silent"), "connect-timeout"),
    "silent-port-reset": Departure(partial(_port, kind="silent-reset"), "connect-timeout"),
    "kept-fin": Departure(partial(_keep_alive, then="close"), "done", 3),
    "kept-reset": Departure(partial(_keep_alive, then="reset"), "done", 3),
    "kept-idle": Departure(partial(_keep_alive, then="wait"), "done", 3),
    "no-answer-reset": Departure(partial(_get, path="silent", then="reset"), "client-reset"),
    "no-answer": Departure(partial(_get, path="silent", then="close"), "upstream-timeout"),
    "origin-closes": Departure(partial(_get, path="close", then="close"), "upstream-closed"),
    "origin-resets": Departure(partial(_get, path="reset", then="close"), "upstream-closed"),
    "answer-cut": Departure(partial(_get, path="cut"), "upstream-closed"),
    "answer-reset": Departure(partial(_get, path="cut-reset"), "upstream-reset"),
    "answer-invalid": Departure(partial(_get, path="invalid", then="close"), "upstream-invalid"),
    "answer-broken": Departure(partial(_get, path="broken"), "upstream-invalid"),
    "download-reset": Departure(partial(_get, path="endless", then="reset-later"), "client-reset"),
    "download-fin": Departure(partial(_get, path="large", then="half-close"), "done"),
    "download-held-back-reset": Departure(
        partial(_get, path="large", then="reset-later"), "client-reset", rate="10mbit"
    ),
    "upload-cut-fin": Departure(partial(_upload, path="upload", then="half-close"), "bad-request"),
    "upload-cut-reset": Departure(partial(_upload, path="upload", then="reset"), "client-reset"),
    "upload-answered-early": Departure(partial(_upload, path="early"), "done"),
    "tunnel-fin": Departure(partial(_tunnel, order=b"e", then="half-close"), "done"),
    "tunnel-reset": Departure(partial(_tunnel, order=b"e", then="reset"), "client-reset"),
    "tunnel-unused-fin": Departure(partial(_tunnel, order=b"", then="half-close"), "done"),
    "tunnel-unused-reset": Departure(partial(_tunnel, order=b"", then="reset"), "client-reset"),
    "tunnel-origin-resets": Departure(partial(_tunnel, order=b"r", then="read"), "upstream-reset"),
    "tunnel-origin-fin-reset": Departure(partial(_tunnel, order=b"f", then="reset"), "client-reset"),
    "tunnel-both-fin": Departure(partial(_tunnel, order=b"f", then="half-close"), "done"),
    "tunnel-half-closed-silence": Departure(partial(_tunnel, order=b"s", then="half-close"), "idle"),
    "upgrade-fin": Departure(partial(_upgraded, order=b"e", then="half-close"), "done"),
    "upgrade-reset": Departure(partial(_upgraded, order=b"e", then="reset"), "client-reset"),
    "upgrade-origin-resets": Departure(partial(_upgraded, order=b"r", then="read"), "upstream-reset"),
    "port-80-unused": Departure(partial(_plain_tunnel, data=b"", reset=False), "done"),
    "port-80-reset": Departure(partial(_plain_tunnel, data=b"", reset=True), "done"),
    "port-80-nonsense": Departure(
        partial(_plain_tunnel, data=b"\x16\x03\x01\0\0\r\n\r\n", reset=False), "not-http", 2
    ),
    "hello-refused": Departure(partial(_hello, data=hello_for(b"evil.test")), "sni", tls="require"),
    "hello-of-no-tls": Departure(partial(_hello, data=b"SSH-2.0-OpenSSH\r\n"), "not-tls", tls="require"),
    "hello-unsent-fin": Departure(partial(_hello, data=b"", then="half-close"), "done", tls="require"),
    "hello-unsent-reset": Departure(partial(_hello, data=b"", then="reset"), "client-reset", tls="require"),
    "hello-unsent-silence": Departure(partial(_hello, data=b"\x16"), "hello-timeout", tls="require"),
}
