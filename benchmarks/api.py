"""What do changes of a thousand jobs cost, and whom do they disturb?

Starts `jobgate serve`, an origin, and a client that sends one request after another as a job of the
configuration file. Meanwhile it adds jobs by the control API, opens a tunnel in each, takes its
destination away (the tunnel must end), and removes them; then the same again. Every answer, echoed byte
and counter is checked. Says how long the API took, how long the steady client waited in each
phase, and what memory and descriptors the gateway had before and after.

    python benchmarks/api.py [--jobs 1000] [--rounds 3] [--quiet 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import api_peers
from api_peers import DEADLINE_S, process, until_written

from jobgate.client import Client

T = TypeVar("T")

WORKERS = 8
#: The pipe of bulk is opened when it is first needed, and a connection to the origin may be under way.
SPARE_DESCRIPTORS = 4
ECHO = b"tunnelled"
PHASES = ("quiet", "add", "use", "change", "remove")

_CONFIGURATION = """
[node]
allow_addresses = ["127.0.0.1"]
connect_ports = ["1-65535"]
http_ports = ["1-65535"]
[dns]
hosts = {{ "ok.test" = ["127.0.0.1"] }}
[listen]
control = "{folder}/control.sock"
[state]
path = "{folder}/state.db"
[[job]]
id = "steady"
network = "http"
listen = "127.0.0.1:0"
domains = ["ok.test"]
"""


@dataclass(slots=True)
class Figures:
    """What was measured; times in ms.

    Attributes:
        api: By operation.
        waits: Of the steady client: when, and how long.
        phases: When each began.
        revoked: From the request that refuses a tunnel to its end.
        rss_mib: Resident before all, and after each round.
        descriptors: Open ones, likewise.
        peak: Both with all jobs and tunnels there.
    """

    api: dict[str, list[float]] = field(default_factory=dict)
    waits: list[tuple[float, float]] = field(default_factory=list)
    phases: list[tuple[float, str]] = field(default_factory=list)
    revoked: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    peak: tuple[float, int] = (0.0, 0)


class Churn:
    """Jobs that come and go in one gateway."""

    def __init__(self, gateway: Client, pid: int, origin: int, quiet_s: float) -> None:
        self.figures = Figures()
        self._gateway = gateway
        self._pid = pid
        self._origin = origin
        self._quiet_s = quiet_s
        self._ports: dict[str, int] = {}
        self._tunnels: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def run(self, jobs: int, rounds: int) -> None:
        """Do everything; one job goes ahead, for what the gateway loads late."""
        await self._round(1)
        self.figures = Figures()
        await self._rest()
        for _ in range(rounds):
            await self._round(jobs)
            await self._rest()

    async def _round(self, jobs: int) -> None:
        names = [f"job-{number:05}" for number in range(jobs)]
        for phase, work in zip(PHASES[1:], (self._add, self._use, self._change, self._remove), strict=True):
            self.figures.phases.append((time.monotonic(), phase))
            queue = iter(names)
            await asyncio.gather(*(self._work(queue, work) for _ in range(WORKERS)))
            if phase == "use":
                self.figures.peak = max(self.figures.peak, self._now())
                page = await self._timed("list 100", self._gateway.page(limit=100))
                assert len(page.jobs) == min(jobs + 1, 100)

    async def _work(self, queue: Iterator[str], work: Callable[[str], Awaitable[None]]) -> None:
        for name in queue:
            await work(name)

    async def _rest(self) -> None:
        """Let the gateway close what it has to, look at what it holds, and leave it alone for a moment."""
        deadline = time.monotonic() + DEADLINE_S
        wanted = (
            self.figures.descriptors[0] + SPARE_DESCRIPTORS if self.figures.descriptors else self._now()[1]
        )
        while self._now()[1] > wanted and time.monotonic() < deadline:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.1)
        rss_mib, descriptors = self._now()
        self.figures.rss_mib.append(rss_mib)
        self.figures.descriptors.append(descriptors)
        self.figures.phases.append((time.monotonic(), PHASES[0]))
        await asyncio.sleep(self._quiet_s)

    async def _add(self, name: str) -> None:
        settings = {"network": "http", "listen": "127.0.0.1:0", "domains": ["ok.test"], "tls": "any"}
        job = await self._timed("PUT", self._gateway.put_job(name, settings, only_new=True))
        self._ports[name] = int(str(job.listen).rpartition(":")[2])

    async def _use(self, name: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[name])
        authority = f"ok.test:{self._origin}"
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        assert head.startswith(b"HTTP/1.1 200 "), head
        writer.write(ECHO)
        assert await asyncio.wait_for(reader.readexactly(len(ECHO)), DEADLINE_S) == ECHO
        self._tunnels[name] = reader, writer
        usage = await self._timed("GET usage", self._gateway.usage(name))
        moved = usage.live.bytes_up, usage.live.bytes_down, usage.live.requests, usage.live.connections
        assert moved == (len(ECHO), len(ECHO), 1, 1), moved

    async def _change(self, name: str) -> None:
        reader, writer = self._tunnels.pop(name)
        started = time.perf_counter()
        changing = asyncio.create_task(
            self._timed("PATCH", self._gateway.patch_job(name, {"domains": ["other.test"]}))
        )
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        self.figures.revoked.append(1000 * (time.perf_counter() - started))
        await changing
        writer.close()

    async def _remove(self, name: str) -> None:
        await self._timed("DELETE", self._gateway.remove_job(name))
        del self._ports[name]

    async def _timed(self, operation: str, call: Awaitable[T]) -> T:
        started = time.perf_counter()
        answer = await call
        self.figures.api.setdefault(operation, []).append(1000 * (time.perf_counter() - started))
        return answer

    def _now(self) -> tuple[float, int]:
        """What the gateway holds."""
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20, len(os.listdir(f"/proc/{self._pid}/fd"))


def measure(jobs: int, rounds: int, quiet_s: float) -> Figures:
    """Start everybody, and do it; between rounds all is quiet for so long."""

    async def churn(folder: Path, pid: int, origin: int) -> Figures:
        async with Client(str(folder / "control.sock")) as gateway:
            jobs_that_come_and_go = Churn(gateway, pid, origin, quiet_s)
            await jobs_that_come_and_go.run(jobs, rounds)
            return jobs_that_come_and_go.figures

    peers = api_peers.__file__
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(process(folder / "origin", peers, "origin"))
        origin = int(until_written(folder / "origin"))
        file = folder / "gate.toml"
        file.write_text(_CONFIGURATION.format(folder=folder))
        gateway = stack.enter_context(
            process(folder / "log", "-m", "jobgate", "serve", "--config", str(file))
        )
        ready = json.loads(until_written(folder / "log"))
        port = ready["listen"]["steady"].rpartition(":")[2]
        stack.enter_context(process(folder / "waits", peers, "steady", port, str(origin)))
        until_written(folder / "waits")
        os.nice(5)  # the churn is not to take the steady client's core
        figures = asyncio.run(churn(folder, gateway.pid, origin))
        lines = (folder / "waits").read_text().splitlines()[:-1]  # the last one may be cut
        figures.waits = [(float(at), float(wait)) for at, wait in map(str.split, lines)]
    return figures


def summary(times: list[float]) -> dict[str, float]:
    """How many, median, 99th percentile and worst."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    values = {"p50": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {"n": len(times), **{name: round(value, 2) for name, value in values.items()}}


