"""A gateway's control API for tests: the real one, over a real registry and gate, on a unix socket."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp

from jobgate.client import Client
from jobgate.config.endpoints import UnixPath
from jobgate.gateway.api.server import ControlServer, Extension, start
from jobgate.gateway.listeners import open_listener

from .registry import World, world

NODE = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-65535"]
"""
FILE_JOB = """
[[job]]
id = "filed"
network = "http"
listen = "127.0.0.1:0"
domains = ["filed.test"]
"""

Value = dict[str, object]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Value:
        """Its content, an object."""
        return cast("Value", json.loads(self.text))

    def at(self, *path: str) -> object:
        """A value inside its content, by the keys that lead there."""
        found: object = self.json
        for key in path:
            assert isinstance(found, dict)
            found = found[key]
        return found

    @property
    def reason(self) -> object:
        """The reason of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json"
        return self.json["reason"]


@dataclass(frozen=True, slots=True)
class Control:
    """The running API.

    Attributes:
        world: Registry and gate behind it.
        server: The API itself.
        client: The public client of it.
        control: Where it listens, as the client takes it.
    """

    world: World
    server: ControlServer
    client: Client
    control: str
    _session: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        path: str,
        value: object = None,
        *,
        data: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request: a value as JSON, or data as it is."""
        async with self._session.request(method, path, json=value, data=data, headers=headers) as response:
            return Reply(response.status, response.headers, await response.text())


@asynccontextmanager
async def control_api(
    folder: Path,
    configuration: str = NODE + FILE_JOB,
    *,
    token: str | None = None,
    tcp: bool = False,
    file: Path | None = None,
    state: Path | None = None,
    extensions: Iterable[Extension] = (),
) -> AsyncIterator[Control]:
    """Serve a configuration and its API inside the block.

    Args:
        folder: For the socket.
        configuration: TOML.
        token: Of the API; the client has it.
        tcp: Listen on 127.0.0.1 instead.
        file: Where the configuration stands, to be read again.
        state: Where jobs are kept.
        extensions: Further routes.
    """
    path = UnixPath(str(folder / "c.sock"))
    async with world(configuration, file=file, state=state) as made:
        sock = socket.create_server(("127.0.0.1", 0)) if tcp else open_listener(path)
        server = await start(
            made.registry,
            made.gate,
            sock,
            token=token,
            extensions=extensions,
            is_public=lambda path: path == "/page",
        )
        control = str(server.where).removeprefix("unix:")
        connector = aiohttp.TCPConnector() if tcp else aiohttp.UnixConnector(control)
        base = f"http://{control}" if tcp else "http://localhost"
        try:
            async with (
                Client(control, token=token) as client,
                aiohttp.ClientSession(base, connector=connector) as session,
            ):
                yield Control(made, server, client, control, session)
        finally:
            await server.close()
