"""A web server for real clients: plain and TLS, in a thread with its own loop.

One application serves what the end-to-end tests ask for: content of a given size,
uploads, redirects, chunked and close-delimited answers, a WebSocket echo, a git
repository and a package index as static files.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aiohttp import WSMsgType, web

_BLOCK = bytes(range(256)) * 256
_START_S = 10.0


def pattern(size: int) -> bytes:
    """Return the content of ``/bytes/<size>``."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


async def _echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "version": f"{request.version.major}.{request.version.minor}",
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body.decode("latin-1"),
        },
        headers={"X-Origin": "1"},
    )


async def _bytes(request: web.Request) -> web.Response:
    return web.Response(body=pattern(int(request.match_info["size"])), headers={"X-Origin": "1"})


async def _upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for piece in request.content.iter_any():
        digest.update(piece)
    return web.Response(text=digest.hexdigest(), headers={"X-Origin": "1"})


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def _chunked(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(8):
        await response.write(b"chunk %d\n" % number)
    await response.write_eof()
    return response


async def _until_close(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.force_close()
    await response.prepare(request)
    await response.write(pattern(100_000))
    await response.write_eof()
    return response


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def _index(files: Path, request: web.Request) -> web.FileResponse:
    return web.FileResponse(files / "simple" / request.match_info["project"] / "index.html")


def _application(files: Path | None) -> web.Application:
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/echo", _echo)
    application.router.add_get("/bytes/{size}", _bytes)
    application.router.add_route("*", "/upload", _upload)
    application.router.add_get("/redirect", _redirect)
    application.router.add_get("/chunked", _chunked)
    application.router.add_get("/until-close", _until_close)
    application.router.add_get("/websocket", _websocket)
    if files is not None:
        application.router.add_static("/files", files)
        application.router.add_get("/simple/{project}/", partial(_index, files))
    return application


class WebOrigin:
    """The running server: its two ports on 127.0.0.1."""

    def __init__(self, plain_port: int, tls_port: int) -> None:
        self.plain_port = plain_port
        self.tls_port = tls_port


async def _run(
    tls: ssl.SSLContext, files: Path | None, started: Future[tuple[int, int]], stop: asyncio.Event
) -> None:
    runner = web.AppRunner(_application(files), access_log=None)
    await runner.setup()
    try:
        plain = web.TCPSite(runner, "127.0.0.1", 0)
        await plain.start()
        secure = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await secure.start()
        first, second = runner.addresses
        started.set_result((first[1], second[1]))
        await stop.wait()
    finally:
        await runner.cleanup()


@contextmanager
def web_origin(tls: ssl.SSLContext, files: Path | None = None) -> Iterator[WebOrigin]:
    """Serve in a background thread while the context is entered.

    Args:
        tls: The server's context, with a certificate for the names in use.
        files: A folder served below ``/files/``.
    """
    started: Future[tuple[int, int]] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def serve() -> None:
        try:
            loop.run_until_complete(_run(tls, files, started, stop))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise
        finally:
            loop.close()

    thread = threading.Thread(target=serve, name="web-origin", daemon=True)
    thread.start()
    try:
        yield WebOrigin(*started.result(_START_S))
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_START_S)
