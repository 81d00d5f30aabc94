from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest

from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.config.gateway import DEFAULT_CONTROL, ListenSettings
from jobgate.gateway import control as control_module
from jobgate.gateway.control import own_sockets, serving
from jobgate.gateway.inherited import Inheritance, Inherited
from jobgate.gateway.listeners import ListenError, bound_to
from support.registry import World, status, world

ANY_PORT = Endpoint(ip_address("127.0.0.1"), 0)
NOTHING = ListenSettings(control=None)


def complain(text: str) -> None:
    raise AssertionError(text)


@asynccontextmanager
async def served(listen: ListenSettings) -> AsyncIterator[tuple[World, dict[str, object]]]:
    node = '[node]\nallow_addresses = ["127.0.0.1"]\nconnect_ports = ["1-65535"]\n'
    async with world(node) as here, AsyncExitStack() as stack:
        with own_sockets(listen, complain) as sockets:
            places = sockets.places()
            await stack.enter_async_context(serving(sockets, listen, here.gate, here.registry))
        yield here, places


async def text_of(url: str, *, path: str = "", token: str = "") -> tuple[int, str]:
    connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers) as response,
    ):
        return response.status, await response.text()


async def test_control_api_is_served_on_its_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    async with served(replace(NOTHING, control=UnixPath(path))) as (here, places):
        assert places == {"control": f"unix:{path}"}
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        await here.registry.put("train", {"network": "none"})
        found, text = await text_of("http://localhost/v1/jobs/train", path=path)
        assert (found, '"origin":"api"' in text) == (200, True)
        assert (await text_of("http://localhost/metrics", path=path))[0] == 200
        assert (await text_of("http://localhost/", path=path))[0] == 200
    assert os.listdir(tmp_path) == []


async def test_control_api_on_tcp_asks_for_its_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write_token(file, "0123456789abcdef")
    listen = replace(NOTHING, control=ANY_PORT, control_token_file=str(file))
    async with served(listen) as (_, places):
        url = f"http://{places['control']}/v1/jobs"
        assert (await text_of(url))[0] == 401
        assert (await text_of(url, token="0123456789abcdef"))[0] == 200
        assert (await text_of(f"http://{places['control']}/"))[0] == 200


async def test_token_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    write_token(tmp_path / "token", "short")
    listen = replace(NOTHING, control=ANY_PORT, control_token_file=str(tmp_path / "token"))
    with pytest.raises(
        ListenError, match=r"^\[listen\] control_token_file: .*: expected one line of at least"
    ):
        async with served(listen):
            pass


def write_token(path: Path, token: str) -> None:
    path.write_text(token)
    path.chmod(0o600)


async def test_metrics_have_a_page_of_their_own() -> None:
    async with served(replace(NOTHING, metrics=ANY_PORT)) as (_, places):
        url = f"http://{places['metrics']}"
        found, text = await text_of(f"{url}/metrics")
        assert (found, "jobgate_jobs" in text) == (200, True)
        assert (await text_of(f"{url}/v1/jobs"))[0] == 404


async def test_no_job_reaches_what_the_gateway_listens_on(tmp_path: Path) -> None:
    write_token(tmp_path / "token", "0123456789abcdef")
    listen = ListenSettings(
        control=ANY_PORT, control_token_file=str(tmp_path / "token"), metrics=ANY_PORT, proxy=(ANY_PORT,)
    )
    async with served(listen) as (here, places):
        addresses = [str(places["control"]), str(places["metrics"]), *map(str, proxies(places))]
        document = {"network": "http", "listen": "127.0.0.1:0", "tls": "any", "domains": addresses}
        view, _ = await here.registry.put("train", document)
        assert [await status(view.listen, address) for address in addresses] == [403, 403, 403]
        assert {line["reason"] for line in here.log.decisions} == {"self"}


async def test_shared_listener_serves_jobs_without_one() -> None:
    async with served(replace(NOTHING, proxy=(ANY_PORT,))) as (here, places):
        (place,) = proxies(places)
        assert await status(place) == 403
        assert here.log.decisions[-1]["reason"] == "unknown-job"


def proxies(places: dict[str, object]) -> list[str]:
    found = places["proxy"]
    assert isinstance(found, list)
    return found


def test_all_sockets_or_none_are_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = ListenSettings(
            control=UnixPath(f"{tmp_path}/c"), metrics=None, proxy=(UnixPath(f"{tmp_path}/p"),)
        )
        wrong = replace(listen, metrics=bound_to(taken))
        with pytest.raises(ListenError, match="Address already in use"), own_sockets(wrong, complain):
            pass
    assert os.listdir(tmp_path) == []


def test_control_socket_that_was_asked_for_must_open(tmp_path: Path) -> None:
    listen = ListenSettings(control=UnixPath(f"{tmp_path}/missing/control.sock"))
    with pytest.raises(ListenError, match="No such file or directory"), own_sockets(listen, complain):
        pass


def test_default_control_socket_is_for_those_who_may_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = UnixPath(f"{tmp_path}/run/jobgate/control.sock")
    monkeypatch.setattr(control_module, "DEFAULT_CONTROL", default)
    told: list[str] = []
    with own_sockets(ListenSettings(control=default), told.append) as sockets:
        assert sockets == ([], None, None)
    assert told == [
        f"no control API: cannot make {tmp_path}/run/jobgate: No such file or directory; "
        'name another place in [listen] control, or "" for none'
    ]
    (tmp_path / "run").mkdir()
    with own_sockets(ListenSettings(control=default), complain) as sockets:
        assert sockets.control is not None
        sockets.control.close()
    assert stat.S_IMODE((tmp_path / "run" / "jobgate").stat().st_mode) == 0o755


def test_default_is_the_documented_one() -> None:
    assert str(DEFAULT_CONTROL) == "unix:/run/jobgate/control.sock"


def test_inherited_sockets_are_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        listen = replace(NOTHING, metrics=bound_to(before))
        inheritance = Inheritance([Inherited(before.dup())])
        with own_sockets(listen, complain, inheritance) as sockets:
            assert sockets.metrics is not None
            assert bound_to(sockets.metrics) == bound_to(before)
            sockets.metrics.close()
