"""The smallest policy under which a job could have done what it did. Pure.

Exact names, in the words of the configuration; a suffix only where somebody asks for it:
nobody can tell from a name alone who else has names beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from jobgate.config.host import Name, parse_authority
from jobgate.config.policy import Tls
from jobgate.config.rule import Rule, parse_rule
from jobgate.config.rules import RuleSet
from jobgate.proxy.decision import Kind, Target, suggestion
from jobgate.proxy.errors import Reason
from jobgate.proxy.usage import Usage

#: Ports that an entry without a port opens for the kind that everybody uses there.
_KINDS = {443: Kind.CONNECT, 80: Kind.HTTP}


class Learned(NamedTuple):
    """What a job needs.

    Attributes:
        domains: Entries, reduced and in order; none: the job reached nothing.
        tls: ``any`` if it opened a tunnel that did not begin with TLS.
    """

    domains: tuple[str, ...]
    tls: Tls


def learn(usage: Usage, tls: Tls, *, suffixes: Iterable[Name] = ()) -> Learned:
    """Find the smallest policy from what passed, and from what would have been refused.

    What was refused in earnest (a deny list, an address) is not in it, nor what never connected.

    Args:
        usage: Of the job, in report mode or not.
        tls: As the job has it now.
        suffixes: Names below these are joined into one entry each: ``.example.com``.
    """
    known = {overlooked.authority for overlooked in usage.overlooked}
    entries = {_entry(authority, None) for authority in usage.reached if authority not in known}
    for overlooked in usage.overlooked:
        if overlooked.authority not in usage.reached and overlooked.reason != Reason.SNI.token:
            continue
        if overlooked.reason == Reason.NOT_TLS.token:
            tls = Tls.ANY
        entries.add(_entry(overlooked.authority, Kind(overlooked.kind)))
    parents = RuleSet.parse(f".{suffix}" for suffix in suffixes)
    needed = RuleSet(_widened(rule, parents) for rule in entries)
    return Learned(tuple(sorted(map(str, needed))), tls)


def as_toml(learned: Learned) -> str:
    """Write the keys of a ``[[job]]``."""
    lines = ['network = "http"', "domains = ["]
    lines += [f'    "{entry}",' for entry in learned.domains]
    lines.append("]")
    if learned.tls is Tls.ANY:
        lines.append('tls = "any"')
    return "\n".join(lines) + "\n"


def as_options(learned: Learned) -> str:
    """Write the options of ``run`` and ``sidecar``, for a shell."""
    words = [f"--domain {shlex.quote(entry)}" for entry in learned.domains]
    if learned.tls is Tls.ANY:
        words.append("--tls any")
    return " ".join(words)


def _entry(text: str, kind: Kind | None) -> Rule:
    """Write an authority as the narrowest entry; where the kind is not known, one that opens both."""
    host, port = parse_authority(text.encode("ascii"), None)
    kind = kind or _KINDS.get(port)
    if kind is None:
        return Rule(host, suffix=False, port=port)
    return parse_rule(suggestion(Target(kind, host, port)))


def _widened(rule: Rule, parents: RuleSet) -> Rule:
    parent = parents.match_any_port(rule.host)
    return replace(parent, port=rule.port) if isinstance(parent, Rule) else rule
