"""Reads the decision log of a soak: one close line for each decision, which the policy of its moment made."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime

from soak_names import DOMAIN, REVOCABLE
from soak_policy import EXTRA, Change, Policy

#: What a reload revokes is closed by then, and the reload itself is done.
_SOON_S = 5.0
#: A process that drains is told of a reload, and reads the file then.
FOLLOWS_S = 2.0

Line = dict[str, str]


class LogCheck:
    """Takes the log line by line; what is finished is forgotten.

    Args:
        follows_s: So long after a reload another process may still decide as before.

    Attributes:
        decisions: How many there were.
        reasons: Of the close lines.
        events: How many lines there were of everything else.
        problems: What must not be.
    """

    def __init__(self, *, follows_s: float = 0.0) -> None:
        self.decisions = 0
        self.reasons: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.problems: list[str] = []
        self._open: dict[str, Line] = {}
        self._follows_s = follows_s
        self._policy = self._before = Policy()
        self._since = 0.0
        self._written: deque[tuple[float, Change]] = deque()
        self._revoked: set[str] = set()
        self._revoked_by = 0.0

    @property
    def unfinished(self) -> int:
        """Decisions without a close line so far."""
        return len(self._open)

    def expect(self, at: float, change: Change) -> None:
        """Take note that from this time on (seconds since the epoch) another file could be read."""
        self._written.append((at, change))

    def read(self, lines: Iterable[str]) -> None:
        """Take lines, in the order they were written."""
        for text in lines:
            try:
                line = json.loads(text)
                self._take(line["event"], line, datetime.fromisoformat(line["ts"]).timestamp())
            except (ValueError, KeyError, TypeError) as error:
                self._problem(f"not a line of the log ({error!r}): {text[:200]!r}")

    def _take(self, event: str, line: Line, at: float) -> None:
        self._check_time(at)
        if event == "decision":
            self.decisions += 1
            if line["id"] in self._open:
                self._problem(f"two decision lines: {line}")
            self._open[line["id"]] = line
            if not any(_is_decided_by(policy, line) for policy in self._in_force(at)):
                self._problem(f"not what the policy says: {line}")
        elif event == "close":
            self._close(line, at)
        else:
            word = f"{event}: {line['action']}" if event == "policy" else event
            self.events[word] += 1
            if word in ("policy: reload", "policy: keep"):
                self._reloaded(at, kept=word == "policy: keep")
            elif word not in ("ready", "policy: weaken"):
                self._problem(f"unexpected: {line}")

    def _close(self, line: Line, at: float) -> None:
        self.reasons[line["reason"]] += 1
        decision = self._open.pop(line["id"], None)
        if decision is None:
            self._problem(f"a close line without a decision line, or two: {line}")
        elif line["reason"] == "revoked" and all(
            _is_allowed(policy, decision) for policy in self._in_force(at)
        ):
            self._problem(f"revoked without a reason: {decision}")
        if line["reason"] == "internal":
            self._problem(f"a defect of the gate: {line}")

    def _in_force(self, at: float) -> list[Policy]:
        """The policies that may have decided then: several between the writing and the reload."""
        before = [self._before] if at <= self._since + self._follows_s else []
        return [*before, self._policy, *(change.policy for since, change in self._written if at >= since)]

    def _reloaded(self, at: float, *, kept: bool) -> None:
        """Forget what was in force before; what the new policy refuses must end soon."""
        while self._written and at >= self._written[0][0]:
            _, change = self._written.popleft()
            self._before, self._policy, self._since = self._policy, change.policy, at
            if change.is_broken != kept:
                self._problem(f"{change.name}: the gate {'kept the old' if kept else 'took the new'} policy")
        self._revoked = {id for id, line in self._open.items() if not _is_allowed(self._policy, line)}
        self._revoked_by = at + _SOON_S

    def _check_time(self, at: float) -> None:
        if self._revoked and at > self._revoked_by:
            for id in self._revoked & self._open.keys():
                self._problem(f"not revoked: {self._open[id]}")
            self._revoked = set()
        if self._written and at > self._written[0][0] + _SOON_S:
            self._problem(f"a policy was not loaded: {self._written.popleft()[1]}")

    def _problem(self, text: str) -> None:
        if len(self.problems) < 50:
            self.problems.append(text)


def _is_allowed(policy: Policy, decision: Line) -> bool:
    """Whether a policy says nothing against a request."""
    if decision["job"] == EXTRA.name and not policy.has_extra:
        return False
    return not (policy.denies and (decision["host"] or "").startswith(f"{REVOCABLE}-"))


def _is_decided_by(policy: Policy, decision: Line) -> bool:
    """Whether a decision may be one of this policy."""
    if not _is_allowed(policy, decision):
        return decision["decision"] == "deny"
    return decision["reason"] != "denied" or decision["host"] == f"denied.{DOMAIN}"
