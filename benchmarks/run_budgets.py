"""What the gate may cost, beside its peers in the same run: each budget with the ratio that came of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from peers import ENVOY, GATE, RELAY, SQUID, TINYPROXY, TINYPROXY_SILENT, TINYPROXY_SYSLOG, TWO_WORKERS
from run_measures import IDLE_TUNNELS, RATE_PER_S, Sample
from run_start import Start

Samples = Mapping[str, Sequence[Sample]]

_LAUNCHER_MS = 200.0
_SIDECAR_MB = 4.0
_IDLE_TUNNEL_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget.

    Attributes:
        text: What is compared, and with what.
        found: The gate's figure; ``None``: not measured.
        other: What it is compared with; ``None``: missing.
        most: ``found`` may be this many times ``other``.
    """

    text: str
    found: float | None
    other: float | None
    most: float = 1.0

    @property
    def ratio(self) -> float | None:
        """How many times the other it is."""
        return self.found / self.other if self.found is not None and self.other else None

    @property
    def is_met(self) -> bool | None:
        """Whether it is kept; ``None``: nobody knows."""
        return None if self.ratio is None else self.ratio <= self.most

    def line(self) -> str:
        """Say what came of it."""
        if self.ratio is None:
            return f"- not known: {self.text} (not measured, or the other is missing)"
        verdict = "met" if self.is_met else "**not met**"
        return f"- {verdict}: {self.text}: {self.ratio:.2f} × ({self.found:.4g} and {self.other:.4g})"


def median(samples: Samples, name: str, figure: str) -> float | None:
    """Return the median of a figure of one proxy, ``None`` where there is none."""
    values = [getattr(sample, figure) for sample in samples.get(name, ())]
    known = [float(value) for value in values if value is not None]
    return statistics.median(known) if known else None


def budgets(samples: Samples, start: Start | None) -> list[Budget]:
    """Compare everything that there is a budget for."""
    return [*_beside(samples), *_footprint(samples), *(_starts(start) if start else ())]


def _beside(samples: Samples) -> Iterator[Budget]:
    rows = [
        ("CPU per GB", "cpu_s_per_gb", ENVOY, 0.5),
        ("CPU per GB", "cpu_s_per_gb", RELAY, 1.3),
        ("CPU per CONNECT", "connect_us", TINYPROXY, 1.0),
        ("CPU per CONNECT", "connect_us", TINYPROXY_SYSLOG, 1.0),
        ("CPU per CONNECT", "connect_us", TINYPROXY_SILENT, 1.0),
        ("CPU per keep-alive GET of 1 kB", "get_us", ENVOY, 0.7),
        (f"p99 at {RATE_PER_S:.0f} CONNECT/s", "rate_p99_ms", SQUID, 1.0),
    ]
    for title, figure, peer, most in rows:
        found, other = median(samples, GATE.name, figure), median(samples, peer.name, figure)
        yield Budget(f"{title} ≤ {most:g} × {peer.name}", found, other, most)
    if samples.get(TWO_WORKERS.name):
        for title, figure in (("CONNECT", "connect_us"), ("keep-alive GET of 1 kB", "get_us")):
            found, other = median(samples, TWO_WORKERS.name, figure), median(samples, GATE.name, figure)
            yield Budget(f"CPU per {title} with 2 workers ≤ 1.1 × with 1", found, other, 1.1)


def _footprint(samples: Samples) -> Iterator[Budget]:
    first = median(samples, GATE.name, "rss_first_mb")
    full = median(samples, GATE.name, "rss_tunnels_mb")
    grown = None if first is None or full is None else (full - first) * 1e6 / IDLE_TUNNELS
    yield Budget(f"bytes resident per idle tunnel ≤ {_IDLE_TUNNEL_BYTES}", grown, _IDLE_TUNNEL_BYTES)


def _starts(start: Start) -> Iterator[Budget]:
    yield Budget(
        f"`jobgate run true`, ms ≤ `python -c pass` + {_LAUNCHER_MS:.0f}",
        start.run_true_ms,
        start.python_ms + _LAUNCHER_MS,
    )
    yield Budget("sidecar, ms to ready ≤ 1.5 × the bare import", start.sidecar_ms, start.import_ms, 1.5)
    yield Budget(
        f"sidecar, MB after its first resolved request ≤ the bare import + {_SIDECAR_MB:.0f}",
        start.sidecar_mb,
        start.import_mb + _SIDECAR_MB,
    )
