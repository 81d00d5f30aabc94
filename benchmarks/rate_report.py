"""The results of ``rate.py`` as Markdown: tables, and each aim with what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rate_cost import GATE, LOOP, Cost, CostResult
from rate_measures import percentile
from rate_peers import MBIT
from rate_shape import Delay, ShapeResult, Total, bound_bytes

_EXACT, _EXACT_FAST, _FAST = 0.01, 0.02, 500 * MBIT
_FAIR = 0.98
_SMALL_P99_MS = 50.0
_RATIO = 1.6
_JOBS = 300
_LAG_MS = 50.0


def shape_tables(results: Sequence[ShapeResult]) -> str:
    """Write how exact, how fair and how quick each shaper was."""
    return "\n\n".join([_totals(results), _others(results)])


def _totals(results: Sequence[ShapeResult]) -> str:
    lines = ["| | connections | allowed, Mbit/s | measured | deviation | worst 100 ms, kB | cut |"]
    lines.append("|---|---|---|---|---|---|---|")
    for result in results:
        if result.missing:
            lines.append(f"| {result.name} | missing: {', '.join(result.missing)} | | | | | |")
        lines += [_total(result.name, total) for total in result.totals]
    return "\n".join(lines)


def _total(name: str, total: Total) -> str:
    cells = [
        name,
        total.case,
        f"{total.rate / MBIT:g}",
        f"{total.measured / MBIT:.4g}",
        f"{total.deviation:+.2%}",
        f"{total.worst_bytes / 1e3:.0f} of {bound_bytes(total.rate) / 1e3:.0f}",
        str(total.broken or ""),
    ]
    return f"| {' | '.join(cells)} |"


def _others(results: Sequence[ShapeResult]) -> str:
    present = [result for result in results if not result.missing]
    lines = ["| | " + " | ".join(result.name for result in present) + " |", "|---|" + "---|" * len(present)]
    rows = [
        ("Jain index of 64 downloads", [_fairness(result) for result in present]),
        ("small request alone, p50", [_alone(result, 0.5) for result in present]),
        ("… p99", [_alone(result, 0.99) for result in present]),
        ("added beside bulk, p50", [_added(result, 0.5) for result in present]),
        ("… p99", [_added(result, 0.99) for result in present]),
    ]
    lines += [f"| {title} | {' | '.join(cells)} |" for title, cells in rows]
    return "\n".join(lines)


def _fairness(result: ShapeResult) -> str:
    return f"{result.fairness.index:.3f}" if result.fairness else ""


def _alone(result: ShapeResult, share: float) -> str:
    if result.delay is None:
        return ""
    taken = [math.inf if took is None else took for took in result.delay.unloaded]
    return _ms(percentile(taken, share), result.delay)


def _added(result: ShapeResult, share: float) -> str:
    return _ms(percentile(result.delay.added_s(), share), result.delay) if result.delay else ""


def _ms(seconds: float, delay: Delay) -> str:
    return f"over {delay.deadline_s:.0f} s" if math.isinf(seconds) else f"{seconds * 1e3:.1f} ms"


def cost_tables(result: CostResult) -> str:
    """Write what limiting costs."""
    lines = ["| jobs × tunnels | bare splice loop | gate | ratio | slowest job | fastest job |"]
    lines.append("|---|---|---|---|---|---|")
    for gate in (cost for cost in result.costs if cost.name == GATE):
        loop = next(cost for cost in result.costs if cost.name == LOOP and cost.load == gate.load)
        cells = [
            f"{gate.load.jobs} × {gate.load.tunnels}",
            _cost(loop),
            _cost(gate),
            f"{result.ratio(gate.load):.2f}",
            f"{gate.slowest:.2%}",
            f"{gate.fastest:.2%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    text = ["\n".join(lines)]
    if result.largest:
        best = result.largest
        text.append(
            f"Most jobs at 10 Mbit/s within 2 % at 80 % of a core: {best.load.jobs}"
            f" ({best.core:.0%}, the slowest gets {best.slowest:.1%})."
        )
    if result.many:
        text.append(
            f"1000 jobs at 2 Mbit/s: {result.many.core:.0%} of a core, a timer is late by"
            f" {result.many.lag_p99_ms:.1f} ms (p99)."
        )
    text += [
        f"{idle.jobs} idle job{'s' if idle.jobs > 1 else ''}: {idle.core:.2%} of a core,"
        f" {idle.wakeups_per_s:.1f} wake-ups per second."
        for idle in result.idle
    ]
    return "\n\n".join(text)


def _cost(cost: Cost) -> str:
    return f"{cost.core:.1%}, {cost.per_job:.3f} % a job, {cost.us_per_chunk:.1f} µs per 32 KiB"


def aims(shapes: Sequence[ShapeResult], costs: CostResult | None) -> str:
    """Say of each aim whether the gate has met it."""
    gate = next((shape for shape in shapes if shape.name == GATE and not shape.missing), None)
    found = [*(_shape_aims(gate) if gate else ()), *(_cost_aims(costs) if costs else ())]
    return "\n".join(f"- {'met' if met else '**MISSED**'}: {text}" for text, met in found)


def _shape_aims(gate: ShapeResult) -> Iterator[tuple[str, bool]]:
    for total in gate.totals:
        most = _EXACT_FAST if total.rate > _FAST else _EXACT
        yield f"{total.case}: within {most:.0%}: {total.deviation:+.2%}", abs(total.deviation) <= most
        worst, bound = total.worst_bytes, bound_bytes(total.rate)
        yield f"{total.case}: at most {bound / 1e3:.0f} kB in 100 ms: {worst / 1e3:.0f}", worst <= bound
    if gate.fairness:
        yield f"Jain ≥ {_FAIR}: {gate.fairness.index:.3f}", gate.fairness.index >= _FAIR
    if gate.delay:
        added_ms = percentile(gate.delay.added_s(), 0.99) * 1e3
        yield f"small request, p99 ≤ {_SMALL_P99_MS:.0f} ms: {added_ms:.1f} ms", added_ms <= _SMALL_P99_MS


def _cost_aims(costs: CostResult) -> Iterator[tuple[str, bool]]:
    for cost in costs.costs:
        if cost.name == GATE:
            ratio = costs.ratio(cost.load)
            yield f"{cost.load.jobs} × {cost.load.tunnels}: ratio ≤ {_RATIO}: {ratio:.2f}", ratio <= _RATIO
    jobs = costs.largest.load.jobs if costs.largest else 0
    yield f"≥ {_JOBS} jobs at 80 % of a core: {jobs}", jobs >= _JOBS
    if costs.many:
        lag_ms = costs.many.lag_p99_ms
        yield f"1000 jobs at 2 Mbit/s: lag p99 ≤ {_LAG_MS:.0f} ms: {lag_ms:.1f} ms", lag_ms <= _LAG_MS
