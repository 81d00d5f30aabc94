"""What the shapers are asked to limit: connections, directions, chunk sizes, rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rate_network import SHAPER
from rate_peers import MBIT, TEN_MBIT
from rate_streams import Stream

#: The case that is drawn.
DRAWN = "8 down"
_TINY_BYTES = 1000
#: What all connections with tiny chunks offer together.
_SURPLUS = 1.25


@dataclass(frozen=True, slots=True)
class Case:
    """A job and its connections.

    Attributes:
        name: For the table.
        ways: ``down``, ``up`` or both.
        connections: For each way; tunnels and plain HTTP in turn.
        chunk_bytes: Of sender and receiver.
        rate: Bytes/s.
    """

    name: str
    ways: tuple[str, ...]
    connections: int
    chunk_bytes: int = 1 << 16
    rate: float = TEN_MBIT

    def streams(self, port: int) -> Iterator[Stream]:
        """Describe its connections."""
        for way in self.ways:
            for number in range(self.connections):
                yield Stream(
                    (SHAPER, port),
                    f"{self.name} {way}",
                    up=way == "up",
                    connect=number % 2 == 0,
                    chunk_bytes=self.chunk_bytes,
                    offered=_SURPLUS * self.rate / self.connections
                    if self.chunk_bytes < _TINY_BYTES
                    else math.inf,
                )


_WAYS = {"down": ("down",), "up": ("up",), "both": ("down", "up")}
#: What every shaper is asked, each case alone.
COMMON = [
    Case(f"{n} {ways}", _WAYS[ways], n) for n, ways in ((1, "down"), (8, "down"), (64, "down"), (8, "both"))
]
#: What the gate is asked, the cases of a list at the same time.
GATE_CASES = [
    [Case(f"{n} {name}", ways, n) for n in (1, 3, 8, 64) for name, ways in _WAYS.items()],
    [
        Case("8, chunks of 1 B", _WAYS["both"], 8, 1, 0.064 * MBIT),
        Case("8, chunks of 100 B", _WAYS["both"], 8, 100, MBIT),
        Case("8, chunks of 1460 B", _WAYS["both"], 8, 1460),
        Case("8, chunks of 1 MiB", _WAYS["both"], 8, 1 << 20),
    ],
    [
        Case("8, 100 Mbit/s", _WAYS["both"], 8, rate=100 * MBIT),
        Case("8, 1 Gbit/s", _WAYS["both"], 8, 1 << 14, 1000 * MBIT),
    ],
]
