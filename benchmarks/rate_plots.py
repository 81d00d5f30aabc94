"""The plots of ``docs/rate.md``, as SVG; every shaper has its own colour in all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rate_peers import MBIT, TEN_MBIT
from rate_shape import BIN_S, ShapeResult

#: Distinct for every kind of colour vision (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73")
_SHOWN_S = 6.0
_RTT_SHADES = {0: 1.0, 20: 0.75, 80: 0.5, 200: 0.3}


def draw(results: Sequence[ShapeResult], folder: Path) -> list[Path]:
    """Write all plots; return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "jobgate", "font.size": 9})
    present = [result for result in results if not result.missing]
    drawn = {
        "rate-throughput.svg": _throughput(present),
        "rate-fairness.svg": _fairness(present),
        "rate-delay.svg": _delay(present),
    }
    for name, figure in drawn.items():
        figure.savefig(folder / name, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        _shorten(folder / name)
    return [folder / name for name in drawn]


def _shorten(file: Path) -> None:
    """Write a hundredth of a point exactly, and no more: half of the file is digits."""
    file.write_text(re.sub(r"(\d+\.\d\d)\d+", r"\1", file.read_text()))


def _panels(results: Sequence[ShapeResult], height: float, *, share_y: bool) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(
        1, len(results), figsize=(9, height), sharey=share_y, squeeze=False, layout="constrained"
    )
    panels = list(axes[0])
    for result, panel in zip(results, panels, strict=True):
        panel.set_title(result.name)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _throughput(results: Sequence[ShapeResult]) -> Figure:
    """Draw what arrived in each 100 ms of eight downloads, from their start."""
    figure, panels = _panels(results, 2.6, share_y=True)
    top = 3 * TEN_MBIT / MBIT
    for result, panel, colour in zip(results, panels, _COLOURS, strict=False):
        series = next((total.series for total in result.totals if total.series), [])
        rates = [rate / MBIT for rate in series[: round(_SHOWN_S / BIN_S)]]
        panel.axhline(TEN_MBIT / MBIT, color="#888888", linewidth=0.8, linestyle="--")
        panel.step([n * BIN_S for n in range(len(rates))], rates, where="post", color=colour, linewidth=1.2)
        panel.set_xlabel("seconds")
        panel.set_ylim(0, top)
        if rates and max(rates) > top:
            panel.annotate(f"peaks of {max(rates):.0f}", (0.98, 0.93), xycoords="axes fraction", ha="right")
    panels[0].set_ylabel("Mbit/s of eight downloads")
    return figure


def _fairness(results: Sequence[ShapeResult]) -> Figure:
    """Draw the share of each of 64 downloads, sorted by round-trip time, then by size."""
    figure, panels = _panels(results, 2.6, share_y=True)
    fair = TEN_MBIT / 64
    for result, panel, colour in zip(results, panels, _COLOURS, strict=False):
        if result.fairness is None:
            continue
        shares = sorted(zip(result.fairness.rtt_ms, result.fairness.shares, strict=True))
        for rtt, shade in _RTT_SHADES.items():
            places = [n for n, (of, _) in enumerate(shares) if of == rtt]
            heights = [shares[n][1] / fair for n in places]
            edges = [*places, places[-1] + 1]
            panel.stairs(heights, edges, fill=True, color=colour, alpha=shade, label=f"{rtt} ms")
        panel.axhline(1, color="#888888", linewidth=0.8, linestyle="--")
        panel.set_title(f"{result.name}: Jain {result.fairness.index:.3f}")
        panel.set_xticks([])
        panel.set_xlabel("64 downloads, by round-trip time")
        panel.legend(frameon=False, fontsize=7, ncols=4, loc="upper center", columnspacing=1, handlelength=1)
        panel.set_ylim(0, 2.5)
    panels[0].set_ylabel("share of 10 Mbit/s, fair = 1")
    return figure


def _delay(results: Sequence[ShapeResult]) -> Figure:
    """Draw how many small requests were done after which time; dotted: without bulk."""
    figure: Figure = plt.figure(figsize=(6, 2.8), layout="constrained")
    axes: Axes = figure.add_subplot()
    for result, colour in zip(results, _COLOURS, strict=False):
        if result.delay is None:
            continue
        for taken, style in ((result.delay.unloaded, ":"), (result.delay.loaded, "-")):
            done = sorted(took for took in taken if took is not None)
            shares = [(n + 1) / len(taken) for n in range(len(done))]
            label = result.name if style == "-" else None
            axes.step(done, shares, where="post", color=colour, linestyle=style, label=label)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlabel("seconds for CONNECT, TLS and 10 kB (dotted: without bulk)")
    axes.set_ylabel("share of requests done")
    axes.set_ylim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center", bbox_to_anchor=(0.5, 0.3))
    return figure
