from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from jobgate.client.errors import GatewayError, Unavailable
from jobgate.client.transport import Transport
from support.control import control_api

TOKEN = "0123456789abcdef"


@asynccontextmanager
async def transport(
    control: str, *, token: str | None = None, timeout_s: float = 5.0
) -> AsyncIterator[Transport]:
    made = Transport(control, token, timeout_s)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def stranger(path: Path, body: str, *, status: int = 200) -> AsyncIterator[str]:
    """Another program that speaks HTTP; counts nothing, answers the same to all."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield str(path)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("prefix", ["", "unix:"])
async def test_path_is_reached_with_and_without_its_prefix(prefix: str, tmp_path: Path) -> None:
    async with control_api(tmp_path) as api, transport(prefix + api.control) as client:
        assert await client.json("GET", "/healthz") == {"status": "ok"}


async def test_address_is_reached_with_the_token(tmp_path: Path) -> None:
    async with control_api(tmp_path, token=TOKEN, tcp=True) as api:
        async with transport(api.control, token=TOKEN) as client:
            assert isinstance(await client.json("GET", "/v1/node"), dict)
        async with transport(api.control) as client:
            with pytest.raises(GatewayError, match="needs the token") as caught:
                await client.json("GET", "/v1/node")
            assert (caught.value.status, caught.value.reason) == (401, "unauthorized")


async def test_each_request_has_a_connection_of_its_own(tmp_path: Path) -> None:
    async with (
        control_api(tmp_path) as api,
        transport(api.control) as client,
        client.request("GET", "/healthz") as response,
    ):
        assert response.headers["Connection"] == "close"


async def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    async with transport(str(tmp_path / "nope")) as client:
        with pytest.raises(
            Unavailable, match=r"nope: No such file or directory: is the gateway running"
        ) as caught:
            await client.json("GET", "/v1/node")
        assert caught.value.status == 0


async def test_silence_is_unavailable(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api, transport(api.control, timeout_s=0.01) as client:
        with pytest.raises(Unavailable, match=r"no answer in time|Timeout"):
            async with client.request("GET", "/v1/events") as response:
                await response.read()


@pytest.mark.parametrize("body", ["", "<html>", "{"])
async def test_answer_that_is_no_json_is_unexpected(body: str, tmp_path: Path) -> None:
    async with stranger(tmp_path / "s", body) as control, transport(control) as client:
        with pytest.raises(GatewayError) as caught:
            await client.json("GET", "/v1/node")
        assert caught.value.reason == "unexpected"


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    async with stranger(tmp_path / "s", "{}", status=307) as control, transport(control) as client:
        with pytest.raises(GatewayError, match="the gateway answered 307"):
            await client.json("DELETE", "/v1/jobs/a")


async def test_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="open the client first"):
        await Transport("/x", None, 1.0).json("GET", "/")
