"""A registry with a real gate, for tests: jobs come and go, nothing is fake but the wall clock."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobgate.config.load import load_text
from jobgate.gateway.registry import Registry
from jobgate.gateway.store import Store
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.proxy.resolver import Resolver

from .gate import FakeResolver, Line, RecordingWriter

NOW = 1_800_000_000.0
DOCUMENT: dict[str, object] = {
    "network": "http",
    "domains": ["a.test"],
    "listen": "127.0.0.1:0",
    "tls": "any",
}


class World:
    """A registry and what is around it.

    Attributes:
        now: The wall clock.
    """

    def __init__(
        self, configuration: str, *, file: Path | None, state: Path | None, resolver: Resolver | None
    ) -> None:
        self.now = NOW
        self.log = RecordingWriter()
        self.file = file
        if file is not None:
            file.write_text(configuration)
        journal = Journal(self.log)
        settings = load_text(configuration)
        self.gate = Gate(
            settings,
            journal=journal,
            resolver=resolver or FakeResolver.everything("127.0.0.1"),
            clock_wall=lambda: self.now,
        )
        self.store = Store("" if state is None else str(state), clock_wall=lambda: self.now)
        self.registry = Registry(
            self.gate,
            self.store,
            settings,
            config_path="" if file is None else str(file),
            journal=journal,
            clock_wall=lambda: self.now,
        )

    def write(self, configuration: str) -> None:
        """Change the configuration file."""
        assert self.file is not None
        self.file.write_text(configuration)

    def events(self, name: str) -> list[Line]:
        """The lines of an event so far, without version and time."""
        return [
            {key: value for key, value in line.items() if key not in ("v", "ts", "event")}
            for line in self.log.lines(name)
        ]


@asynccontextmanager
async def world(
    configuration: str = "",
    *,
    file: Path | None = None,
    state: Path | None = None,
    resolver: Resolver | None = None,
) -> AsyncIterator[World]:
    """Serve a configuration inside the block.

    Args:
        configuration: TOML.
        file: Where it stands, to be read again.
        state: Where jobs and counters are kept; ``None``: nowhere.
        resolver: Of the gate; every name leads to 127.0.0.1 without it.
    """
    made = World(configuration, file=file, state=state, resolver=resolver)
    try:
        await made.registry.start()
        yield made
    finally:
        made.registry.roster.remove_paths()
        await made.gate.close()
        await made.registry.close()
        made.log.close()
    made.log.check()


async def status(listen: str | None, authority: str = "a.test:80") -> int | None:
    """Ask a listener for a tunnel: the status, ``None`` where nobody listens."""
    assert listen is not None
    try:
        if listen.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(listen.removeprefix("unix:"))
        else:
            host, _, port = listen.rpartition(":")
            reader, writer = await asyncio.open_connection(sock=socket.create_connection((host, int(port))))
    except OSError:
        return None
    try:
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
