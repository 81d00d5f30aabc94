"""Fuzz the parsers, one target after another: ``python tests/fuzz/run.py --minutes 10 [target ...]``.

Needs ``pip install -e '.[fuzz]'``: atheris, the project, and what its tests import. What is
learnt stays in the folder given: ``corpus/<target>`` is continued from next time,
``findings/<target>`` holds inputs that raised, hung or took too much memory. A target stops
at its first finding.
``--show FILE target`` runs one input alone. What was found becomes a seed in
``tests/fuzz/corpus``, which the ordinary tests run, together with its fix.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
TESTS = FOLDER.parent
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in FOLDER.glob("fuzz_*.py"))

#: Seconds for one input, resident memory, and size of an input in bytes; more is a finding.
INPUT_S = 10
RSS_MB = 1024
MAX_INPUT_BYTES = 16384

#: What targets import, some of it only at the first input that needs it: which would look like a finding.
NEEDED = ("aiohttp", "atheris", "dns", "h11", "httptools", "idna")

_PROGRESS = re.compile(r"^#([0-9]+)\s.*? cov: ([0-9]+) ", re.MULTILINE)
_DONE = re.compile(r"^Done ([0-9]+) runs", re.MULTILINE)
_ROW = "{:<10} {:>12} {:>8} {:>6} {:>9}\n"


class Figures(NamedTuple):
    """What became of one target."""

    executions: int
    seconds: float
    edges: int
    findings: int


def engine(name: str, folder: Path, options: list[str]) -> list[str]:
    """Return the command that runs a target under libFuzzer."""
    return [sys.executable, "-m", "fuzz.engine", name, str(folder / f"{name}.dict"), *options]


def environment() -> dict[str, str]:
    """Return variables under which the checkout itself is imported, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])}


def missing(modules: Sequence[str] = NEEDED) -> list[str]:
    """Name what is not installed."""
    return [module for module in modules if find_spec(module) is None]


def fuzz(name: str, seconds: int, folder: Path) -> Figures:
    """Fuzz one target for some seconds and read libFuzzer's own log."""
    corpus, findings = folder / "corpus" / name, folder / "findings" / name
    for made in (corpus, findings):
        made.mkdir(parents=True, exist_ok=True)
    before = len(list(findings.iterdir()))
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_S}",
        f"-rss_limit_mb={RSS_MB}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-artifact_prefix={findings}/",
        str(corpus),
        str(FOLDER / "corpus" / name),
    ]
    log_path = folder / f"{name}.log"
    began = time.monotonic()
    with log_path.open("w", encoding="utf-8") as log:
        command = engine(name, folder, options)
        ended = subprocess.run(command, stdout=log, stderr=log, env=environment(), check=False)
    text = log_path.read_text(encoding="utf-8", errors="replace")
    progress = _PROGRESS.findall(text) or [("0", "0")]
    done = _DONE.findall(text)
    found = len(list(findings.iterdir())) - before
    # A target that cannot even start is a finding, too.
    found += found == 0 and ended.returncode != 0
    executions = int(done[-1] if done else progress[-1][0])
    return Figures(executions, time.monotonic() - began, int(progress[-1][1]), found)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers, one target after another.")
    parser.add_argument(
        "targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; all if none is given"
    )
    parser.add_argument("--minutes", type=float, default=10, help="for each target")
    parser.add_argument(
        "--keep", type=Path, default=Path("build/fuzz"), help="where corpora, findings and logs go"
    )
    parser.add_argument("--show", type=Path, metavar="FILE", help="run the target over one input only")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown target: {', '.join(sorted(unknown))}")
    if absent := missing():
        parser.error(f"not installed: {', '.join(absent)}; run: pip install -e '.[fuzz]'")
    return given


def main() -> int:
    """Run, print the table; 1 if anything was found."""
    given = arguments()
    given.keep.mkdir(parents=True, exist_ok=True)
    folder = given.keep.resolve()
    targets = given.targets or TARGETS
    if given.show is not None:
        commands = [engine(name, folder, [str(given.show)]) for name in targets]
        return max(subprocess.run(command, env=environment(), check=False).returncode for command in commands)
    sys.stdout.write(_ROW.format("target", "executions", "exec/s", "edges", "findings"))
    findings = 0
    for name in targets:
        figures = fuzz(name, round(given.minutes * 60), folder)
        findings += figures.findings
        per_s = round(figures.executions / figures.seconds)
        sys.stdout.write(_ROW.format(name, figures.executions, per_s, figures.edges, figures.findings))
        sys.stdout.flush()
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
