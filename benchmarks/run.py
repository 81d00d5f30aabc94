"""What does the gate cost, beside Squid, tinyproxy, Envoy and proxy.py, in one run?

Starts an origin (nginx) and each proxy in turn, the proxy alone on one core, load and origin on another;
checks that its answers are right; measures the proxy's CPU time, its delay, its memory and its start. A bare
splice relay and the origin itself stand for what no proxy can do better.

    python benchmarks/run.py [--rounds N] [--quick] [--only NAME] [--also TITLE=PYTHON] [--show]
                             [--no-install] [--json FILE] [--markdown FILE] [--plot FILE]

Needs nginx and wrk; Envoy and proxy.py are installed by pip outside the tree; what else is missing is said
to be. Three rounds take about twelve minutes, --quick two.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

import peer_programs
import processes
import run_start
from installed import compile_checkout
from load_target import LoadError
from peers import DIRECT, ENVOY, ORIGIN, PEERS, PROXY_PY, TWO_WORKERS, Peer, find, gate_by, has_workers
from run_measures import FULL, QUICK, Effort, Round, check_log, origin
from run_report import Result, machine, report

_ROOT = Path(__file__).resolve().parent.parent
_BEGIN, _END = "<!-- result of run.py -->", "<!-- end of result -->"
_STARTS = 15


def absent(peers: Sequence[Peer], why_not_installed: str) -> dict[str, str]:
    """Return the proxies that cannot be measured, and why."""
    found = {peer.name: f"`{peer.program()}` is not installed" for peer in peers if peer.path is None}
    if why_not_installed:
        found |= {
            peer.name: f"{found[peer.name]} ({why_not_installed})"
            for peer in (ENVOY, PROXY_PY)
            if peer.name in found
        }
    if TWO_WORKERS in peers and not has_workers():
        found[TWO_WORKERS.name] = "this version has no `[listen] workers`"
    return found


def measure(peers: Sequence[Peer], result: Result, effort: Effort, starts: int) -> None:
    """Run all rounds; the order of the proxies is turned round each time."""
    cores = processes.two_cores()
    os.sched_setaffinity(0, {cores[1]})
    present = [peer for peer in peers if peer.name not in result.missing]
    result.samples = {name: [] for name in (*(peer.name for peer in peers), DIRECT)}
    with tempfile.TemporaryDirectory(prefix="jobgate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Squid leaves root's identity
        with origin(folder / "origin", cores[1]) as served:
            bench = Round(served, effort, cores)
            for number in range(effort.rounds):
                _round(bench, present if number % 2 == 0 else present[::-1], folder / str(number), result)
                print(f"round {number + 1}/{effort.rounds} done", file=sys.stderr)
            result.start = run_start.measure(folder / "start", served.port, starts, cores[0])


def _round(bench: Round, peers: Sequence[Peer], folder: Path, result: Result) -> None:
    """Measure each alone, then all in turn; remember why one is not there any more."""

    def failed(name: str, error: Exception) -> None:
        result.missing[name] = f"it failed: {error}"
        print(f"{name} failed: {error}", file=sys.stderr)

    alone: dict[str, dict[str, float]] = {DIRECT: {}}
    for peer in peers:
        if peer.name in result.missing:
            continue
        try:
            alone[peer.name] = bench.alone(peer, folder / f"alone-{quote(peer.name)}")
        except (LoadError, OSError) as error:
            failed(peer.name, error)
    with bench.together([peer for peer in peers if peer.name in alone], folder) as running:
        samples = bench.in_turn(running)
    for name, sample in samples.items():
        try:
            if isinstance(sample, LoadError):
                raise sample
            check_log(running[name].log)
        except LoadError as error:
            failed(name, error)
        else:
            result.samples[name].append(replace(sample, **alone[name]))


def link(file: Path, plot: Path) -> str:
    """Write how a report names its plot.

    Raises:
        ValueError: Only one of them is in this checkout: no link would hold elsewhere.
    """
    file, plot = file.resolve(), plot.resolve()
    if file.is_relative_to(_ROOT) != plot.is_relative_to(_ROOT):
        raise ValueError(f"{file} cannot link to {plot}: put both into {_ROOT}, or none")
    return quote(os.path.relpath(plot, file.parent))


def write_markdown(file: Path, text: str, plot: Path | None) -> None:
    """Write a report, with a link to its plot; in a file that has a place for it, only there."""
    if plot:
        text += f"\n\n![What the gate costs, beside the others]({link(file, plot)})"
    before, begin, rest = (file.read_text() if file.exists() else "").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    file.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}" if end else text + "\n")


def interpreter(text: str) -> Peer:
    """Read the gate by another interpreter, ``TITLE=PYTHON``."""
    title, _, python = text.partition("=")
    if not title or find(python) is None:
        raise argparse.ArgumentTypeError(f'"{text}": write TITLE=PYTHON, a Python with the gate\'s libraries')
    return gate_by(python, title)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="rounds, each proxy once (default 3, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="little work in each round: a check, no figures")
    parser.add_argument("--only", action="append", metavar="NAME", help="this proxy alone; may be repeated")
    parser.add_argument(
        "--also",
        action="append",
        type=interpreter,
        default=[],
        metavar="TITLE=PYTHON",
        help="the gate by another interpreter, too; may be repeated",
    )
    parser.add_argument("--show", action="store_true", help="print the configurations and stop")
    parser.add_argument("--no-install", action="store_true", help="do not install Envoy and proxy.py")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help=f"write the report there ({_BEGIN})")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw there, .svg or .png (matplotlib)")
    return parser.parse_args()


def main() -> int:
    """Run the benchmark, print its report; return the exit code."""
    options = arguments()
    known = [*PEERS[:1], *options.also, *PEERS[1:]]
    peers = [peer for peer in known if not options.only or peer.name in options.only]
    if options.show:
        print("\n".join(peer.shown() for peer in [*peers, ORIGIN]))
        return 0
    if unknown := set(options.only or ()) - {peer.name for peer in known}:
        print(f"run: no proxy is called {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    try:
        if options.plot:
            from run_plots import draw  # needs matplotlib
        if options.markdown and options.plot:
            link(options.markdown, options.plot)
    except (ImportError, ValueError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    if needed := [name for name, path in (("nginx", ORIGIN.path), ("wrk", shutil.which("wrk"))) if not path]:
        print(f"run: not installed, and needed: {', '.join(needed)}", file=sys.stderr)
        return 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for a thousand idle tunnels
    why_not = "" if options.no_install else peer_programs.install()
    compile_checkout()
    effort = QUICK if options.quick else FULL
    if options.rounds:
        effort = replace(effort, rounds=options.rounds)
    where = {**machine([*peers, ORIGIN]), "rounds": str(effort.rounds)}
    result = Result(where, missing=absent(peers, why_not))
    failed_before = set(result.missing)
    measure(peers, result, effort, 3 if options.quick else _STARTS)
    text = report(result)
    print(text)
    if options.markdown:
        write_markdown(options.markdown, text, options.plot)
    if options.json:
        options.json.write_text(json.dumps(described(result), indent=1, ensure_ascii=False))
    if options.plot:
        draw(result.samples, options.plot)
    return 1 if set(result.missing) - failed_before else 0


def described(result: Result) -> dict[str, object]:
    """Return everything, for JSON."""
    return {
        "machine": result.where,
        "rounds": {name: [asdict(each) for each in rounds] for name, rounds in result.samples.items()},
        "missing": result.missing,
        "start": asdict(result.start) if result.start else None,
        "budgets": [
            {**asdict(budget), "ratio": budget.ratio, "met": budget.is_met} for budget in result.budgets
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
