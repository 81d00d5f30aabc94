"""How many instructions do the hot paths of the gate take? A figure that a busy machine hardly changes.

Runs `jobgate serve` under callgrind and sends, one at a time: tunnels with a GET of 1 kB, keep-alive GETs of
1 kB, and 256 KiB after 256 KiB through one tunnel. Without such steps it would depend on the machine how much
lies there at each turn, and so would the count. Each is done once without being counted, then three times.
Counted is what the process and its threads do in user space, interpreter and libraries included, and not what
the kernel does for them: fewer system calls show here, cheaper ones do not.

    python benchmarks/instructions.py [--json FILE]
    python benchmarks/instructions.py --compare OLD [NEW]    two commits; without NEW: OLD and these files

Needs valgrind. Takes half a minute for each version. Figures of different interpreters or libraries cannot be
compared: both versions run with the ones that run this.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import load_times
import processes
from instructions_origin import origin
from load_target import LARGE, LARGE_BYTES, LoadError, Target, check, is_accepting
from peers import GATE
from run_measures import free_port

_ROOT = Path(__file__).resolve().parent.parent
_TUNNELS, _GETS, _STEPS, _TIMES = 100, 200, 120, 3
_MB = 1e6
#: A program runs some fifty times slower under callgrind.
_START_S = 180.0


class CountError(Exception):
    """Nothing could be counted; the text says why."""


@dataclass(frozen=True, slots=True)
class Count:
    """Thousands of instructions of one hot path: each time it was done."""

    path: str
    thousands: list[float]

    @property
    def middle(self) -> float:
        """The median."""
        return statistics.median(self.thousands)

    @property
    def spread(self) -> float:
        """Between the lowest and the highest, as a share of the median."""
        return (max(self.thousands) - min(self.thousands)) / self.middle


def count(source: Path, core: int) -> list[Count]:
    """Count the hot paths of the gate whose packages are in a folder, on a core of its own.

    Raises:
        CountError: A program is missing, or the gate did not start.
        LoadError: An answer was wrong.
    """
    for program in ("valgrind", "callgrind_control"):
        if shutil.which(program) is None:
            raise CountError(f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="jobgate-count-") as name:
        folder = Path(name)
        target = Target([free_port()], free_port())
        with origin(target.origin), _gate(source, folder, target, core) as pid:
            check(target)
            kept, bulk = load_times.Kept(target), load_times.Kept(target, LARGE, is_tunnel=True)
            work: dict[str, tuple[int, float, Callable[[], object]]] = {
                "CONNECT + GET of 1 kB": (_TUNNELS, 1, lambda: load_times.in_a_tunnel(target)),
                "keep-alive GET of 1 kB": (_GETS, 1, kept.get),
                "MB through a tunnel": (_STEPS, LARGE_BYTES / _MB, bulk.get),
            }
            return [_path(title, *each, pid, folder) for title, each in work.items()]


def _path(title: str, often: int, size: float, work: Callable[[], object], pid: int, folder: Path) -> Count:
    """Do something without counting it, then some times; each time is so many of what the title says."""
    found = []
    for _ in range(1 + _TIMES):
        for _ in range(often):
            work()
        found.append(_counted(pid, folder) / (often * size) / 1e3)
    return Count(title, found[1:])


@contextlib.contextmanager
def _gate(source: Path, folder: Path, target: Target, core: int) -> Iterator[int]:
    """Run the gate under callgrind while the context is entered; give its process."""
    command = GATE.prepare(folder / "gate", target.ports, target.origin)
    # The order of sets and dictionaries of strings is part of what is counted.
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "0"}
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts"]
    output = folder / "output"
    with processes.running([*callgrind, *command], core, environment=environment, output=output) as process:
        deadline = time.monotonic() + _START_S
        while not is_accepting(target.ports[0]):
            if process.poll() is not None or time.monotonic() > deadline:
                raise CountError(f"the gate did not start: {output.read_text().strip()[-500:]}")
            time.sleep(0.1)
        yield process.pid


def _counted(pid: int, folder: Path) -> int:
    """Return the instructions since the last time this was called."""
    before = set(folder.glob("counts.*"))
    done = subprocess.run(["callgrind_control", "--dump", str(pid)], capture_output=True, text=True)
    dumps = set(folder.glob("counts.*")) - before
    found = [re.search(r"^summary: (\d+)$", dump.read_text(), re.MULTILINE) for dump in dumps]
    if len(found) != 1 or found[0] is None:
        raise CountError(f"callgrind gave no count: {(done.stdout + done.stderr).strip()[-500:]}")
    return int(found[0][1])


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Give a folder with the files of a commit while the context is entered.

    Raises:
        CountError: There is no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="jobgate-commit-") as name:
        folder = Path(name) / "tree"
        git = ["git", "-C", str(_ROOT), "worktree"]
        done = subprocess.run([*git, "add", "--detach", str(folder), commit], capture_output=True, text=True)
        if done.returncode:
            raise CountError(done.stderr.strip().splitlines()[-1])
        try:
            # Here, and not by the interpreter that is counted, which would take minutes.
            parts = [str(folder / part) for part in ("src", "config", "proxy", "ratelimit")]
            subprocess.run([sys.executable, "-m", "compileall", "-q", *parts], check=True)
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def count_commit(commit: str | None, core: int) -> list[Count]:
    """Count a commit, or the files that are here."""
    if commit is None:
        return count(_ROOT / "src", core)
    with checked_out(commit) as folder:
        return count(folder / "src", core)


def table(counts: list[Count]) -> str:
    """Write what was counted."""
    lines = ["| thousands of instructions per | | spread |", "|---|---|---|"]
    lines += [f"| {each.path} | {each.middle:.1f} | {each.spread:.1%} |" for each in counts]
    return "\n".join(lines)


def comparison(old: list[Count], new: list[Count], names: tuple[str, str]) -> str:
    """Write what was counted of two versions."""
    lines = [
        f"| thousands of instructions per | {names[0]} | {names[1]} | change | spread |",
        "|---|---|---|---|---|",
    ]
    for one, two in zip(old, new, strict=True):
        change, spread = two.middle / one.middle - 1, max(one.spread, two.spread)
        lines.append(f"| {one.path} | {one.middle:.1f} | {two.middle:.1f} | {change:+.1%} | {spread:.1%} |")
    return "\n".join(lines)


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every count there")
    parser.add_argument("--compare", nargs="+", metavar="COMMIT", help="one or two commits")
    options = parser.parse_args()
    commits: list[str | None] = [*(options.compare or ()), None][:2] if options.compare else [None]
    if options.compare and len(options.compare) > 2:
        parser.error("--compare takes one or two commits")
    gate_core, other_core = processes.two_cores()
    os.sched_setaffinity(0, {other_core})
    try:
        found = [count_commit(commit, gate_core) for commit in commits]
    except (CountError, LoadError) as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 1
    names = [commit or "these files" for commit in commits]
    print(table(found[0]) if len(found) == 1 else comparison(found[0], found[1], (names[0], names[1])))
    if options.json:
        versions = {
            name: [asdict(each) for each in counts] for name, counts in zip(names, found, strict=True)
        }
        options.json.write_text(json.dumps(versions, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