def by_phase(figures: Figures) -> dict[str, list[float]]:
    """Sort the steady client's waits by what went on when they ended."""
    found: dict[str, list[float]] = {phase: [] for phase in PHASES}
    ends = [*(at for at, _ in figures.phases[1:]), float("inf")]
    spans = [(begin, end, phase) for (begin, phase), end in zip(figures.phases, ends, strict=True)]
    for at, wait in figures.waits:
        for begin, end, phase in spans:
            if begin <= at < end:
                found[phase].append(wait)
    return {phase: waits for phase, waits in found.items() if waits}


def report(figures: Figures) -> dict[str, object]:
    """Sum the figures up."""
    return {
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        "api_ms": {operation: summary(times) for operation, times in figures.api.items()},
        "revoked_ms": summary(figures.revoked),
        "steady_ms": {phase: summary(waits) for phase, waits in by_phase(figures).items()},
        "rss_mib": [round(rss, 1) for rss in figures.rss_mib],
        "descriptors": figures.descriptors,
        "peak": {"rss_mib": round(figures.peak[0], 1), "descriptors": figures.peak[1]},
    }


def table(found: dict[str, object]) -> str:
    """The same for people."""
    lines = [
        str(found["machine"]),
        "",
        "| ms | n | p50 | p99 | max |",
        "|---|---|---|---|---|",
    ]
    for name, rows in (("API", found["api_ms"]), ("steady client", found["steady_ms"])):
        assert isinstance(rows, dict)
        lines += [
            f"| {name}: {key} | {row['n']} | {row['p50']} | {row['p99']} | {row['max']} |"
            for key, row in rows.items()
        ]
    row = found["revoked_ms"]
    assert isinstance(row, dict)
    lines.append(f"| refused tunnel: end | {row['n']} | {row['p50']} | {row['p99']} | {row['max']} |")
    lines += ["", f"MiB resident before and after each round: {found['rss_mib']}"]
    lines += [f"descriptors likewise: {found['descriptors']}", f"with all jobs and tunnels: {found['peak']}"]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = report(measure(options.jobs, options.rounds, options.quiet))
    print(json.dumps(found) if options.json else table(found))


if __name__ == "__main__":
    main()
