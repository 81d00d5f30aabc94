"""Does the gate lose, alter or keep anything under hours of mixed load on a bad network?

Makes three network namespaces (clients, gate, origin) with delay, loss and reordering
between them, runs `jobgate serve` with three jobs in the middle one and every kind of client and
origin around it: bulk with hashes at both ends, short tunnels, keep-alive, uploads,
half-closed tunnels, slow readers, websockets, refusals, names that fail, connections
that break in every order; now and then the origin's port is reset. The log is rotated all
the time, and the policy is changed: a job added and removed, rates raised and lowered, a
name denied and allowed again, a file that is broken. With --upgrades a new process takes the
gate over now and then, while the old one drains. At the end the gate is stopped while
downloads are under way.

    python benchmarks/soak.py MINUTES [--changes SECONDS] [--upgrades SECONDS] [--json FILE] [--markdown FILE]

Needs root, ip, nft and /dev/net/tun. Ends by itself some two minutes after MINUTES; exit code 1 if
anything was wrong. Nothing leaves its namespaces.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the soak and print its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", type=float, metavar="MINUTES", help="how long the load lasts; 1 at least")
    parser.add_argument(
        "--changes",
        type=float,
        metavar="SECONDS",
        default=7.0,
        help="change the policy so often (7); 0: never",
    )
    parser.add_argument(
        "--upgrades", type=float, metavar="SECONDS", default=0.0, help="replace the process so often (never)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure and sample there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    options = parser.parse_args()
    if not 1 <= options.minutes <= 10_000:
        parser.error("MINUTES is a number from 1 to 10000")
    sys.path[1:1] = [str(_ROOT / "src"), str(_ROOT / "tests")]  # the fake name server and the links are there
    from namespaces import NetworkError
    from soak_run import Plan, run

    try:
        return run(Plan(options.minutes, options.changes, options.upgrades, options.json, options.markdown))
    except NetworkError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
