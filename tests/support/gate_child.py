"""A gate in a process of its own that tells how it is: what it holds, and how requests ended.

Started by ``gate_process.py`` as ``python -m support.gate_child LOOP CONFIGURATION``. Serves every job
on a port of its own and writes the ports as one line of JSON. Then, for each line on standard input,
answers with one ``Report``; the line ``collect`` looks at every object of the process, which takes
a moment, ``close`` closes the gate first. The end of standard input ends the process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from jobgate.config.load import load_file
from jobgate.config.settings import Settings
from jobgate.proxy.alarms import own_alarms
from jobgate.proxy.connection import Connection
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.proxy.logwriter import STANDARD_OUTPUT, LogWriter
from jobgate.proxy.relay import Relay
from jobgate.proxy.splice import OWN
from jobgate.proxy.wire import Wire
from jobgate.ratelimit.fair import FairQueue

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
BACKLOG = 4096
_OWN_OBJECTS = (Connection, Exchange, Relay, Wire)
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Held:
    """What a connection may leave behind.

    ``timers`` and ``objects`` (connections, exchanges, relays, wires) are only counted by ``collect``.
    """

    descriptors: int = 0
    tasks: int = 0
    timers: int = 0
    objects: int = 0
    connections: int = 0
    registered: int = 0
    serving: int = 0
    pooled: int = 0
    lanes_waiting: int = 0
    resolving: int = 0
    unclosed: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The state of the process.

    Attributes:
        held: What must be as before when all connections have gone.
        rss_bytes: Resident now.
        dropped: Lines of the log that were lost.
        reasons: For each job, the reasons of all its close lines so far, with their number.
        errors: What reached the loop's exception handler.
    """

    held: Held
    rss_bytes: int
    dropped: int = 0
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Tally(Journal):
    """Counts instead of writing: a flood would exceed a job's share of the log."""

    def __init__(self) -> None:
        super().__init__(None)
        self.unclosed: set[str] = set()
        self.reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def decision(self, exchange: Exchange) -> None:
        """Expect a close line."""
        self.unclosed.add(exchange.id)

    def close(self, exchange: Exchange) -> None:
        """Count the end; one without a decision, or a second one, is an error."""
        assert exchange.end is not None
        self.unclosed.remove(exchange.id)
        self.reasons[exchange.job_id][exchange.end.token] += 1


class Child:
    """The gate and its measures."""

    def __init__(self, settings: Settings) -> None:
        self.errors: list[str] = []
        self._tally = Tally()
        self._writer: LogWriter | None = None
        journal: Journal = self._tally
        if settings.log.path != STANDARD_OUTPUT:
            self._writer = LogWriter(settings.log.path)
            journal = Journal(self._writer)
        self._gate = Gate(settings, journal=journal)
        with socket.socket() as sock:  # opens the pipe, which stays: no leak of the first bulk
            OWN.splicer.queued(sock)

    def listen(self) -> dict[str, int]:
        """Serve every job; return the ports."""
        ports: dict[str, int] = {}
        for job in self._gate.settings.jobs:
            listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
            ports[job.id] = listener.getsockname()[1]
            self._gate.listen(self._gate.add_job(job), listener)
        return ports

    async def answer(self, command: str) -> Report:
        """Do what a line asks for."""
        if command == "close":
            await self._gate.close()
        return self.report(collect=command == "collect")

    def report(self, *, collect: bool) -> Report:
        """Look around."""
        gate = self._gate
        jobs = gate.jobs.values()
        queues = [direction._queue for job in jobs for direction in (job.up, job.down)]
        timers, objects = _objects() if collect else (0, 0)
        held = Held(
            descriptors=len(os.listdir("/proc/self/fd")),
            tasks=len(asyncio.all_tasks()),
            timers=timers,
            objects=objects,
            connections=sum(job.connections for job in jobs),
            registered=len(gate.reception.open),
            serving=len(gate.reception._tasks),
            pooled=sum(len(job.pool) for job in jobs),
            lanes_waiting=sum(queue.waiting for queue in queues if isinstance(queue, FairQueue)),
            resolving=len(gate.resolver._flights) + len(gate.resolver._tasks),
            unclosed=len(self._tally.unclosed),
        )
        dropped = 0 if self._writer is None else self._writer.dropped
        reasons = {job: dict(found) for job, found in self._tally.reasons.items()}
        return Report(held, _rss_bytes(), dropped, reasons, self.errors)

    async def close(self) -> None:
        """Stop."""
        await self._gate.close()
        if self._writer is not None:
            self._writer.close(0.0)


def _objects() -> tuple[int, int]:
    """Count the deadlines that run, with a timer or as an alarm, and the data plane's own objects."""
    gc.collect()
    alarms = own_alarms()
    timers, objects = len(alarms) - alarms.is_armed, 0
    for found in gc.get_objects():
        kind = type(found)
        if kind.__name__ == "TimerHandle":
            timers += not found.cancelled()
        elif kind in _OWN_OBJECTS:
            objects += 1
    return timers, objects


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


async def _serve(configuration: Path) -> None:
    child = Child(load_file(configuration))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: child.errors.append(repr(context)))
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    _say(child.listen())
    while line := await commands.readline():
        _say(asdict(await child.answer(line.decode().strip())))
    await child.close()


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as runner:
        runner.run(_serve(Path(sys.argv[2])))


if __name__ == "__main__":
    main()
