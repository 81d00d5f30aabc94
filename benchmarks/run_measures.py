"""One round of all proxies: everything that ``run.py`` asks of them."""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import load
import load_times
import processes
from load_target import BIG_BYTES, MEDIUM, SMALL, LoadError, Target, check, publish, until_accepting
from peer_configurations import GATE_LOG
from peers import DIRECT, ORIGIN, Peer

_GB = 1e9
#: Below the range that connections are made from (ip(7), ip_local_port_range).
_PORTS = 10_000, 32_000
IDLE_TUNNELS = 1000
#: What a user of a busy node may ask of a gate; every proxy here can do that on one core.
RATE_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done in each round: enough for some 50 ticks of 10 ms, or for a glance.

    Attributes:
        turns: Each proxy has so many, with ``tunnels``, GETs for ``requests_s``, ``downloads``, and
            tunnels at a fixed rate for ``paced_s``.
    """

    rounds: int
    starts: int
    alone: int
    turns: int
    tunnels: int
    requests_s: int
    downloads: int
    paced_s: float


FULL = Effort(rounds=3, starts=3, alone=300, turns=4, tunnels=750, requests_s=1, downloads=1, paced_s=1.0)
QUICK = Effort(rounds=1, starts=1, alone=30, turns=1, tunnels=300, requests_s=1, downloads=1, paced_s=0.5)
#: Before each turn, for what a proxy has to find again after the others.
_WARM_S = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one proxy; ``None``: does not exist there. CPU is the proxy's alone.

    Attributes:
        connect_us, get_us, get_16k_us: CPU µs per CONNECT with a GET of 1 kB, and per keep-alive GET.
        cpu_s_per_gb, gb_per_s: Of one tunnel.
        connects_per_s, gets_per_s: As many as went through, 16 tunnels and 32 connections at a time.
        rate_per_s, rate_p50_ms, rate_p99_ms: Of ``RATE_PER_S`` tunnels that do not wait for each other.
        added_connect_us, added_get_us: What one request alone takes more than a direct one, median.
        rss_idle_mb, rss_first_mb, rss_tunnels_mb: At first, after some requests, with ``IDLE_TUNNELS``.
        ready_ms, restarts_per_s: From start to listening, and of starts, stops included.
    """

    connect_us: float
    get_us: float
    get_16k_us: float
    cpu_s_per_gb: float
    gb_per_s: float
    connects_per_s: float
    gets_per_s: float
    rate_per_s: float
    rate_p50_ms: float
    rate_p99_ms: float
    added_connect_us: float | None = None
    added_get_us: float | None = None
    rss_idle_mb: float | None = None
    rss_first_mb: float | None = None
    rss_tunnels_mb: float | None = None
    ready_ms: float | None = None
    restarts_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that runs, or the origin itself.

    Attributes:
        log: Of a gate.
    """

    target: Target
    pid: int
    log: Path


class Done:
    """What one proxy has done in the turns of a round."""

    def __init__(self, running: Running, effort: Effort, core: int) -> None:
        self._running = running
        self._effort = effort
        self._core = core  # of the load
        self._cpu_s: dict[str, float] = defaultdict(float)
        self._amount: dict[str, float] = defaultdict(float)  # requests, or seconds
        self._paced: list[load_times.OpenLoop] = []

    def turn(self) -> None:
        """Load it.

        Raises:
            LoadError: It does not do what it should.
        """
        target, effort = self._running.target, self._effort
        load_times.open_loop(target, RATE_PER_S, _WARM_S)
        self._spend("tunnels", partial(load.tunnels, target, effort.tunnels))
        for path in (SMALL, MEDIUM):
            self._spend(path, partial(load.requests, target, path, effort.requests_s, self._core))
        for turn in range(effort.downloads):
            self._spend("bulk", partial(load.bulk, target, turn))
        self._paced.append(load_times.open_loop(target, RATE_PER_S, effort.paced_s))

    def _spend(self, what: str, work: Callable[[], float]) -> None:
        before = processes.cpu_s(self._running.pid)
        self._amount[what] += work()
        self._cpu_s[what] += processes.cpu_s(self._running.pid) - before

    def sample(self) -> Sample:
        """Take all turns together."""
        effort, cpu_s, amount, turns = self._effort, self._cpu_s, self._amount, len(self._paced)
        tunnels, gb = effort.tunnels * turns, BIG_BYTES * effort.downloads * turns / _GB
        took_s = sorted(took_s for loop in self._paced for took_s in loop.took_s)
        return Sample(
            connect_us=cpu_s["tunnels"] / tunnels * 1e6,
            get_us=cpu_s[SMALL] / amount[SMALL] * 1e6,
            get_16k_us=cpu_s[MEDIUM] / amount[MEDIUM] * 1e6,
            cpu_s_per_gb=cpu_s["bulk"] / gb,
            gb_per_s=gb / amount["bulk"],
            connects_per_s=tunnels / amount["tunnels"],
            gets_per_s=amount[SMALL] / (effort.requests_s * turns),
            rate_per_s=statistics.fmean(loop.per_s for loop in self._paced),
            rate_p50_ms=load_times.percentile(took_s, 0.5) * 1e3,
            rate_p99_ms=load_times.percentile(took_s, 0.99) * 1e3,
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin: its port, and its process."""

    port: int
    pid: int


