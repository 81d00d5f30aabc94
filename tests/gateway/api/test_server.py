from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import web

from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.gateway.api import server as server_module
from jobgate.gateway.api.openapi import PATH
from jobgate.gateway.api.operations import OPERATIONS
from jobgate.gateway.api.server import start
from jobgate.gateway.listeners import open_listener
from support.control import control_api
from support.raw import raw
from support.registry import world
from support.wait import DEADLINE_S, until

TOKEN = "0123456789abcdef"
ENDED = (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError)


def is_socket(path: Path) -> bool:
    return path.is_socket()


def pages(app: web.Application) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="page")

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/page")

    app.router.add_get("/page", page)
    app.router.add_get("/private", page)
    app.router.add_get("/page/moved", moved)


async def test_every_route_is_in_the_document(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        document = (await api.call("GET", PATH)).json
        runner = api.server._runner
        assert runner is not None
        served = {
            (route.method, resource.canonical)
            for resource in runner.app.router.resources()
            for route in resource
        }
    paths = document["paths"]
    assert isinstance(paths, dict)
    described = {
        (method.upper(), path) for path, item in paths.items() for method in item if method != "parameters"
    }
    assert served == described
    assert len(served) == len(OPERATIONS) + 1


async def test_api_on_tcp_needs_a_token(tmp_path: Path) -> None:
    async with world() as here:
        with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(ValueError, match="needs a token"):
            await start(here.registry, here.gate, sock)


async def test_token_is_asked_for_but_for_public_paths(tmp_path: Path) -> None:
    async with control_api(tmp_path, token=TOKEN, tcp=True, extensions=[pages]) as api:
        for path in ("/v1/jobs", "/v1/nope", PATH, "/private", "/v1/events", "/metrics"):
            reply = await api.call("GET", path)
            assert (reply.status, reply.reason) == (401, "unauthorized")
            assert reply.headers["Connection"] == "close"
        for path in ("/healthz", "/readyz", "/page"):
            assert (await api.call("GET", path)).status == 200
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await api.call("GET", "/v1/jobs", headers=headers)).status == 200
        assert (await api.call("GET", "/private", headers=headers)).text == "page"


async def test_rebound_name_and_foreign_origin_are_refused_on_tcp(tmp_path: Path) -> None:
    async with control_api(tmp_path, token=TOKEN, tcp=True) as api:
        good = {"Authorization": f"Bearer {TOKEN}"}
        reply = await api.call("GET", "/v1/jobs", headers={**good, "Host": "evil.example"})
        assert (reply.status, reply.reason) == (403, "host")
        reply = await api.call("DELETE", "/v1/jobs/filed", headers={**good, "Origin": "http://evil.example"})
        assert (reply.status, reply.reason) == (403, "origin")


async def test_tcp_endpoint_is_the_gates_own_while_it_is_served(tmp_path: Path) -> None:
    async with control_api(tmp_path, token=TOKEN, tcp=True) as api:
        where = api.server.where
        assert isinstance(where, Endpoint)
        assert api.world.gate.is_own(where.address, where.port)
        await api.server.close()
        assert not api.world.gate.is_own(where.address, where.port)


async def test_refusals_of_extensions_have_the_form_of_all(tmp_path: Path) -> None:
    async with control_api(tmp_path, extensions=[pages]) as api:
        assert (await api.call("GET", "/page/nope")).reason == "no-resource"
        reply = await api.call("POST", "/v1/jobs")
        assert (reply.status, reply.reason, reply.headers["Allow"]) == (405, "method", "GET")
        moved = await raw(
            api.control, b"GET /page/moved HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert moved.startswith(b"HTTP/1.1 302 ")


async def test_path_is_gone_after_the_end(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        path = Path(api.control)
        assert is_socket(path)
        await api.server.close()
        assert not is_socket(path)
        assert api.world.gate.journal.taps == []


async def test_listener_goes_on_with_whoever_takes_it(tmp_path: Path) -> None:
    path = UnixPath(str(tmp_path / "c.sock"))
    async with world() as first, world() as second:
        old = await start(first.registry, first.gate, open_listener(path))
        waiting = asyncio.create_task(raw(path.path, b"GET /v1/node HTTP/1.0\r\n\r\n"))
        sock = old.detach()
        await old.close()
        assert is_socket(Path(path.path))
        new = await start(second.registry, second.gate, sock)
        answer = await asyncio.wait_for(waiting, DEADLINE_S)
        assert answer.startswith(b"HTTP/1.0 200 ")
        await new.close()
        with pytest.raises(RuntimeError):
            new.detach()


async def test_connection_without_a_request_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_S", 0.01)
    async with control_api(tmp_path) as api:
        with pytest.raises(ENDED):
            await raw(api.control, b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", until=b"\r\n")


async def test_connection_that_was_heard_lives_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_S", 0.01)
    async with control_api(tmp_path) as api:
        reader, writer = await asyncio.open_unix_connection(api.control)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await asyncio.wait_for(reader.readuntil(b'"ok"}'), DEADLINE_S)
            assert answer.startswith(b"HTTP/1.1 200 ")
            await until(lambda: not api.server._unheard)
        writer.close()


async def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    async with control_api(tmp_path) as api:
        held = [await asyncio.open_unix_connection(api.control) for _ in range(2)]
        await until(lambda: len(api.server._unheard) == 2)
        with pytest.raises(ENDED):
            await raw(api.control, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", until=b"}")
        for _, writer in held:
            writer.close()
        runner = api.server._runner
        assert runner is not None
        await until(lambda: runner.server is not None and not runner.server.connections)
        assert (await api.call("GET", "/healthz")).status == HTTPStatus.OK


async def test_bytes_that_are_no_http_are_refused(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        answer = await raw(api.control, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
