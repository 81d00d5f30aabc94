"""A list of another system as an allow list of ours: what was taken, what it means now, what was refused.

Pure. Whoever reads the list decides about each entry; here it is written down, as TOML
to load and as a report to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from jobgate.config.host import Name
from jobgate.config.pattern import HostPattern
from jobgate.config.rule import Rule, quoted
from jobgate.config.rules import RuleSet

MAX_SHOWN_CHARS = 100
#: Whoever has such a list takes jobs that use it. A gate has this without a word, admission has not.
NETWORKS = 'networks = ["none", "http"]'


class Source(NamedTuple):
    """An entry as it was found.

    Attributes:
        place: File and line, or file and index: ``regex.lst:3``.
    """

    place: str
    text: str

    def __str__(self) -> str:
        is_plain = self.text.isprintable() and "'" not in self.text and len(self.text) <= MAX_SHOWN_CHARS
        shown = f"'{self.text}'" if is_plain else quoted(self.text)
        return f"{_on_one_line(self.place)} {shown}"


class Taken(NamedTuple):
    """An entry that means something here.

    Attributes:
        changes: What it means that it did not mean there, or no longer means.
    """

    source: Source
    entry: Rule | HostPattern
    changes: tuple[str, ...] = ()


class Refused(NamedTuple):
    """An entry that is left out.

    Attributes:
        problem: Why, and how to write what was probably meant.
    """

    source: Source
    problem: str


@dataclass(slots=True)
class Allowlist:
    """A list that was imported.

    Attributes:
        notes: What is different for all entries.
    """

    taken: list[Taken] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def add(self, outcomes: Iterable[Taken | Refused]) -> None:
        """Add entries; a repetition of one that was taken is dropped."""
        known = {taken.entry for taken in self.taken}
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self.refused.append(outcome)
            elif outcome.entry not in known:
                known.add(outcome.entry)
                self.taken.append(outcome)

    def rules(self) -> RuleSet:
        """The list to match with."""
        entries = [taken.entry for taken in self.taken]
        return RuleSet(
            (entry for entry in entries if isinstance(entry, Rule)),
            (entry for entry in entries if isinstance(entry, HostPattern)),
        )


def as_toml(imported: Allowlist, title: str) -> str:
    """Write a list as the node's allow list of a configuration file, for jobs of network ``http``."""
    lines = [f"# {_on_one_line(title)}", "[node]", NETWORKS, "allow = ["]
    for source, entry, changes in imported.taken:
        if isinstance(entry, HostPattern):
            value, remarks = f"'{entry}'", ("a regular expression, which only this list may have", *changes)
        else:
            value, remarks = f'"{entry}"', changes
        remark = f"  # {source}: {'; '.join(remarks)}" if remarks else ""
        lines.append(f"    {value},{remark}")
    lines += [f"    # refused: {source}: {problem}" for source, problem in imported.refused]
    if not imported.taken:
        lines.append("    # nothing: no job may reach anything")
    return "\n".join([*lines, "]"])


def as_report(imported: Allowlist) -> list[str]:
    """Say what became of a list, a line each: changes, expressions, addresses, refusals, notes."""
    patterns = [taken for taken in imported.taken if isinstance(taken.entry, HostPattern)]
    lines = [
        f"{len(imported.taken)} entries taken, {len(patterns)} of them as regular expressions; "
        f"{len(imported.refused)} refused"
    ]
    for source, entry, changes in imported.taken:
        lines += [f"changed: {source} is {_shown(entry)}: {change}" for change in changes]
    lines += [
        f"expression: {source} is {_shown(entry)}: no name or suffix says the same"
        for source, entry, _ in patterns
    ]
    lines += [
        f"address: {source}: only for requests that name the address itself"
        for source, entry, _ in imported.taken
        if isinstance(entry, Rule) and not isinstance(entry.host, Name)
    ]
    lines += [f"refused: {source}: {problem}" for source, problem in imported.refused]
    return lines + [f"note: {note}" for note in imported.notes]


def _on_one_line(text: str) -> str:
    """A text with the names of files, which may have any character, line breaks too."""
    return text if text.isprintable() else quoted(text)


def _shown(entry: Rule | HostPattern) -> str:
    return quoted(str(entry)) if isinstance(entry, Rule) else f"'{entry}'"