@contextlib.contextmanager
def origin(folder: Path, core: int) -> Iterator[Origin]:
    """Run the origin while the context is entered."""
    port = free_port()
    command = ORIGIN.prepare(folder, [port], port)
    publish(folder / "www")
    with processes.running(command, core) as process:
        until_accepting(port)
        yield Origin(port, process.pid)


def check_log(file: Path) -> None:
    """See that a gate left nothing out of its log, which the others do not do either.

    Raises:
        LoadError: It did.
    """
    if file.exists():
        with file.open("rb") as lines:
            if any(b'"event":"dropped"' in line for line in lines):
                raise LoadError(f"lines are missing in {file.name}")


class Round:
    """All proxies on one core, the load and the origin on another."""

    def __init__(self, origin: Origin, effort: Effort, cores: tuple[int, int]) -> None:
        self._origin = origin
        self._effort = effort
        self._cores = cores
        self._straight = Target([origin.port], origin.port, is_proxy=False)

    def alone(self, peer: Peer, folder: Path) -> dict[str, float]:
        """Start a proxy some times, alone, check it, weigh it, stop it; return these fields of its sample.

        Raises:
            LoadError: It does not do what it should.
        """
        ready_s: list[float] = []
        command, target = self._prepared(peer, folder)
        with self._beside(peer, folder):
            began = time.perf_counter()
            for _ in range(self._effort.starts):
                with self._running(peer, command, target, folder, ready_s):
                    pass
            restarts_per_s = self._effort.starts / (time.perf_counter() - began)
            with self._running(peer, command, target, folder, ready_s) as pid:
                rss_idle = processes.rss_bytes(pid)
                check(target)
                rss_first = processes.rss_bytes(pid)
                with load.idle_tunnels(target, IDLE_TUNNELS):
                    rss_tunnels = processes.rss_bytes(pid)
                added = self._added(target)
        return {
            "added_connect_us": added[0],
            "added_get_us": added[1],
            "rss_idle_mb": rss_idle / 1e6,
            "rss_first_mb": rss_first / 1e6,
            "rss_tunnels_mb": rss_tunnels / 1e6,
            "ready_ms": statistics.median(ready_s) * 1e3,
            "restarts_per_s": restarts_per_s,
        }

    @contextlib.contextmanager
    def together(self, peers: Sequence[Peer], folder: Path) -> Iterator[dict[str, Running]]:
        """Have all run at once; the origin is one of them. Who is not asked sleeps."""
        running = {DIRECT: Running(self._straight, self._origin.pid, folder / GATE_LOG)}
        with contextlib.ExitStack() as stack:
            for peer in peers:
                place = folder / quote(peer.name)
                command, target = self._prepared(peer, place)
                stack.enter_context(self._beside(peer, place))
                pid = stack.enter_context(self._running(peer, command, target, place, []))
                running[peer.name] = Running(target, pid, place / GATE_LOG)
            yield running

    def in_turn(self, running: dict[str, Running]) -> dict[str, Sample | LoadError]:
        """Load one after the other for some seconds, again and again.

        A virtual machine changes its speed by the minute: so what is compared is measured in the same ones.
        """
        done = {name: Done(each, self._effort, self._cores[1]) for name, each in running.items()}
        failed: dict[str, LoadError] = {}
        for turn in range(self._effort.turns):
            for name in running if turn % 2 == 0 else reversed(running):
                if name in failed:
                    continue
                try:
                    if turn == 0:
                        check(running[name].target)
                    done[name].turn()
                except LoadError as error:
                    failed[name] = error
        return {name: failed.get(name) or done[name].sample() for name in running}

    def _prepared(self, peer: Peer, folder: Path) -> tuple[list[str], Target]:
        ports = [free_port() for _ in range(peer.ports)]
        command = peer.prepare(folder, ports, self._origin.port)
        return command, Target(ports, self._origin.port, is_proxy=peer.is_proxy)

    def _beside(self, peer: Peer, folder: Path) -> contextlib.AbstractContextManager[object]:
        if peer.beside is None:
            return contextlib.nullcontext()
        return processes.running(peer.beside(folder), self._cores[1])

    @contextlib.contextmanager
    def _running(
        self, peer: Peer, command: list[str], target: Target, folder: Path, ready_s: list[float]
    ) -> Iterator[int]:
        started = time.perf_counter()
        with processes.running(
            command, self._cores[0], environment=peer.environment, folder=folder
        ) as process:
            for port in target.ports:
                until_accepting(port)
            ready_s.append(time.perf_counter() - started)
            yield process.pid

    def _added(self, target: Target) -> tuple[float, float]:
        """Return what it adds to a tunnel with a GET and to a GET on a kept connection, in µs."""
        straight, through = load_times.alone([self._straight, target], self._effort.alone)
        return (
            (statistics.median(through.connect_s) - statistics.median(straight.connect_s)) * 1e6,
            (statistics.median(through.get_s) - statistics.median(straight.get_s)) * 1e6,
        )


def free_port() -> int:
    """Return a port that nobody listens on, and that the kernel gives to nobody who does not ask for it."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", random.randrange(*_PORTS)))  # noqa: S311  no secret
            port: int = sock.getsockname()[1]
            return port
