"""What a soak found: its figures, its verdict, its tables."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from soak_breaks import SILENT
from soak_gate import Sample

#: The last quarter against the second one: what still counts as flat.
RSS_SHARE, RSS_KIB = 0.05, 2048
DESCRIPTORS_SHARE, DESCRIPTORS = 0.25, 15
#: Of the turns of a kind: resets that got lost on the link, and names of which each query did.
SILENT_SHARE, LOST_QUERIES_SHARE, FEW = 0.05, 0.01, 3
_MAX_ROWS = 24


class Tally(TypedDict):
    """One kind of load, as ``soak_load`` tells it."""

    ok: int
    intended: dict[str, int]
    wrong: int
    messages: list[str]
    bytes_up: int
    bytes_down: int
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was seen.

    Attributes:
        first: Before the load.
        samples: While it ran.
        idle: After it, when clients were gone; ``None`` if it never came so far.
        kept: Sockets open then that were not before.
        exit_code: Of the gate, told to stop with downloads under way.
        decisions, unfinished: Decision lines, and those without a close line.
        reasons: Of close lines.
    """

    machine: str
    minutes: float
    tally: dict[str, Tally]
    first: Sample
    samples: list[Sample]
    idle: Sample | None
    kept: list[str]
    exit_code: int | None
    decisions: int
    unfinished: int
    reasons: dict[str, int]
    log_problems: list[str]
    rotations: int
    resets: int
    stderr: str

    def described(self) -> dict[str, object]:
        """Give all figures, for JSON."""
        return asdict(self)


def machine() -> str:
    """Say where the figures come from."""
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (
        f"{when}, Linux {platform.release()}, Python {platform.python_version()}, {model.partition(': ')[2]}"
    )


def problems(result: Result) -> list[str]:
    """List what must not be; empty when the soak was passed."""
    found = [f"log: {text}" for text in result.log_problems]
    if not result.tally:
        found.append("the load did not come to its end")
    for kind, tally in result.tally.items():
        found += _problems_of_kind(kind, tally)
    if result.unfinished:
        found.append(f"{result.unfinished} decision lines have no close line")
    if result.exit_code != 0:
        found.append(f"told to stop, the gate ended with {result.exit_code}")
    if result.stderr:
        found.append(f"the gate wrote to standard error: {result.stderr[-3000:]}")
    return found + _growth(result)


def _problems_of_kind(kind: str, tally: Tally) -> list[str]:
    found = [f"{kind}: {text}" for text in tally["messages"]]
    turns = tally["ok"] + tally["wrong"] + sum(tally["intended"].values())
    if tally["wrong"] > len(tally["messages"]):
        found.append(f"{kind}: {tally['wrong']} in all")
    if not turns:
        found.append(f"{kind}: never done")
    for word, share in ((SILENT, SILENT_SHARE), ("lost queries", LOST_QUERIES_SHARE)):
        if (count := tally["intended"].get(word, 0)) > FEW + share * turns:
            found.append(f"{kind}: {count} of {turns} {word}")
    return found


def _growth(result: Result) -> list[str]:
    """Compare the second quarter with the last, and the beginning with the end."""
    found = []
    quarter = len(result.samples) // 4
    second, last = result.samples[quarter : 2 * quarter], result.samples[-quarter:]
    if not quarter:
        return ["too few samples"]
    before, after = (_middle(samples, lambda sample: sample.rss_kib) for samples in (second, last))
    if after > before * (1 + RSS_SHARE) + RSS_KIB:
        found.append(f"resident memory grew from {before:.0f} to {after:.0f} KiB")
    before, after = (_middle(samples, lambda sample: sample.descriptors) for samples in (second, last))
    if after > before * (1 + DESCRIPTORS_SHARE) + DESCRIPTORS:
        found.append(f"open descriptors grew from {before:.0f} to {after:.0f}")
    if (more := max(sample.threads for sample in last)) > max(sample.threads for sample in second):
        found.append(f"threads grew to {more}")
    if result.kept:
        found.append(f"sockets left without a client: {result.kept}")
    return found


def _middle(samples: list[Sample], value: Callable[[Sample], int]) -> float:
    return statistics.median(map(value, samples))


def tables(result: Result, found: list[str]) -> str:
    """Write everything as Markdown."""
    used_s = result.samples[-1].cpu_s - result.first.cpu_s if result.samples else 0.0
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(result.reasons.items()))
    lines = [
        f"{result.minutes:g} minutes; {result.machine}.",
        "",
        "| load | ok | failed as intended | wrong | MB up | MB down | p50 s | p99 s |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(kind, tally) for kind, tally in result.tally.items()),
        "",
        "| s | RSS MB | descriptors | threads | CLOSE_WAIT | CPU s |",
        "|---|---|---|---|---|---|",
        *(_sample_row(str(sample.at_s), sample) for sample in [result.first, *_some(result.samples)]),
        *([] if result.idle is None else [_sample_row("load over", result.idle)]),
        "",
        f"Decision lines: {result.decisions}, without a close line: {result.unfinished}. "
        f"Rotations with SIGHUP: {result.rotations}. Times that a port was reset: {result.resets}. "
        f"CPU: {used_s:.1f} s.",
        f"Ends: {reasons}.",
        f"Exit code after SIGTERM: {result.exit_code}.",
        "",
        f"**Passed**: {not found}".replace("True", "yes").replace("False", "no"),
        *(f"- {text}" for text in found),
    ]
    return "\n".join(lines)


def _row(kind: str, tally: Tally) -> str:
    figures = (
        f"{tally['ok']} | {sum(tally['intended'].values())} | {tally['wrong']}",
        f"{tally['bytes_up'] / 1e6:.1f} | {tally['bytes_down'] / 1e6:.1f}",
        f"{tally['p50_s']:.3f} | {tally['p99_s']:.3f}",
    )
    return f"| {kind} | {' | '.join(figures)} |"


def _sample_row(when: str, sample: Sample) -> str:
    return (
        f"| {when} | {sample.rss_kib / 1024:.1f} | {sample.descriptors} | {sample.threads} "
        f"| {sample.close_waits} | {sample.cpu_s:.1f} |"
    )


def _some(samples: list[Sample]) -> list[Sample]:
    step = -(-len(samples) // _MAX_ROWS) or 1
    return samples[::step]
