"""Sets of ports, as ``connect_ports`` and ``http_ports`` list them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .host import HostError, parse_port


@dataclass(frozen=True, slots=True)
class Ports:
    """An immutable set of ports, kept as disjoint ascending ranges."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str | int]) -> Ports:
        """Read ports (``443``, ``"443"``) and inclusive ranges (``"1024-65535"``).

        Raises:
            ValueError: An entry that is neither; the message says how to write it, without quoting it.
        """
        return cls(_merge(_parse_range(entry) for entry in entries))

    def __contains__(self, port: object) -> bool:
        if isinstance(port, int):
            for low, high in self.ranges:  # a loop is twice as fast as any(); every request passes here
                if low <= port <= high:
                    return True
        return False

    def __or__(self, other: Ports) -> Ports:
        return Ports(_merge(self.ranges + other.ranges))

    def __str__(self) -> str:
        return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in self.ranges)


def _merge(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _parse_range(entry: str | int) -> tuple[int, int]:
    # bool is an int to Python, not to the person who wrote it.
    if isinstance(entry, bool) or not isinstance(entry, int | str):
        raise ValueError(_FORM)
    if isinstance(entry, int):
        if not 1 <= entry <= 65535:
            raise ValueError(_FORM)
        return entry, entry
    low_text, dash, high_text = entry.partition("-")
    try:
        low = parse_port(low_text.encode())
        high = parse_port(high_text.encode()) if dash else low
    except HostError:
        raise ValueError(_FORM) from None
    if low > high:
        raise ValueError(f'the smaller port comes first: write "{high}-{low}"')
    return low, high


_FORM = 'write a port from 1 to 65535 (443) or a range ("1024-65535")'

#: CONNECT without a port in the rule: HTTPS only.
DEFAULT_CONNECT_PORTS = Ports(((443, 443),))
#: Plain HTTP without a port in the rule: the well-known port and all unprivileged ones.
DEFAULT_HTTP_PORTS = Ports(((80, 80), (1024, 65535)))
