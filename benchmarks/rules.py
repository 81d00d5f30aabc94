"""Does the cost of a look-up depend on the number of rules?

Checks ``RuleSet.match`` against a linear scan, then times it for 10, 1 000 and
100 000 rules: a listed name, a stranger, and a name with many labels. Also the time
to build the set and its memory.

    python benchmarks/rules.py [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobgate.config.host import Name
from jobgate.config.rules import Rule, RuleSet

SIZES = (10, 1_000, 100_000)
REPEATS = 7
LOOKUPS = 20_000
#: As deep as a name of 253 octets gets with short labels.
DEEP_LABELS = 60


@dataclass(frozen=True, slots=True)
class Result:
    """One size: medians over ``REPEATS`` runs; spread is (max - min) / median of ``hit_ns``."""

    rules: int
    hit_ns: float
    miss_ns: float
    deep_hit_ns: float
    deep_miss_ns: float
    spread: float
    build_us_per_rule: float
    bytes_per_rule: float


def make_rules(count: int) -> list[Rule]:
    """Make rules of every kind: two thirds names, one third suffixes, one in ten with a port."""
    return [
        Rule(Name(f"host{n}.zone{n % 97}.example"), n % 3 == 0, 8443 if n % 10 == 9 else None)
        for n in range(count)
    ]


def covers(rule: Rule, host: Name, port: int) -> bool:
    """Say what a rule means, by comparison."""
    if rule.port not in (None, port):
        return False
    return rule.host == host or (rule.suffix and host.endswith(f".{rule.host}"))


def check(rules: Sequence[Rule], table: RuleSet) -> None:
    """Compare some look-ups with a linear scan.

    Raises:
        SystemExit: They differ.
    """
    step = max(1, len(rules) // 20)
    hosts = [Name(f"{prefix}{rule.host}") for rule in rules[::step] for prefix in ("", "a.b.", "x")]
    for host in hosts:
        for port in (443, 8443):
            expected = any(covers(rule, host, port) for rule in rules)
            if (table.match(host, port) is not None) != expected:
                raise SystemExit(f"wrong: {host}:{port} of {len(rules)} rules")


def time_match(table: RuleSet, hosts: Sequence[Name]) -> list[float]:
    """Time look-ups of the hosts in turn; nanoseconds for one, per repetition."""
    match = table.match
    rounds = max(1, LOOKUPS // len(hosts))
    times: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter_ns()
        for _ in range(rounds):
            for host in hosts:
                match(host, 443)
        times.append((time.perf_counter_ns() - start) / (rounds * len(hosts)))
    return times


def measure(count: int) -> Result:
    """Build, check and time a set of ``count`` rules."""
    rules = make_rules(count)
    tracemalloc.start()
    table = RuleSet(rules)
    size_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    start = time.perf_counter_ns()
    table = RuleSet(rules)
    build_ns = time.perf_counter_ns() - start
    check(rules, table)

    listed = [rule for rule in rules if rule.port is None]
    listed = listed[:: max(1, len(listed) // 1000)]
    suffixes = [rule for rule in listed if rule.suffix]
    deep = "a." * DEEP_LABELS
    hit = time_match(table, [Name(rule.host) for rule in listed])
    miss = time_match(table, [Name(f"x{rule.host}") for rule in listed])
    deep_hit = time_match(table, [Name(f"{deep}{rule.host}") for rule in suffixes])
    deep_miss = time_match(table, [Name(f"{deep}x{rule.host}") for rule in suffixes])
    return Result(
        rules=count,
        hit_ns=statistics.median(hit),
        miss_ns=statistics.median(miss),
        deep_hit_ns=statistics.median(deep_hit),
        deep_miss_ns=statistics.median(deep_miss),
        spread=(max(hit) - min(hit)) / statistics.median(hit),
        build_us_per_rule=build_ns / count / 1000,
        bytes_per_rule=size_bytes / count,
    )


def print_table(results: Sequence[Result]) -> None:
    """Print one line per size."""
    print(f"{platform.machine()}, Python {platform.python_version()}, median of {REPEATS} runs, ns per match")
    print("   rules      hit     miss  deep hit  deep miss  spread  build us/rule  bytes/rule")
    for result in results:
        print(
            f"{result.rules:8} {result.hit_ns:8.0f} {result.miss_ns:8.0f} {result.deep_hit_ns:9.0f} "
            f"{result.deep_miss_ns:10.0f} {result.spread:6.0%} {result.build_us_per_rule:14.2f} "
            f"{result.bytes_per_rule:11.0f}"
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    results = [measure(count) for count in SIZES]
    if arguments.json:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "repeats": REPEATS}
        print(json.dumps(machine | {"results": [asdict(result) for result in results]}))
    else:
        print_table(results)


if __name__ == "__main__":
    main()
