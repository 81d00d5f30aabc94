"""The set of rules of a list, looked up by label.

Look-up walks the labels of the host, so its cost does not depend on the number of
rules. A port-less rule leaves the port to whoever decides; ``x:8443`` opens that
port alone. Patterns, which only a node's allow list has, are asked last, and only those
whose literal tail the host ends in.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from .host import Address, Host, Name
from .pattern import HostPattern
from .ports import DEFAULT_CONNECT_PORTS, DEFAULT_HTTP_PORTS
from .rule import Rule, RuleError, parse_rule, quoted

__all__ = ["DEFAULT_PORTS", "NO_RULES", "Rule", "RuleError", "RuleErrors", "RuleSet", "parse_rule", "quoted"]

#: Ports that a port-less rule opens for CONNECT or for plain HTTP by default.
DEFAULT_PORTS = DEFAULT_CONNECT_PORTS | DEFAULT_HTTP_PORTS

# "example.com", ".example.com", or an address. A name never begins with a dot, so
# exact names and suffixes share one index.
_Key: TypeAlias = str | Address
_T = TypeVar("_T")


class RuleErrors(ValueError):
    """The entries of a list that are not rules.

    Args:
        errors: (index in the list, entry, what is wrong and how to write it).
    """

    def __init__(self, errors: Iterable[tuple[int, str, str]]) -> None:
        self.errors = list(errors)
        super().__init__(
            "\n".join(f"[{index}] {quoted(entry)}: {what}" for index, entry, what in self.errors)
        )


class RuleSet:
    """An immutable set of rules without redundant ones.

    Rules that another one with the same port (or both without) already covers are
    dropped: ``[y.foo.com, .foo.com, foo.com]`` is ``[.foo.com]``. A rule with a port
    stays beside a port-less one, because it opens its port whatever the port sets say.
    To iterate is to go through ``rules``; ``patterns`` are apart.
    """

    __slots__ = ("_any_port", "_by_port", "_by_tail", "_with_port", "patterns", "rules")

    def __init__(self, rules: Iterable[Rule] = (), patterns: Iterable[HostPattern] = ()) -> None:
        #: The rules that are left, in the order given.
        self.rules = _reduce(rules)
        self._any_port: dict[_Key, Rule] = {}
        self._with_port: dict[_Key, Rule] = {}
        self._by_port: dict[int, dict[_Key, Rule]] = {}
        for rule in self.rules:
            key = _key(rule)
            if rule.port is None:
                self._any_port[key] = rule
            else:
                self._by_port.setdefault(rule.port, {})[key] = rule
                self._with_port.setdefault(key, rule)
        #: The patterns that no suffix rule covers.
        self.patterns = tuple(
            pattern
            for pattern in dict.fromkeys(patterns)
            if _find(self._any_port, pattern.tail, below=True) is None
        )
        self._by_tail: dict[str, list[HostPattern]] = {}
        for pattern in self.patterns:
            self._by_tail.setdefault(pattern.tail, []).append(pattern)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> RuleSet:
        """Read a list of entries.

        Raises:
            RuleErrors: All entries that are not rules.
        """
        rules: list[Rule] = []
        errors: list[tuple[int, str, str]] = []
        for index, entry in enumerate(entries):
            try:
                rules.append(parse_rule(entry))
            except RuleError as error:
                errors.append((index, entry, str(error)))
        if errors:
            raise RuleErrors(errors)
        return cls(rules)

    def match(self, host: Host, port: int) -> Rule | HostPattern | None:
        """Find the rule for a host on a port.

        A rule with exactly this port comes before a port-less one, then the most
        specific host wins; a pattern comes last. A port-less rule is returned for *any* port: in an allow
        list the caller still asks the port set, in a deny list it denies every port.
        """
        by_port = self._by_port.get(port)
        if by_port is not None:
            rule = _find(by_port, host)
            if rule is not None:
                return rule
        rule = _find(self._any_port, host)
        if rule is None and self.patterns:
            return self._match_pattern(host)
        return rule

    def match_any_port(self, host: Host) -> Rule | HostPattern | None:
        """Find a rule for the host on whatever port: tells ``port`` from ``not-listed``."""
        return _find(self._any_port, host) or self._match_pattern(host) or _find(self._with_port, host)

    def _match_pattern(self, host: Host) -> HostPattern | None:
        """Find the pattern for a name, by the labels it ends in; an address has none."""
        if not self.patterns or not isinstance(host, Name):
            return None
        start = 0
        while start >= 0:
            tail = host[start + 1 :] if start else str(host)
            for pattern in self._by_tail.get(tail, ()):
                if pattern.matches(host):
                    return pattern
            start = host.find(".", start + 1)
        return None

    def covers(self, other: RuleSet | Rule | HostPattern, ports: Container[int] = DEFAULT_PORTS) -> bool:
        """Say whether every request that ``other`` lets pass could pass this set, too."""
        return not self.uncovered(other, ports)

    def uncovered(
        self, other: RuleSet | Rule | HostPattern, ports: Container[int] = DEFAULT_PORTS
    ) -> list[Rule | HostPattern]:
        """List the rules of ``other`` that no rule of this set covers.

        ``.x`` covers ``.x``, ``x``, ``a.x`` and ``.a.x``; ``x`` covers ``x`` alone. A
        port-less rule is covered by a port-less one. ``x:8443`` is covered by a rule
        with that port, or by a port-less one when 8443 is in ``ports``. A pattern covers
        the names it matches, never a suffix, and is covered by itself or by the suffix it
        ends in; whether it lies within another pattern is not worked out.

        Args:
            other: A set or a single rule.
            ports: What a port-less rule of this set opens, for either kind of request.
        """
        rules: tuple[Rule | HostPattern, ...]
        rules = (*other.rules, *other.patterns) if isinstance(other, RuleSet) else (other,)
        return [rule for rule in rules if not self._covers_rule(rule, ports)]

    def _covers_rule(self, rule: Rule | HostPattern, ports: Container[int]) -> bool:
        if isinstance(rule, HostPattern):
            return rule in self.patterns or _find(self._any_port, rule.tail, below=True) is not None
        if rule.port is not None:
            if _find(self._by_port.get(rule.port, {}), rule.host, below=rule.suffix) is not None:
                return True
            if rule.port not in ports:
                return False
        if _find(self._any_port, rule.host, below=rule.suffix) is not None:
            return True
        return not rule.suffix and self._match_pattern(rule.host) is not None

    def entries(self) -> list[str]:
        """Write all entries, the patterns with their mark."""
        return [str(entry) for entry in (*self.rules, *self.patterns)]

    def __contains__(self, rule: object) -> bool:
        if not isinstance(rule, Rule):
            return False
        index = self._any_port if rule.port is None else self._by_port.get(rule.port, {})
        return index.get(_key(rule)) == rule

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules) + len(self.patterns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RuleSet):
            return NotImplemented
        return set(self.rules) == set(other.rules) and set(self.patterns) == set(other.patterns)

    def __hash__(self) -> int:
        return hash((frozenset(self.rules), frozenset(self.patterns)))

    def __repr__(self) -> str:
        shown = ", ".join(self.entries()[:10])
        more = f", ... {len(self)} rules" if len(self) > 10 else ""
        return f"RuleSet([{shown}{more}])"


def _key(rule: Rule) -> _Key:
    if isinstance(rule.host, Name):
        return f".{rule.host}" if rule.suffix else str(rule.host)
    return rule.host


def _find(index: Mapping[_Key, _T], host: Host, *, below: bool = False) -> _T | None:
    """Find the most specific entry that covers a host.

    Args:
        index: Entries by key.
        host: An address is only ever found as itself.
        below: Cover all names below the host as well: suffix entries only.
    """
    if not index:
        return None
    if not isinstance(host, Name):
        return index.get(host)
    dotted = f".{host}"
    found = None if below else index.get(dotted[1:])
    dot = 0
    while found is None and dot >= 0:
        found = index.get(dotted[dot:])
        dot = dotted.find(".", dot + 1)
    return found


def _reduce(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Drop repetitions, and rules below a suffix rule with the same port."""
    unique = tuple(dict.fromkeys(rules))
    suffixes: dict[int | None, dict[_Key, Rule]] = {}
    for rule in unique:
        if rule.suffix:
            suffixes.setdefault(rule.port, {})[_key(rule)] = rule
    return tuple(rule for rule in unique if not _is_redundant(rule, suffixes.get(rule.port, {})))


def _is_redundant(rule: Rule, suffixes: Mapping[_Key, Rule]) -> bool:
    if not isinstance(rule.host, Name):
        return False
    if not rule.suffix:
        return _find(suffixes, rule.host) is not None
    _, _, parent = rule.host.partition(".")
    return _find(suffixes, Name(parent), below=True) is not None


#: The empty list: allows nothing, denies nothing.
NO_RULES = RuleSet()
