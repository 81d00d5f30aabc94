"""What a soak found: its figures, its verdict, its tables."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from soak_breaks import SILENT
from soak_gate import Sample
from soak_load import PASSING_LOAD, REVOCABLE_LOAD
from soak_policy import CHANGES

#: The last quarter against the second one, by their medians: what still counts as flat, besides
#: what the samples of the second quarter differ by (their interquartile range).
RSS_SHARE, RSS_KIB = 0.05, 2048
DESCRIPTORS_SHARE, DESCRIPTORS = 0.25, 15
#: A pool of threads grows to its size, once.
THREADS = 2
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
        events: Other lines of the log.
        changes: Of the policy, by name.
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
    events: dict[str, int]
    changes: dict[str, int]
    log_problems: list[str]
    rotations: int
    upgrades: int
    old_exit_codes: list[int | None]
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
    tree = Path(__file__).resolve().parent
    described = subprocess.run(
        ["git", "-C", str(tree), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return (
        f"{when}, commit {described.stdout.strip() or 'unknown'}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {model.partition(': ')[2]}"
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
    if any(result.old_exit_codes):
        found.append(f"processes that were taken over from ended with {result.old_exit_codes}")
    if None in result.old_exit_codes:
        found.append("a process that was taken over from has not ended")
    if result.stderr:
        found.append(f"the gate wrote to standard error: {result.stderr[-3000:]}")
    return found + _unnoticed(result) + _growth(result)


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
    if quarter < 2:
        return ["too few samples"]
    figures: list[tuple[str, Callable[[Sample], int], float, int]] = [
        ("resident memory (KiB)", lambda sample: sample.rss_kib, RSS_SHARE, RSS_KIB),
        ("open descriptors", lambda sample: sample.descriptors, DESCRIPTORS_SHARE, DESCRIPTORS),
        ("threads", lambda sample: sample.threads, 0.0, THREADS),
    ]
    for what, value, share, slack in figures:
        before, after = list(map(value, second)), statistics.median(map(value, last))
        low, middle, high = statistics.quantiles(before, n=4, method="inclusive")
        if after > middle * (1 + share) + slack + (high - low):
            found.append(f"{what} grew from {middle:.0f} to {after:.0f}")
    if result.kept:
        found.append(f"sockets left without a client: {result.kept}")
    return found


def _unnoticed(result: Result) -> list[str]:
    """List what changes of the policy did not lead to, and what clients saw and the log did not."""
    found = []
    if result.tally and len(result.changes) == len({change.name for change in CHANGES}):
        for kind, words in (
            (REVOCABLE_LOAD, ("denied", "revoked")),
            (PASSING_LOAD, ("no job", "job removed")),
        ):
            tally = result.tally[kind]
            missing = [word for word in words if not tally["intended"].get(word)]
            if missing or not tally["ok"]:
                found.append(f"{kind}: {tally['ok']} ok, and never {' or '.join(missing) or 'otherwise'}")
    cut = sum(
        tally["intended"].get(word, 0)
        for tally in result.tally.values()
        for word in ("revoked", "job removed")
    )
    if cut > result.reasons.get("revoked", 0):
        found.append(
            f"{cut} clients were cut off, and {result.reasons.get('revoked', 0)} tunnels were revoked"
        )
    return found


def tables(result: Result, found: list[str]) -> str:
    """Write everything as Markdown."""
    used_s = result.samples[-1].cpu_s - result.first.cpu_s if result.samples else 0.0
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
        f"Rotations with SIGHUP: {result.rotations}. Take-overs: {result.upgrades}. "
        f"Times that a port was reset: {result.resets}. CPU of the last process: {used_s:.1f} s.",
        f"Changes of the policy: {_listed(result.changes)}.",
        f"Ends: {_listed(result.reasons)}.",
        f"Other lines of the log: {_listed(result.events)}.",
        f"Exit code after SIGTERM: {result.exit_code}.",
        "",
        f"**Passed**: {not found}".replace("True", "yes").replace("False", "no"),
        *(f"- {text}" for text in found),
    ]
    return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(counts.items())) or "none"


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
