"""How well it limits: exactness, fairness, and what a small request waits for, one shaper at a time."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import namespaces
import processes
import trustme
from rate_cases import COMMON, DRAWN, GATE_CASES, Case
from rate_measures import Arrivals, binned, jain, rate_between, worst_window_bytes
from rate_network import ORIGINS, SHAPER, Network
from rate_peers import FIRST_PORT, GATE, TLS_PORT, GateJob, Peer, shaping
from rate_small import Plan
from rate_streams import Measured, Stream, Traffic

from jobgate.ratelimit.bucket import default_burst_bytes, default_chunk_bytes
from jobgate.ratelimit.fair import DEFAULT_PIECE_BYTES
from jobgate.ratelimit.supply import BULK_BYTES, BULK_SHARE

WINDOW_S = 0.1
BIN_S = 0.1
_SMALL = Path(__file__).resolve().parent / "rate_small.py"
_NAME = ORIGINS[0]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each question takes; seconds and requests."""

    warm_s: float = 2.0
    total_s: float = 10.0
    fair_warm_s: float = 4.0
    fair_s: float = 20.0
    unloaded: int = 50
    loaded: int = 150
    deadline_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Total:
    """One direction of one case.

    Attributes:
        case: Its name and the direction.
        rate: What was allowed, bytes/s.
        measured: What arrived, bytes/s, after the first burst.
        worst_bytes: Most that arrived in 100 ms, the first burst included.
        broken: Connections that ended by themselves.
        series: Bytes/s in steps of 100 ms from the start; only of the case that is drawn.
    """

    case: str
    rate: float
    measured: float
    worst_bytes: int
    broken: int
    series: list[float] = field(default_factory=list)

    @property
    def deviation(self) -> float:
        """Difference from what was allowed, as a share of it."""
        return self.measured / self.rate - 1


