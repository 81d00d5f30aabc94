"""How exactly, how fairly and how cheaply does the gate limit, beside ``tc`` and ``delay_pools``?

Makes three network namespaces (clients, shaper, origin) and puts into the middle one, in turn: the
gate; Squid behind `tc tbf rate 10mbit burst 32kbit latency 10sec` on both interfaces; Squid
with `delay_pools`. Measures the total of many connections, the share of each, and what a small
request waits for. Then counts what the gate takes for hundreds of limited jobs, beside a bare
rate-limited splice loop.

    python benchmarks/rate.py [--quick] [--only shape|cost] [--json FILE] [--plots FOLDER] [--show]

Needs root, ip and /dev/net/tun; what else is missing (squid, tc) is reported as missing. Takes 12
minutes, with --quick 4. Nothing leaves its namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import peers
import processes
import rate_cost
import rate_shape
from namespaces import NetworkError
from rate_network import ADDRESSES, SHAPER, rate_network
from rate_peers import FIRST_PORT, GATE, PEERS, TLS_PORT, GateJob, gate_configuration, squid_configuration
from rate_report import aims, cost_tables, shape_tables
from rate_streams import ORIGIN_PORT
from run_report import machine

_QUICK = rate_shape.Effort(1.5, 3.0, 2.0, 5.0, 20, 30, 10.0)
_SIZES, _QUICK_SIZES = (100, 300, 600), (100, 300)
_COST_S, _QUICK_COST_S = 5.0, 2.0


def show() -> None:
    """Print the configurations."""
    folder = Path("FOLDER")
    for peer in PEERS:
        print(f"--- {peer.name}")
        if peer is GATE:
            jobs, ports = [GateJob("job", FIRST_PORT)], (ORIGIN_PORT, TLS_PORT)
            print(gate_configuration(folder, jobs, address=SHAPER, hosts=ADDRESSES, ports=ports))
            continue
        print(squid_configuration(peer, folder, SHAPER))
        if peer.discipline:
            print(f"on both interfaces: tc qdisc add dev DEVICE root {' '.join(peer.discipline)}\n")


def _measure(
    options: argparse.Namespace, folder: Path
) -> tuple[list[rate_shape.ShapeResult], rate_cost.CostResult | None]:
    """Ask what the options say."""
    cores = processes.two_cores()
    os.sched_setaffinity(0, {cores[1]})
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s: {text}", file=sys.stderr, flush=True)

    shapes: list[rate_shape.ShapeResult] = []
    costs = None
    with rate_network() as network:
        if options.only != "cost":
            effort = _QUICK if options.quick else rate_shape.Effort()
            shape = rate_shape.Bench(network, folder, cores, effort, say)
            shapes = [shape.ask(peer) for peer in PEERS]
        if options.only != "shape":
            seconds = _QUICK_COST_S if options.quick else _COST_S
            with network.inside(network.shaper):
                cost = rate_cost.Bench(folder, cores, seconds)
                costs = rate_cost.measure(cost, _QUICK_SIZES if options.quick else _SIZES, say)
                cost.close()
    return shapes, costs


def main() -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="little of everything: a check, no figures")
    parser.add_argument("--only", choices=("shape", "cost"), help="one half alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw SVG files there (matplotlib)")
    parser.add_argument("--show", action="store_true", help="print the configurations and stop")
    options = parser.parse_args()
    if options.show:
        show()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the namespaces are removed
    where = machine([peers.GATE, peers.SQUID])
    with tempfile.TemporaryDirectory(prefix="jobgate-rate-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Squid leaves root's identity
        try:
            shapes, costs = _measure(options, folder)
        except NetworkError as error:
            print(f"rate: {error}", file=sys.stderr)
            return 2
    print("\n".join(f"{name}: {value}" for name, value in where.items()), end="\n\n")
    if shapes:
        print(shape_tables(shapes), end="\n\n")
    if costs:
        print(cost_tables(costs), end="\n\n")
    print(aims(shapes, costs))
    if options.json:
        found = {"machine": where, "shapes": [asdict(s) for s in shapes], "costs": costs and asdict(costs)}
        options.json.write_text(json.dumps(found, indent=1))
    if options.plots and shapes:
        from rate_plots import draw

        draw(shapes, options.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
