"""Lists of rules, one entry per line: what they cover, compared with looking at every rule."""

from __future__ import annotations

from collections.abc import Iterable

from jobgate.config.host import Host, HostError, Name, parse_host
from jobgate.config.rules import Rule, RuleError, RuleErrors, RuleSet, parse_rule

WORDS = (
    b"\n.", b"\n", b".example.com", b"example.com", b":443", b":8443", b"*.", b"https://", b"/",
    b"192.0.2.7", b"[2001:db8::1]", b"::1", b"xn--", b"\xc3\xa9", b"\xe3\x80\x82", b"\xef\xbd\x8f",
    b"\xc2\xad", b"\xe2\x80\x8d",
)  # fmt: skip

#: A list as long as this takes the slow look-up long enough.
MAX_ENTRIES = 24
PORTS = (80, 443, 8443)


def TestOneInput(data: bytes) -> None:
    """Read each line as a rule, and all good lines as a list."""
    entries = data.decode("utf-8", "replace").split("\n")[:MAX_ENTRIES]
    rules: list[Rule] = []
    bad: list[int] = []
    for index, entry in enumerate(entries):
        rule = rule_or_none(entry)
        if rule is None:
            bad.append(index)
        else:
            rules.append(rule)
    check_list(entries, rules, bad)
    check_matches(rules)


def rule_or_none(entry: str) -> Rule | None:
    """Read an entry; what comes out reads as itself, and what does not has a message of one line."""
    try:
        rule = parse_rule(entry)
    except RuleError as error:
        check_message(str(error))
        return None
    assert parse_rule(str(rule)) == rule, "the round trip ends elsewhere"
    assert str(rule).isascii(), "a rule is ASCII"
    assert isinstance(rule.host, Name) or not rule.suffix, "a suffix of an address"
    return rule


def check_message(message: str) -> None:
    """A message is one line that a terminal can show."""
    assert len(message.splitlines()) == 1, "a message of several lines"
    assert "\x1b" not in message, "a message that a terminal would obey"


def check_list(entries: list[str], rules: list[Rule], bad: list[int]) -> None:
    """A list is refused for its bad entries, all of them, and for nothing else."""
    try:
        found, blamed = RuleSet.parse(entries), []
    except RuleErrors as errors:
        found, blamed = None, [index for index, _, _ in errors.errors]
    assert blamed == bad, "other entries are blamed"
    assert found is None or found == RuleSet(rules), "another list"


def check_matches(rules: list[Rule]) -> None:
    """The look-up finds what looking at every rule finds, for hosts in and around the list."""
    listed = RuleSet(rules)
    for host in hosts_around(rules):
        for port in {*PORTS, *(rule.port for rule in rules if rule.port is not None)}:
            found, wanted = listed.match(host, port), scan(rules, host, port)
            assert found == scan(listed.rules, host, port), "the look-up finds another rule"
            assert (found is None) == (wanted is None), (
                "a list without its redundant rules means something else"
            )
            assert found is None or wanted is None or found.port == wanted.port, "another port was meant"
    assert all(listed.covers(rule) for rule in rules), "a list that does not cover itself"


def hosts_around(rules: list[Rule]) -> set[Host]:
    """Return the hosts of rules, their children, parents and siblings."""
    hosts: set[Host] = set()
    for host in {rule.host for rule in rules}:
        hosts.add(host)
        if isinstance(host, Name):
            texts = (f"a.{host}", f"a{host}", host.partition(".")[2], f"{host}.{host}")
            hosts.update(found for text in texts if (found := host_or_none(text)) is not None)
    return hosts


def host_or_none(text: str) -> Host | None:
    try:
        return parse_host(text.encode("ascii"))
    except HostError:
        return None


def covers(rule: Rule, host: Host) -> bool:
    """The meaning of one rule."""
    return host == rule.host or (rule.suffix and isinstance(host, Name) and host.endswith(f".{rule.host}"))


def scan(rules: Iterable[Rule], host: Host, port: int) -> Rule | None:
    """The meaning of a list: a rule with this port first, then the longest host, exact before suffix."""
    found = [rule for rule in rules if rule.port in (port, None) and covers(rule, host)]
    return max(
        found, key=lambda rule: (rule.port is not None, len(str(rule.host)), not rule.suffix), default=None
    )
