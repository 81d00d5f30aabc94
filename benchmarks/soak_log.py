"""Reads the decision log of a soak: each decision line has exactly one close line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable


class LogCheck:
    """Takes the log line by line; what is finished is forgotten.

    Attributes:
        decisions: How many there were.
        reasons: Of the close lines.
        problems: What must not be.
    """

    def __init__(self) -> None:
        self.decisions = 0
        self.reasons: Counter[str] = Counter()
        self.problems: list[str] = []
        self._open: set[str] = set()

    @property
    def unfinished(self) -> int:
        """Decisions without a close line so far."""
        return len(self._open)

    def read(self, lines: Iterable[str]) -> None:
        """Take lines, in the order they were written."""
        for text in lines:
            try:
                line = json.loads(text)
                self._take(line["event"], line)
            except (ValueError, KeyError, TypeError) as error:
                self._problem(f"not a line of the log ({error!r}): {text[:200]!r}")

    def _take(self, event: str, line: dict[str, str]) -> None:
        if event == "decision":
            self.decisions += 1
            if line["id"] in self._open:
                self._problem(f"two decision lines: {line}")
            self._open.add(line["id"])
        elif event == "close":
            self.reasons[line["reason"]] += 1
            if line["id"] not in self._open:
                self._problem(f"a close line without a decision line, or two: {line}")
            self._open.discard(line["id"])
            if line["reason"] == "internal":
                self._problem(f"a defect of the gate: {line}")
        elif event != "ready":
            self._problem(f"unexpected: {line}")

    def _problem(self, text: str) -> None:
        if len(self.problems) < 50:
            self.problems.append(text)
