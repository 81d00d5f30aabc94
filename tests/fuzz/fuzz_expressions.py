"""Regular expressions of other lists, one a line: what is taken, compared with the search it came from."""

from __future__ import annotations

import re

from jobgate.config.host import HostError, Name, parse_host
from jobgate.config.pattern import HostPattern, parse_pattern
from jobgate.config.rules import RuleSet
from jobgate.integrations.allowlist import Refused, Source
from jobgate.integrations.golem.expressions import translate

WORDS = (
    b"\n", b"^", b"$", b"\\.", b".*", b".+", b"(.*\\.)?", b"(^|\\.)", b"[a-z]", b"[^.]", b"{2}", b"|",
    b"\\d", b"\\D", b"(?:", b"(?i)", b"?", b"example\\.com$", b"\\.b\\.a$", b" ", b"#",
)  # fmt: skip

MAX_ENTRIES = 8
HOSTS = tuple(
    Name(host)
    for host in ("b.a", "x.b.a", "xb.a", "a.b.a", "x.a.b.a", "example.com", "a.example.com", "b.a.x")
)  # fmt: skip
#: Not the same for all engines: "possessive" to Python.
_TWICE = re.compile(r"[*+?}]\s*(?:#[^\n]*)?[*+{]")
#: Beyond, the search to compare with may take its time: it goes back.
MAX_COMPARED_CHARS = 40


def TestOneInput(data: bytes) -> None:
    """Translate each line; what comes out is a rule that lets no more pass."""
    for line in data.decode("utf-8", "replace").split("\n")[:MAX_ENTRIES]:
        outcome = translate(Source("x:1", line))
        if isinstance(outcome, Refused):
            assert len(outcome.problem.splitlines()) == 1, "a message of several lines"
            assert "\x1b" not in outcome.problem, "a message that a terminal would obey"
            continue
        if isinstance(outcome.entry, HostPattern):
            assert parse_pattern(str(outcome.entry)) == outcome.entry, "the round trip ends elsewhere"
            check(line, RuleSet((), [outcome.entry]), apex=None)
        else:
            apex = outcome.entry.host if outcome.entry.suffix else None
            check(line, RuleSet([outcome.entry]), apex if isinstance(apex, Name) else None)


def check(line: str, rules: RuleSet, apex: Name | None) -> None:
    """What passes, Golem's own search lets pass; the apex of a suffix is what is said to be added."""
    if len(line) > MAX_COMPARED_CHARS or not line.isascii() or line.count("*") + line.count("+") > 2:
        return
    if _TWICE.search(line):
        return
    try:
        search = re.compile(line.lower(), re.IGNORECASE | re.VERBOSE | re.ASCII).search
    except re.error:
        return  # of this engine: a comment that ends in a backslash, for one
    entry = [rule.host for rule in rules if isinstance(rule.host, Name)]
    for host in (*HOSTS, *entry, *(below(name) for name in entry)):
        if host == apex or rules.match(host, 443) is None:
            continue
        assert search(host) is not None, f"{host} passes"


def below(name: Name) -> Name:
    """A name below another one, where that is not too long."""
    try:
        host = parse_host(f"x.{name}".encode())
    except HostError:
        return name
    return host if isinstance(host, Name) else name
