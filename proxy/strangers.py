"""How many connections there are whose job is not known yet, by where they come from. Pure."""

from __future__ import annotations

from .peer import Origin


class Strangers:
    """Counts, with a bound for each origin, so that one of them cannot take the place of all."""

    def __init__(self) -> None:
        self._counts: dict[Origin, int] = {}
        self._in_all = 0

    def __len__(self) -> int:
        return self._in_all

    def enter(self, origin: Origin, *, each: int, in_all: int) -> bool:
        """Count one more; ``False`` where there is no room for it.

        Args:
            origin: Where it comes from.
            each: The most of one origin.
            in_all: The most of all origins together.
        """
        count = self._counts.get(origin, 0)
        if count >= each or self._in_all >= in_all:
            return False
        self._counts[origin] = count + 1
        self._in_all += 1
        return True

    def leave(self, origin: Origin) -> None:
        """Count one less: it has a job now, or has ended."""
        left = self._counts.pop(origin) - 1
        if left:
            self._counts[origin] = left
        self._in_all -= 1
