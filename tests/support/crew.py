"""A gateway of several processes, as an operator starts it: who serves whom, by what the kernel knows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from .busy import busy_origin
from .serve import Served, serve
from .wait import until_seen

DEADLINE_S = 20.0

CONFIGURATION = """\
[listen]
control = "unix:{folder}/control.sock"
proxy = ["127.0.0.1:0", "unix:{folder}/shared.sock"]
workers = 2
[log]
path = "{folder}/log"
[state]
path = "{folder}/state.db"
[node]
allow_addresses = ["127.0.0.1"]
deny = [{deny}]
[dns.hosts]
"o.test" = ["127.0.0.1"]
"p.test" = ["127.0.0.1"]
[timeouts]
head_s = {head_s}
[limits]
requests_per_s_per_job = 0
{jobs}
"""
OWN = """
[[job]]
id = "{id}"
listen = "127.0.0.1:0"
network = "http"
domains = ["o.test:{origin}", "p.test:{origin}"]
tls = "any"
rate_up = "unlimited"
rate_down = "unlimited"
"""
SHARED = """
[[job]]
id = "{id}"
token = "{id}-{id}-{id}-{id}-token"
network = "http"
domains = ["o.test:{origin}"]
tls = "any"
rate_up = "unlimited"
rate_down = "unlimited"
"""


class Crew:
    """The running gateway: jobs ``a`` to ``d`` on their own listeners, ``s`` and ``t`` on shared ones.

    Attributes:
        origin: Port of what the jobs may reach.
        served: Its main process.
    """

    def __init__(self, folder: Path, origin: int) -> None:
        self.origin = origin
        self.folder = folder
        self.served: Served

    def configure(self, *, deny: str = "", head_s: float = 10.0, more: str = "") -> None:
        """Write the configuration file."""
        jobs = "".join(OWN.format(id=job, origin=self.origin) for job in "abcd")
        jobs += "".join(SHARED.format(id=job, origin=self.origin) for job in "st")
        text = CONFIGURATION.format(folder=self.folder, deny=deny, head_s=head_s, jobs=jobs + more)
        (self.folder / "jobgate.toml").write_text(text)

    @property
    def log(self) -> list[dict[str, Any]]:
        """All lines of the log."""
        whole, _, _ = (self.folder / "log").read_text().rpartition("\n")  # the last one may be under way
        return [json.loads(line) for line in whole.splitlines()]

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The lines of an event with these fields."""
        return [
            line
            for line in self.log
            if line["event"] == event and all(line.get(key) == value for key, value in fields.items())
        ]

    @property
    def ready(self) -> dict[str, Any]:
        """The line that names the listeners."""
        (line,) = self.events("ready")
        return line

    async def until_event(self, event: str, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for a line of the log."""
        await until_seen(lambda: len(self.events(event, **fields)) >= times)
        return self.events(event, **fields)[times - 1]

    def listener(self, job: str) -> str:
        """Where a job of the file listens."""
        return str(self.ready["listen"][job])

    async def connected(self, where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if where.startswith("unix:"):
            return await asyncio.open_unix_connection(where.removeprefix("unix:"))
        host, _, port = where.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def status(self, where: str, *, job: str = "", token: str = "", host: str = "o.test") -> int:
        """Ask for something small: the status, 0 where the connection was closed or refused."""
        try:
            async with asyncio.timeout(DEADLINE_S), self.asked(where, job, token, host) as (reader, _):
                return int((await reader.readline()).split()[1])
        except (OSError, IndexError):
            return 0

    @asynccontextmanager
    async def asked(
        self, where: str, job: str = "", token: str = "", host: str = "o.test"
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that has sent a request."""
        reader, writer = await self.connected(where)
        try:
            writer.write(self.request(job, token, host))
            yield reader, writer
        finally:
            writer.close()

    def request(self, job: str = "", token: str = "", host: str = "o.test", method: str = "GET") -> bytes:
        """A head; with the right token of a job if none is given."""
        authority = f"{host}:{self.origin}"
        target = authority if method == "CONNECT" else f"http://{authority}/"
        head = f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\n"
        if job:
            shown = b64encode(f"{job}:{token or '-'.join([job] * 4) + '-token'}".encode()).decode()
            head += f"Proxy-Authorization: Basic {shown}\r\n"
        return f"{head}\r\n".encode()

    async def api(self, method: str, path: str, document: Mapping[str, object] | None = None) -> Any:
        """Ask the control API."""
        connector = aiohttp.UnixConnector(f"{self.folder}/control.sock")
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://gateway/v1/{path}", json=document) as response,
        ):
            assert response.ok, await response.text()
            return await response.json() if response.status != 204 else None

    async def until_refused(self, where: str) -> None:
        """Wait until nobody listens any more."""
        while await self.status(where):  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0)

    async def holder(self, sock: socket.socket) -> int:
        """The process that keeps the other end of a TCP connection.

        For a moment two have it: a worker may answer before who passed it on has closed his own.
        """
        here, there = sock.getsockname(), sock.getpeername()
        inode = _inode(_end(there), _end(here))
        pids = [self.served.process.pid, *_children(self.served.process.pid)]

        def holders() -> list[int]:
            return [pid for pid in pids if f"socket:[{inode}]" in _open(pid)]

        await until_seen(lambda: len(holders()) == 1)
        return holders()[0]


@asynccontextmanager
async def crew(folder: Path, *, head_s: float = 10.0, more: str = "") -> AsyncIterator[Crew]:
    """Serve inside the block, on the loop of the test."""
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    async with busy_origin() as origin, AsyncExitStack() as stack:
        made = Crew(folder, origin)
        made.configure(head_s=head_s, more=more)
        made.served = await start(made, stack, "--loop", loop)
        yield made


async def start(made: Crew, stack: AsyncExitStack, *options: str) -> Served:
    """Start a process and wait until it is ready."""
    context = serve(made.folder / "jobgate.toml", "--log", f"{made.folder}/log", *options, ready=False)
    served = await asyncio.to_thread(context.__enter__)
    stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
    log = made.folder / "log"

    def is_ready() -> bool:
        assert served.process.poll() is None, "it has ended"
        return log.exists() and '"event":"ready"' in log.read_text() and bool(made.events("ready"))

    await until_seen(is_ready)
    return served


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which has not ended."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _open(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(entry))
    return found


def _end(address: tuple[str, int]) -> str:
    """Write an IPv4 endpoint as /proc/net/tcp does."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"


def _inode(local: str, remote: str) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == [local, remote]:
            return fields[9]
    raise LookupError(f"no connection from {remote} to {local}")
