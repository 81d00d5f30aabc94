"""What does the gate cost, beside Squid and tinyproxy, in one run?

Starts an origin and each proxy in turn, the proxy alone on one core, load and origin on
another; checks that its answers are right; measures the proxy's CPU time.

    python benchmarks/run.py [--rounds N] [--quick] [--json] [--only NAME] [--show]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import load
import processes
from peers import ORIGIN, OUR_ENVIRONMENT, PEERS, PYTHON_PASS, RUN_TRUE, Peer

GB = 1e9
BIG_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Effort:
    """How much each measurement does: enough for some 100 ticks of 10 ms, or for a glance."""

    rounds: int
    tunnels: int
    requests_s: float
    downloads: int
    starts: int


FULL = Effort(rounds=5, tunnels=4000, requests_s=4.0, downloads=8, starts=15)
QUICK = Effort(rounds=1, tunnels=500, requests_s=1.0, downloads=2, starts=3)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one proxy."""

    connect_us: float
    get_us: float
    cpu_s_per_gb: float
    gb_per_s: float
    rss_idle_mb: float
    rss_first_mb: float
    ready_ms: float


COLUMNS = {
    "connect_us": "µs per CONNECT + 1 kB GET",
    "get_us": "µs per keep-alive GET of 1 kB",
    "cpu_s_per_gb": "CPU s per GB, one tunnel",
    "gb_per_s": "GB/s, one tunnel",
    "rss_idle_mb": "RSS idle, MB",
    "rss_first_mb": "RSS after first requests, MB",
    "ready_ms": "ms to ready",
}


def measure(peer: Peer, folder: Path, origin: int, effort: Effort, cores: tuple[int, int]) -> Sample:
    """Start a proxy, check it, load it, stop it."""
    port = _free_port()
    command = peer.prepare(folder, port, origin)
    started = time.perf_counter()
    with processes.running(command, cores[0], environment=peer.environment) as process:
        load.until_accepting(port)
        ready_s = time.perf_counter() - started
        rss_idle = processes.rss_bytes(process.pid)
        load.check(port, origin)
        rss_first = processes.rss_bytes(process.pid)

        before = processes.cpu_s(process.pid)
        load.tunnels(port, origin, effort.tunnels)
        connect_s = processes.cpu_s(process.pid) - before

        before = processes.cpu_s(process.pid)
        count = load.requests(port, origin, effort.requests_s, cores[1])
        get_s = processes.cpu_s(process.pid) - before

        before = processes.cpu_s(process.pid)
        wall_s = sum(load.bulk(port, origin, BIG_BYTES) for _ in range(effort.downloads))
        bulk_s = processes.cpu_s(process.pid) - before
    moved_gb = BIG_BYTES * effort.downloads / GB
    return Sample(
        connect_us=connect_s / effort.tunnels * 1e6,
        get_us=get_s / count * 1e6,
        cpu_s_per_gb=bulk_s / moved_gb,
        gb_per_s=moved_gb / wall_s,
        rss_idle_mb=rss_idle / 1e6,
        rss_first_mb=rss_first / 1e6,
        ready_ms=ready_s * 1e3,
    )


def measure_launcher(effort: Effort) -> dict[str, float]:
    """Return median milliseconds of ``jobgate run true`` and of an empty Python, taken in turn."""
    run_s: list[float] = []
    pass_s: list[float] = []
    for _ in range(effort.starts):
        pass_s.append(processes.wall_s(PYTHON_PASS))
        run_s.append(processes.wall_s(RUN_TRUE, OUR_ENVIRONMENT))
    run_ms, pass_ms = (statistics.median(values) * 1e3 for values in (run_s, pass_s))
    return {"jobgate run true, ms": run_ms, "python -c pass, ms": pass_ms, "difference, ms": run_ms - pass_ms}


def measure_all(peers: list[Peer], effort: Effort, cores: tuple[int, int]) -> dict[str, list[Sample]]:
    """Run all rounds; the order of the proxies is turned round each time."""
    os.sched_setaffinity(0, {cores[1]})
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    with tempfile.TemporaryDirectory(prefix="jobgate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        origin = _free_port()
        command = ORIGIN.prepare(folder / "origin", 0, origin)
        _publish(folder / "origin" / "www")
        with processes.running(command, cores[1]):
            load.until_accepting(origin)
            for number in range(effort.rounds):
                for peer in peers if number % 2 == 0 else reversed(peers):
                    place = folder / f"{peer.name}-{number}"
                    samples[peer.name].append(measure(peer, place, origin, effort, cores))
                    print(f"round {number + 1}/{effort.rounds}: {peer.name} done", file=sys.stderr)
    return samples


def _publish(folder: Path) -> None:
    folder.mkdir()
    (folder / load.SMALL.lstrip("/")).write_bytes(load.small_content())
    with (folder / load.BIG.lstrip("/")).open("wb") as big:
        big.truncate(BIG_BYTES)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def machine() -> dict[str, str]:
    """Say where the figures come from."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    described = {"cpu": model, "kernel": platform.release(), "python": platform.python_version()}
    described["load average at the start"] = f"{os.getloadavg()[0]:.1f}"
    for peer in [*PEERS, ORIGIN]:
        if peer.path is None:
            described[peer.name] = "missing"
            continue
        done = subprocess.run(peer.version(peer.path), capture_output=True, text=True, env=peer.environment)
        described[peer.name] = (done.stdout + done.stderr).strip().split("\n")[0]
    return described


def table(samples: dict[str, list[Sample]]) -> str:
    """Write medians with the lowest and the highest value, as Markdown."""
    lines = ["| | " + " | ".join(samples) + " |", "|---|" + "---|" * len(samples)]
    for column, title in COLUMNS.items():
        cells = [_cell([float(getattr(sample, column)) for sample in rounds]) for rounds in samples.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return "missing"
    middle = statistics.median(values)
    digits = 2 if middle < 10 else 0
    return f"{middle:.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, help="rounds, each proxy once (default 5, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="little work in each round: a check, no figures")
    parser.add_argument("--json", action="store_true", help="print every sample")
    parser.add_argument("--only", action="append", help="this proxy alone; may be repeated")
    parser.add_argument("--show", action="store_true", help="print the configurations and stop")
    options = parser.parse_args()
    if options.show:
        for peer in [*PEERS, ORIGIN]:
            print(f"--- {peer.name}\n{peer.configuration}")
        return
    effort = QUICK if options.quick else FULL
    if options.rounds:
        effort = Effort(options.rounds, effort.tunnels, effort.requests_s, effort.downloads, effort.starts)
    chosen = [peer for peer in PEERS if not options.only or peer.name in options.only]
    present = [peer for peer in chosen if peer.path is not None]
    where = machine()
    measured = measure_all(present, effort, processes.two_cores())
    samples = {peer.name: measured.get(peer.name, []) for peer in chosen}
    launcher = measure_launcher(effort)
    if options.json:
        result = {name: [asdict(sample) for sample in rounds] for name, rounds in samples.items()}
        print(json.dumps({"machine": where, "rounds": result, "launcher": launcher}, indent=1))
        return
    print("\n".join(f"{name}: {value}" for name, value in where.items()))
    print(f"\n{table(samples)}\n")
    print("\n".join(f"{name}: {value:.0f}" for name, value in launcher.items()))


if __name__ == "__main__":
    main()
