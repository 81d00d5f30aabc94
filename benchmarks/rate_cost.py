"""What limiting costs: many jobs at their rate, one process on one core, beside a bare splice loop.

CPU time of the process, from ``/proc``; load and origin are on another core. Everything runs
over the loopback interface of one network namespace.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import processes
from load_target import until_accepting
from rate_flow import Flow
from rate_measures import percentile
from rate_peers import FIRST_PORT, MBIT, TEN_MBIT, GateJob, gate_command, gate_configuration

from jobgate.proxy.accepting import effective_connections

LOOP, GATE = "bare splice loop", "gate"
NAME = "near.test"
BURST_BYTES, CHUNK_BYTES = 65536, 32768
#: A job counts as served when it gets this share of its rate …
ENOUGH = 0.98
#: … and a core as full at this share of it.
FULL = 0.8
_HERE = Path(__file__).resolve().parent
_WARM_S = 2.0
#: A single one may be off by a third where the core is nearly idle.
_ROUNDS = 3
_START_S = 60.0
#: Ports, and this machine's patience.
_MAX_JOBS = 2000
_LARGEST_TRIES = 3
#: Aim a little below a full core.
_MARGIN = 0.98


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of a process."""

    jobs: int
    tunnels: int = 1
    rate: float = TEN_MBIT


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took for it.

    Attributes:
        name: Whose cost.
        load: For what.
        core: Share of a core.
        moved: Bytes/s of all jobs.
        slowest: Share of its rate that the slowest job got …
        fastest: … and the fastest.
        load_core: Share of the other core, of load and origin.
        lag_p99_ms: Of the event loop; NaN if it was not sampled.
    """

    name: str
    load: Load
    core: float
    moved: float
    slowest: float
    fastest: float
    load_core: float
    lag_p99_ms: float = float("nan")

    @property
    def per_job(self) -> float:
        """Percent of a core for each job."""
        return 100 * self.core / self.load.jobs

    @property
    def us_per_chunk(self) -> float:
        """CPU time of 32 KiB."""
        return self.core * 1e6 / (self.moved / CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class Idle:
    """A gate whose jobs have one open tunnel each and nothing to do."""

    jobs: int
    core: float
    wakeups_per_s: float


@dataclass(slots=True)
class CostResult:
    """All that was measured."""

    costs: list[Cost] = field(default_factory=list)
    largest: Cost | None = None
    tried: list[Cost] = field(default_factory=list)
    many: Cost | None = None
    idle: list[Idle] = field(default_factory=list)

    def ratio(self, load: Load) -> float:
        """Return what a byte costs the gate, beside what it costs the loop."""
        us = {cost.name: cost.us_per_chunk for cost in self.costs if cost.load == load}
        return us[GATE] / us[LOOP]


class Bench:
    """Starts processes and loads them.

    Args:
        folder: For configurations and logs.
        cores: Of the process, and of everything else.
        seconds: Of each measurement.
    """

    def __init__(self, folder: Path, cores: tuple[int, int], seconds: float) -> None:
        self._folder = folder
        self._core = cores[0]
        self._seconds = seconds
        self._runs = 0
        self._origin = socket.create_server(("127.0.0.1", 0), backlog=4096)

    def close(self) -> None:
        """Let go of the origin's port."""
        self._origin.close()

    def cost(self, name: str, load: Load, *, sample_lag: bool = False) -> Cost:
        """Measure one process under one load."""
        lag = self._folder / f"lag-{self._runs}" if sample_lag else None
        with self._flowing(name, load, lag) as (pid, flow):
            flow.run(_WARM_S)
            before, own, began = processes.cpu_s(pid), time.process_time(), time.monotonic()
            lines = _lines(lag)
            rates = flow.run(self._seconds)
            took = time.monotonic() - began
            core = (processes.cpu_s(pid) - before) / took
            load_core = (time.process_time() - own) / took
            lags = [float(line) for line in _lines(lag)[len(lines) :]]
        shares = [rate / load.rate for rate in rates]
        p99 = percentile(lags, 0.99) if lags else float("nan")
        return Cost(name, load, core, sum(rates), min(shares), max(shares), load_core, p99)

    def compare(self, load: Load) -> list[Cost]:
        """Measure loop and gate in turn, some rounds; return of each the one in the middle."""
        rounds = [[self.cost(name, load) for name in (LOOP, GATE)] for _ in range(_ROUNDS)]
        return [
            sorted(costs, key=lambda cost: cost.us_per_chunk)[_ROUNDS // 2]
            for costs in zip(*rounds, strict=True)
        ]

    def idle(self, jobs: int) -> Idle:
        """Count what a gate does while none of its tunnels has a byte to move."""
        with self._flowing(GATE, Load(jobs), None) as (pid, flow):
            flow.run(_WARM_S)
            time.sleep(_WARM_S)  # until what is left has come through
            before, woken = processes.cpu_s(pid), _wakeups(pid)
            time.sleep(self._seconds)
            core = (processes.cpu_s(pid) - before) / self._seconds
            return Idle(jobs, core, (_wakeups(pid) - woken) / self._seconds)

    @contextlib.contextmanager
    def _flowing(self, name: str, load: Load, lag: Path | None) -> Iterator[tuple[int, Flow]]:
        """Start a process with its jobs, and open the tunnels."""
        self._runs += 1
        ports = range(FIRST_PORT, FIRST_PORT + load.jobs)
        command, environment = (self._gate if name == GATE else self._loop)(load, lag)
        with processes.running(command, self._core, environment=environment) as process:
            until_accepting(ports[-1], _START_S)
            if name == LOOP:  # which joins that look to the origin, too
                self._origin.accept()[0].close()
            connect = f"{NAME}:{self._port}" if name == GATE else ""
            flow = Flow(ports, load.tunnels, load.rate, connect=connect, origin=self._origin)
            try:
                yield process.pid, flow
            finally:
                process.kill()  # before it sees thousands of resets
                flow.close()

    @property
    def _port(self) -> int:
        port: int = self._origin.getsockname()[1]
        return port

    def _loop(self, load: Load, lag: Path | None) -> tuple[list[str], dict[str, str]]:
        script = str(_HERE / "rate_loop.py")
        numbers = (FIRST_PORT, load.jobs, self._port, int(load.rate), BURST_BYTES, CHUNK_BYTES)
        return [sys.executable, script, *map(str, numbers)], dict(os.environ)

    def _gate(self, load: Load, lag: Path | None) -> tuple[list[str], dict[str, str]]:
        folder = self._folder / f"gate-{self._runs}"
        folder.mkdir()
        jobs = [GateJob(f"job{number}", FIRST_PORT + number, load.rate) for number in range(load.jobs)]
        file = folder / "configuration"
        where = {NAME: "127.0.0.1"}
        file.write_text(
            gate_configuration(folder, jobs, address="127.0.0.1", hosts=where, ports=(self._port,))
        )
        return gate_command(file, *([str(_HERE / "rate_lag.py"), str(lag)] if lag else []))


def tunnels_for(jobs: int, wanted: int) -> int:
    """Return how many tunnels each job can have within the gate's descriptors, which suffice for ours."""
    return max(1, min(wanted, effective_connections(wanted * jobs) // jobs))


def measure(bench: Bench, sizes: Sequence[int], say: Callable[[str], None]) -> CostResult:
    """Ask all questions of cost."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # as the gate does
    result = CostResult()
    for wanted in (1, 10):
        for jobs in sizes:
            load = Load(jobs, tunnels_for(jobs, wanted))
            result.costs += bench.compare(load)
            say(f"{jobs} jobs with {load.tunnels} tunnels: {result.ratio(load):.2f} of the loop's CPU")
    many = result.costs[len(sizes) * 2 - 1]
    result.largest, result.tried = largest(bench, many.load.jobs, many.core, say)
    result.many = bench.cost(GATE, Load(1000, 1, 2 * MBIT), sample_lag=True)
    say(f"1000 jobs at 2 Mbit/s: a timer is late by {result.many.lag_p99_ms:.1f} ms (p99)")
    result.idle = [bench.idle(jobs) for jobs in (1, 1000)]
    return result


def largest(
    bench: Bench, jobs: int, core: float, say: Callable[[str], None]
) -> tuple[Cost | None, list[Cost]]:
    """Look for the most jobs at 10 Mbit/s of which all get their rate while the core is not full.

    Args:
        bench: Measures.
        jobs: A number that was measured …
        core: … and what it took.
        say: Takes progress.

    Returns:
        The best, or ``None``, and all that were tried.
    """
    best: Cost | None = None
    tried: list[Cost] = []
    for _ in range(_LARGEST_TRIES):
        jobs = min(int(jobs * FULL * _MARGIN / core), _MAX_JOBS)
        cost = bench.cost(GATE, Load(jobs))
        tried.append(cost)
        fits = cost.core <= FULL and cost.slowest >= ENOUGH
        say(f"{jobs} jobs: {cost.core:.0%} of a core, the slowest gets {cost.slowest:.1%}")
        if fits and (best is None or jobs > best.load.jobs):
            best = cost
        if jobs == _MAX_JOBS and fits:
            break
        core = cost.core if cost.slowest >= ENOUGH else max(cost.core, FULL) * 1.05
    return best, tried


def _lines(file: Path | None) -> list[str]:
    return file.read_text().split() if file is not None else []


def _wakeups(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total
