"""The plot of ``run.py``: one panel for each question, the gate in another colour."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from peers import GATE
from run_measures import RATE_PER_S, Sample
from run_report import FIGURES, shown

#: Blue for the gate, grey for all others (Okabe and Ito: distinct for every kind of colour vision).
_GATE, _OTHERS = "#0072B2", "#999999"
_PANELS = (
    ("connect_us", "get_us", "get_16k_us"),
    ("cpu_s_per_gb", "rate_p99_ms", "added_connect_us"),
    ("rss_idle_mb", "rss_tunnels_mb", "ready_ms"),
)

#: Where the table's title leans on the row above it, or is too long.
_TITLES = {
    "rate_p99_ms": f"p99 at {RATE_PER_S:.0f} CONNECT/s, ms",
    "added_connect_us": "µs added to one CONNECT + GET",
    "rss_tunnels_mb": "RSS with idle tunnels, MB",
}


def draw(samples: Mapping[str, Sequence[Sample]], file: Path) -> None:
    """Write the plot, as SVG or PNG by the name of the file; bars are medians, lines lowest to highest."""
    file.parent.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg" if file.suffix == ".png" else "svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "jobgate", "font.size": 8})
    figure, axes = plt.subplots(len(_PANELS), len(_PANELS[0]), figsize=(10, 7), layout="constrained")
    for panels, row in zip(axes, _PANELS, strict=True):
        for panel, name in zip(panels, row, strict=True):
            _bars(panel, samples, name)
    metadata = {"Date": None} if file.suffix == ".svg" else None
    figure.savefig(file, metadata=metadata, dpi=120)
    plt.close(figure)
    if file.suffix == ".svg":  # a hundredth of a point exactly, and no more: half of the file is digits
        file.write_text(re.sub(r"(\d+\.\d\d)\d+", r"\1", file.read_text()))


def _bars(panel: Axes, samples: Mapping[str, Sequence[Sample]], figure: str) -> None:
    found = {
        name: [value for sample in rounds if (value := getattr(sample, figure)) is not None]
        for name, rounds in samples.items()
    }
    known = {name: values for name, values in reversed(found.items()) if values}
    middles = [statistics.median(values) for values in known.values()]
    below = [middle - min(values) for middle, values in zip(middles, known.values(), strict=True)]
    above = [max(values) - middle for middle, values in zip(middles, known.values(), strict=True)]
    colours = [_GATE if name.startswith(GATE.name) else _OTHERS for name in known]
    bars = panel.barh(list(known), middles, color=colours, xerr=[below, above], error_kw={"linewidth": 0.8})
    panel.bar_label(bars, labels=[f" {shown(middle)}" for middle in middles], padding=2)
    panel.set_title(_TITLES.get(figure, FIGURES[figure]))
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.18)
