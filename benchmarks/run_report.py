"""The results of ``run.py`` as Markdown: versions, tables, budgets, and who is ahead of the gate."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peers import ENVOY, GATE, PROXY_PY, SQUID, TINYPROXY, TINYPROXY_SILENT, TINYPROXY_SYSLOG, Peer
from run_budgets import Budget, budgets, median
from run_measures import IDLE_TUNNELS, RATE_PER_S, Sample
from run_start import LIBRARIES, Start

#: Figure to title; of those that end so, more is better.
FIGURES = {
    "connect_us": "CPU µs per CONNECT + 1 kB GET",
    "get_us": "CPU µs per keep-alive GET of 1 kB",
    "get_16k_us": "CPU µs per keep-alive GET of 16 kB",
    "cpu_s_per_gb": "CPU s per GB, one tunnel",
    "gb_per_s": "GB/s, one tunnel",
    "connects_per_s": "CONNECT/s, 16 at a time",
    "gets_per_s": "GET/s, 32 connections",
    "rate_per_s": f"done/s of {RATE_PER_S:.0f} CONNECT/s",
    "rate_p50_ms": "… p50, ms",
    "rate_p99_ms": "… p99, ms",
    "added_connect_us": "added to one CONNECT + GET alone, µs",
    "added_get_us": "added to one keep-alive GET alone, µs",
    "rss_idle_mb": "RSS idle, MB",
    "rss_first_mb": "RSS after first requests, MB",
    "rss_tunnels_mb": f"RSS with {IDLE_TUNNELS} idle tunnels, MB",
    "ready_ms": "ms to ready",
    "restarts_per_s": "restarts/s",
}
_MORE_IS_BETTER = "_per_s"
_RIVALS = (SQUID, TINYPROXY, TINYPROXY_SYSLOG, TINYPROXY_SILENT, ENVOY, PROXY_PY)


@dataclass(slots=True)
class Result:
    """Everything that came of a run.

    Attributes:
        where: Machine and versions.
        samples: By proxy, one of each round.
        missing: By proxy, why there is none, or none any more.
        start: What starting takes.
    """

    where: dict[str, str]
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    start: Start | None = None

    @property
    def budgets(self) -> list[Budget]:
        """Each budget with what came of it."""
        return budgets(self.samples, self.start)


def machine(peers: Iterable[Peer] = ()) -> dict[str, str]:
    """Say where figures come from, and the versions of these proxies."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    described = {"cpu": model, "cores": str(os.cpu_count()), "kernel": _number(platform.release())}
    described["python"] = platform.python_version()
    described["load average at the start"] = f"{os.getloadavg()[0]:.1f}"
    for peer in peers:
        if peer.path is not None and (version := _version(peer, peer.path)) not in described.values():
            described[peer.name] = version
    return described


def _version(peer: Peer, path: str) -> str:
    """Return the number alone; Envoy's stands between a hash and what it was built as."""
    done = subprocess.run(peer.version(path), capture_output=True, text=True, env=peer.environment, cwd="/")
    return _number(done.stdout + done.stderr)


def _number(text: str) -> str:
    """Return the version in a text; a kernel's says behind it whose machine it was built for."""
    found = re.search(r"\b\d+(\.\d+)+\b", text)
    return found[0] if found else "of unknown version"


def report(result: Result) -> str:
    """Write all of it."""
    parts = [
        "; ".join(f"{name}: {value}" for name, value in result.where.items()),
        table(result.samples, result.missing),
        *([starts(result.start)] if result.start else []),
        "\n".join(budget.line() for budget in result.budgets),
        ahead(result.samples),
    ]
    return "\n\n".join(part for part in parts if part)


def table(samples: Mapping[str, Sequence[Sample]], missing: Mapping[str, str]) -> str:
    """Write medians with the lowest and the highest value."""
    lines = ["| | " + " | ".join(samples) + " |", "|---|" + "---|" * len(samples)]
    for figure, title in FIGURES.items():
        cells = [_cell(rounds, figure, name in missing) for name, rounds in samples.items()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{name} is missing: {reason}." for name, reason in missing.items())]
    return "\n".join(lines).rstrip()


def _cell(rounds: Sequence[Sample], figure: str, is_missing: bool) -> str:
    values = [value for sample in rounds if (value := getattr(sample, figure)) is not None]
    if not values:
        return "missing" if is_missing else "–"
    middle = statistics.median(values)
    if len(values) == 1:
        return shown(middle)
    return f"{shown(middle)} ({shown(min(values))}–{shown(max(values))})"


def shown(value: float) -> str:
    """Write a figure with about three digits."""
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def starts(start: Start) -> str:
    """Write what starting takes."""
    return "\n".join(
        [
            "| | ms | RSS, MB |",
            "|---|---|---|",
            f"| `python -c pass` | {start.python_ms:.0f} | |",
            f"| `jobgate run true` | {start.run_true_ms:.0f} | |",
            f"| bare import of {LIBRARIES} | {start.import_ms:.0f} | {start.import_mb:.1f} |",
            f"| `jobgate sidecar`: ready; RSS after its first resolved request"
            f" | {start.sidecar_ms:.0f} | {start.sidecar_mb:.1f} |",
        ]
    )


def ahead(samples: Mapping[str, Sequence[Sample]]) -> str:
    """Say of each figure which proxies are ahead of the gate, and how far."""
    lines = []
    for figure, title in FIGURES.items():
        own = median(samples, GATE.name, figure)
        if not own:
            continue
        better: list[str] = []
        for peer in _RIVALS:
            other = median(samples, peer.name, figure)
            if other and (other > own if figure.endswith(_MORE_IS_BETTER) else other < own):
                better.append(f"{peer.name} {other / own:.2f} ×")
        if better:
            lines.append(f"- {title}: {', '.join(better)}")
    return "\n".join(["Ahead of the gate, as a multiple of its figure:", "", *lines]) if lines else ""
