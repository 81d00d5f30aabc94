"""One round of one proxy: everything that ``run.py`` asks of it."""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
    """How much each measurement does: enough for some 50 ticks of 10 ms, or for a glance."""

    rounds: int
    starts: int
    tunnels: int
    requests_s: int
    downloads: int
    paced_turns: int
    paced_s: float
    alone: int


FULL = Effort(
    rounds=3, starts=3, tunnels=3000, requests_s=3, downloads=4, paced_turns=5, paced_s=1.0, alone=300
)
QUICK = Effort(
    rounds=1, starts=1, tunnels=300, requests_s=1, downloads=1, paced_turns=1, paced_s=0.5, alone=30
)
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
    rate_per_s: float | None = None
    rate_p50_ms: float | None = None
    rate_p99_ms: float | None = None
    added_connect_us: float | None = None
    added_get_us: float | None = None
    rss_idle_mb: float | None = None
    rss_first_mb: float | None = None
    rss_tunnels_mb: float | None = None
    ready_ms: float | None = None
    restarts_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What came of tunnels that do not wait for each other, in all turns together."""

    per_s: float
    p50_ms: float
    p99_ms: float


def pace_of(loops: Sequence[load_times.OpenLoop]) -> Pace:
    """Take all turns of a proxy together."""
    took_s = sorted(took_s for loop in loops for took_s in loop.took_s)
    return Pace(
        statistics.fmean(loop.per_s for loop in loops),
        load_times.percentile(took_s, 0.5) * 1e3,
        load_times.percentile(took_s, 0.99) * 1e3,
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
    """One proxy after the other, on a core of its own."""

    def __init__(self, origin: Origin, effort: Effort, cores: tuple[int, int]) -> None:
        self._origin = origin
        self._effort = effort
        self._cores = cores
        self._straight = Target([origin.port], origin.port, is_proxy=False)

    def direct(self) -> Sample:
        """Ask the origin itself; the CPU is the origin's."""
        check(self._straight)
        return self._loaded(self._straight, self._origin.pid)

    def of(self, peer: Peer, folder: Path) -> Sample:
        """Start a proxy some times, check it, load it, stop it.

        Raises:
            LoadError: It does not do what it should.
        """
        ports = [free_port() for _ in range(peer.ports)]
        command = peer.prepare(folder, ports, self._origin.port)
        target = Target(ports, self._origin.port, is_proxy=peer.is_proxy)
        ready_s: list[float] = []
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
                loaded = self._loaded(target, pid)
        check_log(folder / GATE_LOG)
        return replace(
            loaded,
            added_connect_us=added[0],
            added_get_us=added[1],
            rss_idle_mb=rss_idle / 1e6,
            rss_first_mb=rss_first / 1e6,
            rss_tunnels_mb=rss_tunnels / 1e6,
            ready_ms=statistics.median(ready_s) * 1e3,
            restarts_per_s=restarts_per_s,
        )

    @contextlib.contextmanager
    def together(self, peers: Sequence[Peer], folder: Path) -> Iterator[dict[str, Target]]:
        """Have all run at once, each beside the others on the one core; the origin is one of them."""
        targets = {DIRECT: self._straight}
        with contextlib.ExitStack() as stack:
            for peer in peers:
                ports = [free_port() for _ in range(peer.ports)]
                place = folder / quote(peer.name)
                command = peer.prepare(place, ports, self._origin.port)
                targets[peer.name] = Target(ports, self._origin.port, is_proxy=peer.is_proxy)
                stack.enter_context(self._beside(peer, place))
                stack.enter_context(self._running(peer, command, targets[peer.name], place, []))
            yield targets

    def paced(self, targets: dict[str, Target]) -> dict[str, Pace | LoadError]:
        """Ask one after the other at a fixed rate, each for a second, again and again.

        A virtual machine changes its speed by the minute: so what is compared is measured in the same ones.
        Who is not asked sleeps.
        """
        loops: dict[str, list[load_times.OpenLoop]] = {name: [] for name in targets}
        failed: dict[str, LoadError] = {}
        for turn in range(self._effort.paced_turns):
            for name in targets if turn % 2 == 0 else reversed(targets):
                if name in failed:
                    continue
                try:
                    if turn == 0:
                        check(targets[name])
                        load.tunnels(targets[name], self._effort.tunnels)
                    load_times.open_loop(targets[name], RATE_PER_S, _WARM_S)
                    loops[name].append(load_times.open_loop(targets[name], RATE_PER_S, self._effort.paced_s))
                except LoadError as error:
                    failed[name] = error
        return {name: failed.get(name) or pace_of(loops[name]) for name in targets}

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

    def _loaded(self, target: Target, pid: int) -> Sample:
        effort = self._effort

        def spent(work: Callable[[], float]) -> tuple[float, float]:
            before = processes.cpu_s(pid)
            result = work()
            return processes.cpu_s(pid) - before, result

        def gets(path: str) -> tuple[float, float]:
            return spent(lambda: load.requests(target, path, effort.requests_s, self._cores[1]))

        connect_cpu_s, connect_s = spent(lambda: load.tunnels(target, effort.tunnels))
        get_cpu_s, count = gets(SMALL)
        get_16k_cpu_s, count_16k = gets(MEDIUM)
        bulk_cpu_s, bulk_s = spent(lambda: sum(load.bulk(target, turn) for turn in range(effort.downloads)))
        moved_gb = BIG_BYTES * effort.downloads / _GB
        return Sample(
            connect_us=connect_cpu_s / effort.tunnels * 1e6,
            get_us=get_cpu_s / count * 1e6,
            get_16k_us=get_16k_cpu_s / count_16k * 1e6,
            cpu_s_per_gb=bulk_cpu_s / moved_gb,
            gb_per_s=moved_gb / bulk_s,
            connects_per_s=effort.tunnels / connect_s,
            gets_per_s=count / effort.requests_s,
        )


def free_port() -> int:
    """Return a port that nobody listens on, and that the kernel gives to nobody who does not ask for it."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", random.randrange(*_PORTS)))  # noqa: S311  no secret
            port: int = sock.getsockname()[1]
            return port