@dataclass(frozen=True, slots=True)
class Fairness:
    """64 busy downloads of one job: bytes/s of each, and the round-trip time of its way in ms."""

    shares: list[float]
    rtt_ms: list[int]

    @property
    def index(self) -> float:
        """Jain's."""
        return jain(self.shares)


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds of small requests, alone and beside bulk; ``None``: not within the deadline."""

    unloaded: list[float | None]
    loaded: list[float | None]
    deadline_s: float

    def added_s(self) -> list[float]:
        """Return what bulk adds to the median of the unloaded ones, in order; infinity past the deadline."""
        alone = sorted(_seconds(self.unloaded))
        return [took - alone[len(alone) // 2] for took in sorted(_seconds(self.loaded))]


@dataclass(slots=True)
class ShapeResult:
    """What one shaper did."""

    name: str
    missing: list[str] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)
    fairness: Fairness | None = None
    delay: Delay | None = None


def bound_bytes(rate: float) -> float:
    """Return the most that the gate may pass in 100 ms: burst, rate x time, one piece (``docs/rate.md``)."""
    burst = default_burst_bytes(rate)
    piece = default_chunk_bytes(rate, burst, DEFAULT_PIECE_BYTES)
    spliced = min(BULK_SHARE * burst, BULK_BYTES)
    return burst + rate * WINDOW_S + max(piece, spliced)


class Bench:
    """Asks one shaper after the other.

    Args:
        network: Where.
        folder: For their files.
        cores: Of the shaper, and of everything else.
        effort: How long.
        say: Takes progress.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        cores: tuple[int, int],
        effort: Effort,
        say: Callable[[str], None],
    ) -> None:
        self._network = network
        self._folder = folder
        self._cores = cores
        self._effort = effort
        self._say = say
        self._runs = 0
        authority = trustme.CA()
        self._authority, self._certificate = folder / "authority.pem", folder / "certificate.pem"
        authority.cert_pem.write_to_path(str(self._authority))
        chain = authority.issue_cert(_NAME).private_key_and_cert_chain_pem
        chain.write_to_path(str(self._certificate))

    def ask(self, peer: Peer) -> ShapeResult:
        """Ask one shaper everything; what it lacks is in the result."""
        result = ShapeResult(peer.name, peer.missing)
        if result.missing:
            return result
        for cases in GATE_CASES if peer is GATE else [[case] for case in COMMON]:
            result.totals += self._totals(peer, cases)
            self._say(f"{peer.name}: {', '.join(case.name for case in cases)}")
        result.fairness = self._fairness(peer)
        self._say(f"{peer.name}: fairness {result.fairness.index:.3f}")
        result.delay = self._delay(peer)
        added_ms = result.delay.added_s()[len(result.delay.loaded) // 2] * 1e3
        self._say(f"{peer.name}: a small request beside bulk takes {added_ms:.0f} ms longer (p50)")
        return result

    def _run(self, peer: Peer, jobs: Sequence[GateJob], run: Callable[[], Measured]) -> Measured:
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        with shaping(peer, self._network, folder, self._cores[0], jobs):
            return run()

    def _totals(self, peer: Peer, cases: Sequence[Case]) -> list[Total]:
        jobs = [GateJob(f"job{n}", FIRST_PORT + n, case.rate) for n, case in enumerate(cases)]
        streams = [stream for case, job in zip(cases, jobs, strict=True) for stream in case.streams(job.port)]
        effort = self._effort
        traffic = Traffic(self._network, streams)
        measured = self._run(peer, jobs, lambda: traffic.run(effort.warm_s, effort.total_s))
        return [_total(case, way, measured) for case in cases for way in case.ways]

    def _fairness(self, peer: Peer) -> Fairness:
        """Let 64 downloads with various chunks and ways compete; all kinds are mixed with all."""
        hosts, chunks = cycle(ORIGINS.items()), cycle([1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18])
        ways = list(islice(hosts, 64))
        streams = [
            Stream((SHAPER, FIRST_PORT), "", connect=n // 8 % 2 == 0, chunk_bytes=next(chunks), host=name)
            for n, (_, name) in enumerate(ways)
        ]
        effort = self._effort
        traffic = Traffic(self._network, streams)
        measured = self._run(
            peer, [GateJob("job", FIRST_PORT)], lambda: traffic.run(effort.fair_warm_s, effort.fair_s)
        )
        return Fairness([n / effort.fair_s for n in measured.streams], [rtt for rtt, _ in ways])

    def _delay(self, peer: Peer) -> Delay:
        """Time small requests alone, then beside eight downloads and eight uploads."""
        effort = self._effort
        alone = Plan(0.0, effort.unloaded, 0.05, effort.deadline_s)
        beside = Plan(effort.warm_s, effort.loaded, 0.1, effort.deadline_s)
        # Uploads in tunnels only: Squid cuts plain ones that it cannot pass on fast enough.
        streams = [
            Stream((SHAPER, FIRST_PORT), way, up=way == "up", connect=way == "up" or n % 2 == 0)
            for way in ("down", "up")
            for n in range(8)
        ]
        origin = [sys.executable, str(_SMALL), "origin", str(TLS_PORT), str(self._certificate)]
        unloaded: list[float | None] = []
        loaded: list[float | None] = []

        def run() -> Measured:
            with self._client(alone) as client:
                unloaded.extend(_printed(client))
            with self._client(beside) as client:
                traffic = Traffic(self._network, streams)
                measured = traffic.run(
                    effort.warm_s, beside.ends_after_s, needed=lambda: client.poll() is None
                )
                loaded.extend(_printed(client))
                return measured

        with processes.running(namespaces.inside(self._network.origin, origin), self._cores[1]):
            self._run(peer, [GateJob("job", FIRST_PORT)], run)
        return Delay(unloaded, loaded, effort.deadline_s)

    def _client(self, plan: Plan) -> subprocess.Popen[str]:
        proxy = (SHAPER, str(FIRST_PORT), _NAME, str(TLS_PORT), str(self._authority))
        command = [sys.executable, str(_SMALL), "client", *proxy, *plan.arguments()]
        inside = namespaces.inside(self._network.client, command)
        return subprocess.Popen(inside, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _total(case: Case, way: str, measured: Measured) -> Total:
    group = f"{case.name} {way}"
    arrivals = measured.groups.get(group, Arrivals())
    count = round((measured.until - measured.started_at) / BIN_S)
    series = binned(arrivals, measured.started_at, BIN_S, count) if case.name == DRAWN else []
    return Total(
        f"{case.name}, {way}" if len(case.ways) > 1 else case.name,
        case.rate,
        rate_between(arrivals, measured.since, measured.until),
        worst_window_bytes(arrivals, WINDOW_S),
        measured.broken[group],
        series,
    )


def _printed(client: subprocess.Popen[str]) -> list[float | None]:
    out, _ = client.communicate()
    took: list[float | None] = json.loads(out)
    return took


def _seconds(taken: Sequence[float | None]) -> list[float]:
    return [math.inf if took is None else took for took in taken]
