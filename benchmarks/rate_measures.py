"""What is computed from arrivals: rates, windows, shares, percentiles. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When how many bytes came; seconds and bytes."""

    times: array[float] = field(default_factory=lambda: array("d"))
    sizes: array[int] = field(default_factory=lambda: array("q"))

    def add(self, at: float, size: int) -> None:
        """Note one arrival."""
        self.times.append(at)
        self.sizes.append(size)

    def ordered(self) -> Arrivals:
        """Return the same in the order of time."""
        places = sorted(range(len(self.times)), key=self.times.__getitem__)
        times = array("d", (self.times[n] for n in places))
        return Arrivals(times, array("q", (self.sizes[n] for n in places)))


def rate_between(arrivals: Arrivals, since: float, until: float) -> float:
    """Return what came in a window, its end not included, in bytes/s."""
    pairs = zip(arrivals.times, arrivals.sizes, strict=True)
    return sum(size for at, size in pairs if since <= at < until) / (until - since)


def worst_window_bytes(arrivals: Arrivals, width_s: float) -> int:
    """Return the most bytes that came in any closed window of this width."""
    in_order = arrivals.ordered()
    times, sizes = in_order.times, in_order.sizes
    worst = inside = oldest = 0
    for newest, at in enumerate(times):
        inside += sizes[newest]
        while times[oldest] < at - width_s:
            inside -= sizes[oldest]
            oldest += 1
        worst = max(worst, inside)
    return worst


def binned(arrivals: Arrivals, start: float, width_s: float, count: int) -> list[float]:
    """Return the bytes/s of ``count`` consecutive bins from ``start`` on."""
    bins = [0] * count
    for at, size in zip(arrivals.times, arrivals.sizes, strict=True):
        number = math.floor((at - start) / width_s)
        if 0 <= number < count:
            bins[number] += size
    return [total / width_s for total in bins]


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index: 1 when all shares are equal, 1/n when one has everything; NaN without any.

    Source: Jain, Chiu, Hawe, "A Quantitative Measure of Fairness", DEC TR-301, 1984.
    """
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank).

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
