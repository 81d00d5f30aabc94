"""The processes of one gateway, each taking over from the one before, as an operator starts them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from jobgate.config.endpoints import UnixPath

from .busy import busy_origin
from .serve import COMMAND, ENVIRONMENT, Served, serve

RATE_BYTES_PER_S = 3_000_000
BURST_BYTES = 65536

CONFIGURATION = f"""\
[listen]
control = "unix:{{folder}}/control.sock"
workers = {{workers}}
[node]
allow_addresses = ["127.0.0.1"]
deny = [{{deny}}]
[dns.hosts]
"o.test" = ["127.0.0.1"]
[limits]
requests_per_s_per_job = 0
[timeouts]
upgrade_drain_s = {{limit_s}}
[[job]]
id = "train"
listen = "{{listen}}"
network = "http"
domains = ["o.test:{{origin}}"]
tls = "any"
rate_up = "unlimited"
rate_down = {RATE_BYTES_PER_S}
burst = {BURST_BYTES}
"""


class Gateway:
    """The processes of one gateway, in the order they came.

    Attributes:
        origin: The port of what its job may reach.
        path: Where the process that serves is asked.
    """

    def __init__(
        self, folder: Path, origin: int, stack: AsyncExitStack, listen: str, limit_s: float, workers: int = 1
    ) -> None:
        self.origin = origin
        self.path = UnixPath(f"{folder}/control.sock.upgrade")
        self.processes: list[Served] = []
        self._folder = folder
        self._stack = stack
        self._values = {"listen": listen, "limit_s": limit_s, "deny": "", "workers": workers}

    @property
    def listener(self) -> str:
        return self.processes[0].listeners["train"]

    def configure(self, more: str = "", **values: str) -> None:
        """Write the configuration file."""
        known = {**self._values, **values}
        text = CONFIGURATION.format(folder=self._folder, origin=self.origin, **known)
        (self._folder / "jobgate.toml").write_text(text + more)

    async def start(self, *options: str) -> Served:
        """Start a process and wait until it is ready."""
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        context = serve(self._folder / "jobgate.toml", "--loop", loop, *options)
        served = await asyncio.to_thread(context.__enter__)
        self._stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
        self.processes.append(served)
        return served

    async def take_over(self) -> Served:
        """Replace the process that serves."""
        return await self.start("--take-over")

    async def failed_take_over(self) -> subprocess.CompletedProcess[str]:
        """Try to replace it with a process that fails."""
        command = [*COMMAND, "serve", "--take-over", "--config", str(self._folder / "jobgate.toml")]
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, env=ENVIRONMENT, timeout=20
        )

    async def api(
        self, method: str, path: str, document: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """Ask the control API."""
        connector = aiohttp.UnixConnector(f"{self._folder}/control.sock")
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://gateway/v1/{path}", json=document) as response,
        ):
            assert response.ok, await response.text()
            answer: dict[str, object] = await response.json() if response.status != 204 else {}
            return answer


@asynccontextmanager
async def serving(
    folder: Path, *, listen: str = "127.0.0.1:0", limit_s: float = 0.0, workers: int = 1
) -> AsyncIterator[Gateway]:
    async with busy_origin() as origin, AsyncExitStack() as stack:
        gateway = Gateway(folder, origin, stack, listen, limit_s, workers)
        gateway.configure()
        await gateway.start()
        yield gateway
