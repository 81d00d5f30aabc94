"""Sets of rules: look-up, reduction, coverage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Host, Name, host_text, parse_host
from jobgate.config.pattern import HostPattern, parse_pattern
from jobgate.config.rules import NO_RULES, Rule, RuleErrors, RuleSet, parse_rule

LABELS = st.sampled_from(["a", "b", "foo", "com"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
HOSTS = st.one_of(NAMES, st.sampled_from(["192.0.2.7", "[2001:db8::1]"])).map(
    lambda text: parse_host(text.encode())
)
PORTS = st.sampled_from([22, 80, 443, 8443])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    host = draw(HOSTS)
    suffix = isinstance(host, Name) and "." in host and draw(st.booleans())
    return Rule(host, suffix, draw(st.none() | PORTS))


def covers_host(rule: Rule, host: Host) -> bool:
    """The meaning of a rule, by comparison."""
    return rule.host == host or (
        rule.suffix and isinstance(host, Name) and host_text(host).endswith(f".{rule.host}")
    )


def scan(entries: list[Rule], host: Host, port: int) -> Rule | None:
    """What ``match`` must find, by looking at every rule."""
    for wanted in (port, None):
        found = [rule for rule in entries if rule.port == wanted and covers_host(rule, host)]
        if found:
            return max(found, key=lambda rule: (len(str(rule.host)), not rule.suffix))
    return None


def match(entries: list[str], host: str, port: int = 443) -> str | None:
    rule = RuleSet.parse(entries).match(parse_host(host.encode()), port)
    return None if rule is None else str(rule)


@pytest.mark.parametrize(
    ("entries", "host", "rule"),
    [
        pytest.param(["foo.com"], "foo.com", "foo.com", id="C1"),
        pytest.param(["foo.com"], "FOO.com", "foo.com", id="C1-upper"),
        pytest.param(["foo.com"], "foo.com.", "foo.com", id="C1-dot"),
        pytest.param(["foo.com"], "x.foo.com", None, id="C2"),
        pytest.param([".foo.com"], "foo.com", ".foo.com", id="C3-apex"),
        pytest.param([".foo.com"], "x.foo.com", ".foo.com", id="C3-sub"),
        pytest.param([".foo.com"], "y.x.foo.com", ".foo.com", id="C3-sub-sub"),
        pytest.param([".foo.com"], "some.thing.foo.com", ".foo.com", id="C3-some-thing"),
        pytest.param([" .foo.com"], "x.foo.com", ".foo.com", id="C4-space"),
        pytest.param([".FOO.com"], "x.foo.com", ".foo.com", id="C4-upper"),
        pytest.param([".foo.com"], "x-foo.com", None, id="C5-hyphen"),
        pytest.param([".foo.com"], "xfoo.com", None, id="C5-prefix"),
        pytest.param([".foo.com"], "evilfoo.com", None, id="C5-evil"),
        pytest.param([".foo.com"], "foo.com.evil.com", None, id="C5-inside"),
        pytest.param([".foo.com"], "bar.com", None, id="C5-other"),
        pytest.param(["x.foo.com"], "foo.com", None, id="C6"),
        pytest.param([".168.example"], "192.168.1.1", None, id="C9-v4"),
        pytest.param([".ok.test"], "[::1]", None, id="C9-v6"),
        pytest.param([".ok.test"], "93.184.216.34", None, id="E1"),
        pytest.param(["192.0.2.7"], "192.0.2.7", "192.0.2.7", id="E2"),
        pytest.param(["2001:db8::1"], "[2001:db8:0:0::1]", "2001:db8::1", id="A10"),
        pytest.param(["foo.com", ".foo.com"], "a.foo.com", ".foo.com", id="D20"),
        pytest.param(["EXAMPLE.com"], "example.com", "example.com", id="D25-upper"),
        pytest.param([" example.com "], "example.com", "example.com", id="D25-spaces"),
        pytest.param(["faß.de"], "fass.de", None, id="C22"),
        pytest.param(["faß.de"], "xn--fa-hia.de", "xn--fa-hia.de", id="C22-a-label"),
        pytest.param(["éxämple.com"], "xn--xmple-gra7a.com", "xn--xmple-gra7a.com", id="C20"),
        pytest.param([], "foo.com", None, id="empty"),
        pytest.param([".foo.com", "x.foo.com:443"], "x.foo.com", "x.foo.com:443", id="port-first"),
        pytest.param(["x.foo.com", ".foo.com:443"], "x.foo.com", ".foo.com:443", id="port-before-specific"),
    ],
)
def test_match(entries: list[str], host: str, rule: str | None) -> None:
    assert match(entries, host) == rule


@pytest.mark.parametrize(
    ("entries", "port", "rule"),
    [
        pytest.param(["ok.test:8443"], 8443, "ok.test:8443", id="C15-its-port"),
        pytest.param(["ok.test:8443"], 443, None, id="C15-other-port"),
        pytest.param(["ok.test"], 22, "ok.test", id="C16-any-port-for-the-caller-to-judge"),
        pytest.param([".ok.test", "ok.test:22"], 22, "ok.test:22", id="port-and-name"),
    ],
)
def test_match_by_port(entries: list[str], port: int, rule: str | None) -> None:
    assert match(entries, "ok.test", port) == rule


@pytest.mark.parametrize(
    ("denied", "host", "port", "rule"),
    [
        pytest.param(["bad.foo.com"], "bad.foo.com", 443, "bad.foo.com", id="C12"),
        pytest.param(["bad.foo.com"], "BAD.foo.com.", 443, "bad.foo.com", id="C12-spelling"),
        pytest.param(["bad.foo.com"], "sub.bad.foo.com", 443, None, id="C12-below"),
        pytest.param([".bad.foo.com"], "sub.bad.foo.com", 443, ".bad.foo.com", id="C12-suffix"),
        pytest.param(["foo.com:1234"], "foo.com.", 1234, "foo.com:1234", id="C17-dot"),
        pytest.param(["[2001:db8::1]:1234"], "[2001:DB8::1]", 1234, "[2001:db8::1]:1234", id="C17-v6"),
        pytest.param(["foo.com"], "foo.com", 9, "foo.com", id="every-port"),
    ],
)
def test_match_of_a_deny_list(denied: list[str], host: str, port: int, rule: str | None) -> None:
    assert match(denied, host, port) == rule


def test_match_any_port_tells_a_closed_port_from_a_stranger() -> None:
    listed = RuleSet.parse(["ok.test:8443", ".sub.test:22", "plain.test"])
    assert str(listed.match_any_port(Name("ok.test"))) == "ok.test:8443"
    assert str(listed.match_any_port(Name("a.sub.test"))) == ".sub.test:22"
    assert str(listed.match_any_port(Name("plain.test"))) == "plain.test"
    assert listed.match_any_port(Name("other.test")) is None


@pytest.mark.parametrize(
    ("entries", "left"),
    [
        pytest.param(["y.foo.com", ".foo.com", "x.foo.com"], [".foo.com"], id="C11"),
        pytest.param(["y.foo.com", ".foo.com", "foo.com"], [".foo.com"], id="C11-apex"),
        pytest.param(["www.e.com", ".e.com"], [".e.com"], id="D21"),
        pytest.param([".e.com", "www.e.com"], [".e.com"], id="D22"),
        pytest.param(["e.com", ".e.com"], [".e.com"], id="D23"),
        pytest.param([".e.com", "e.com"], [".e.com"], id="D23-reversed"),
        pytest.param(["e.com", "e.com"], ["e.com"], id="D24"),
        pytest.param([".foo.com", "bar.com", "x.foo.com"], [".foo.com", "bar.com"], id="not-adjacent"),
        pytest.param(["foo.com", "bar.com"], ["foo.com", "bar.com"], id="nothing-to-drop"),
        pytest.param([".a.b.com", ".b.com"], [".b.com"], id="suffix-below-suffix"),
        pytest.param([".foo.com", "foo.com:8443"], [".foo.com", "foo.com:8443"], id="port-stays"),
        pytest.param([".foo.com:8443", "foo.com:8443"], [".foo.com:8443"], id="same-port"),
        pytest.param([".foo.com:8443", "foo.com:22"], [".foo.com:8443", "foo.com:22"], id="other-port"),
        pytest.param(["192.0.2.7", "192.0.2.7"], ["192.0.2.7"], id="address-twice"),
        pytest.param([], [], id="empty"),
    ],
)
def test_parse_reduces(entries: list[str], left: list[str]) -> None:
    assert [str(rule) for rule in RuleSet.parse(entries)] == left


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        pytest.param(".x.y", ".x.y", True, id="same-suffix"),
        pytest.param(".x.y", "x.y", True, id="apex"),
        pytest.param(".x.y", "a.x.y", True, id="below"),
        pytest.param(".x.y", ".a.x.y", True, id="suffix-below"),
        pytest.param("x.y", "x.y", True, id="same-name"),
        pytest.param("x.y", "a.x.y", False, id="name-below"),
        pytest.param("e.com", ".e.com", False, id="D28"),
        pytest.param("x.foo.com", ".foo.com", False, id="D-admission"),
        pytest.param(".aei.uni-hannover.de", "x.aei.uni-hannover.de", True, id="D27-below"),
        pytest.param(".aei.uni-hannover.de", "aei.uni-hannover.de", True, id="D27-apex"),
        pytest.param(".aei.uni-hannover.de", ".x.aei.uni-hannover.de", True, id="D27-suffix"),
        pytest.param("x.y", "x.y:443", True, id="open-port"),
        pytest.param(".x.y", "a.x.y:8443", True, id="open-http-port"),
        pytest.param("x.y", "x.y:22", False, id="closed-port"),
        pytest.param("x.y:22", "x.y:22", True, id="same-port"),
        pytest.param(".x.y:22", ".a.x.y:22", True, id="same-port-below"),
        pytest.param("x.y:443", "x.y", False, id="one-port-of-many"),
        pytest.param("192.0.2.7", "192.0.2.7", True, id="address"),
        pytest.param("192.0.2.7", "192.0.2.8", False, id="other-address"),
        pytest.param(".x.y", "192.0.2.7", False, id="address-under-suffix"),
    ],
)
def test_covers(wide: str, narrow: str, covered: bool) -> None:
    rule = parse_rule(narrow)
    assert RuleSet.parse([wide]).covers(rule) is covered
    assert RuleSet.parse([wide]).covers(RuleSet([rule])) is covered
    assert RuleSet.parse([wide]).uncovered(rule) == ([] if covered else [rule])


def test_covers_takes_the_ports_that_are_open() -> None:
    assert RuleSet.parse(["x.y"]).covers(parse_rule("x.y:22"), ports={22})
    assert not RuleSet.parse(["x.y"]).covers(parse_rule("x.y:443"), ports={22})


@pytest.mark.parametrize(
    ("parent", "child", "covered"),
    [
        ([], [], True),
        (["a.b"], [], True),
        (["a.b", "c.d"], ["a.b"], True),
        ([], ["a.b"], False),
        (["a.b"], ["a.b", "c.d"], False),
    ],
    ids=["none-none", "some-none", "two-one", "none-some", "one-two"],
)
def test_covers_lists(parent: list[str], child: list[str], covered: bool) -> None:
    assert RuleSet.parse(parent).covers(RuleSet.parse(child)) is covered


def test_parse_reports_every_bad_entry() -> None:
    with pytest.raises(RuleErrors) as caught:
        RuleSet.parse(["*.a.com", "ok.com", "b.com/"])
    assert [(index, entry) for index, entry, _ in caught.value.errors] == [(0, "*.a.com"), (2, "b.com/")]
    assert str(caught.value).splitlines() == [
        '[0] "*.a.com": write ".a.com"',
        '[2] "b.com/": a path inside: write "b.com"',
    ]


@given(st.lists(rules(), max_size=12), HOSTS, PORTS)
def test_match_agrees_with_a_linear_scan(entries: list[Rule], host: Host, port: int) -> None:
    """C19."""
    table = RuleSet(entries)
    assert table.match(host, port) == scan(list(table), host, port)


def test_c19_match_agrees_with_a_linear_scan_on_10_000_rules() -> None:
    """C19."""
    entries = [
        Rule(Name(f"h{n}.d{n % 100}.test"), n % 3 == 0, None if n % 5 else 8443) for n in range(10_000)
    ]
    table = RuleSet(entries)
    for n in range(0, 10_500, 499):
        for host in (f"h{n}.d{n % 100}.test", f"x.h{n}.d{n % 100}.test"):
            for port in (443, 8443):
                assert table.match(Name(host), port) == scan(entries, Name(host), port)


@given(st.lists(rules(), max_size=12), HOSTS, PORTS)
def test_match_any_port_agrees_with_a_linear_scan(entries: list[Rule], host: Host, port: int) -> None:
    found = RuleSet(entries).match_any_port(host)
    assert (found is not None) == any(covers_host(rule, host) for rule in entries)
    assert found is None or (isinstance(found, Rule) and covers_host(found, host))


@given(st.lists(rules(), max_size=8), st.lists(rules(), max_size=4), HOSTS, PORTS)
def test_covered_set_matches_nothing_new(wide: list[Rule], narrow: list[Rule], host: Host, port: int) -> None:
    if RuleSet(wide).covers(RuleSet(narrow)) and RuleSet(narrow).match(host, port) is not None:
        assert RuleSet(wide).match(host, port) is not None


@given(st.lists(rules(), max_size=8), HOSTS, PORTS)
def test_reduction_changes_no_match(entries: list[Rule], host: Host, port: int) -> None:
    reduced = RuleSet(entries)
    assert (reduced.match(host, port) is None) == (scan(entries, host, port) is None)


def test_set_behaves_as_a_set() -> None:
    ours = RuleSet.parse(["a.b", ".c.d:8443"])
    assert ours == RuleSet.parse([".c.d:8443", "A.b"])
    assert hash(ours) == hash(RuleSet.parse([".c.d:8443", "a.b"]))
    assert ours != RuleSet.parse(["a.b"])
    assert ours != ["a.b"]
    assert len(ours) == 2
    assert parse_rule("a.b") in ours
    assert parse_rule(".c.d:8443") in ours
    assert parse_rule("c.d:8443") not in ours
    assert "a.b" not in ours
    assert not NO_RULES


def test_repr_is_bounded() -> None:
    assert repr(RuleSet.parse(["a.b", ".c.d:1"])) == "RuleSet([a.b, .c.d:1])"
    many = RuleSet(Rule(Name(f"h{n}.test")) for n in range(1000))
    assert repr(many).endswith("h9.test, ... 1000 rules])")


GETH = parse_pattern(r"regex:^geth[0-9]*\.golem\.network$")
ABC = parse_pattern(r"regex:^[abc]+\.foo\.com$")
DEEP = parse_pattern(r"regex:^[ab]\.a\.foo\.com$")
#: One that matches everything below its tail, so that random names meet it.
BELOW = parse_pattern(r"regex:^.*\.b\.com$")
PATTERNS = st.lists(st.sampled_from([GETH, ABC, DEEP, BELOW]), max_size=4)


def with_patterns(*patterns: HostPattern, rules: str = "") -> RuleSet:
    return RuleSet(RuleSet.parse(rules.split()), patterns)


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("geth7.golem.network", str(GETH)),
        ("a.foo.com", str(ABC)),
        ("b.a.foo.com", str(DEEP)),
        ("cab.foo.com:8443", "cab.foo.com:8443"),
        ("cab.foo.com", str(ABC)),
        ("c.foo.com", "c.foo.com"),
        ("xgeth.golem.network", None),
        ("golem.network", None),
        ("foo.com", None),
        ("192.0.2.7", None),
    ],
)
def test_pattern_is_asked_last_and_never_of_addresses(host: str, entry: str | None) -> None:
    table = with_patterns(GETH, ABC, DEEP, rules="c.foo.com cab.foo.com:8443")
    name, _, port = host.partition(":")
    found = table.match(parse_host(name.encode()), int(port or 443))
    assert (None if found is None else str(found)) == entry
    anywhere = table.match_any_port(parse_host(name.encode()))
    assert (anywhere is None) == (entry is None)


@pytest.mark.parametrize(
    ("rules", "other", "covered"),
    [
        pytest.param("", "geth7.golem.network", True, id="name-that-matches"),
        pytest.param("", "geth7.golem.network:8443", True, id="open-port"),
        pytest.param("", "geth7.golem.network:22", False, id="closed-port"),
        pytest.param("", ".geth7.golem.network", False, id="suffix-of-such-a-name"),
        pytest.param("", ".golem.network", False, id="its-tail"),
        pytest.param("", "golem.network", False, id="apex-of-its-tail"),
        pytest.param("", "192.0.2.7", False, id="address"),
    ],
)
def test_pattern_covers_names_alone(rules: str, other: str, covered: bool) -> None:
    assert with_patterns(GETH, rules=rules).covers(parse_rule(other)) is covered


@pytest.mark.parametrize(
    ("wide", "covered"),
    [
        pytest.param(with_patterns(GETH), True, id="itself"),
        pytest.param(with_patterns(rules=".golem.network"), True, id="its-tail"),
        pytest.param(with_patterns(rules="golem.network"), False, id="the-tail-alone"),
        pytest.param(with_patterns(rules=".geth.golem.network"), False, id="below-a-match"),
        pytest.param(with_patterns(rules=".golem.network:443"), False, id="one-port-of-many"),
        pytest.param(
            with_patterns(parse_pattern(r"regex:^geth.*\.golem\.network$")), False, id="not-worked-out"
        ),
        pytest.param(NO_RULES, False, id="nothing"),
    ],
)
def test_pattern_is_covered_by_itself_or_by_its_tail(wide: RuleSet, covered: bool) -> None:
    assert wide.covers(GETH) is covered
    assert wide.uncovered(with_patterns(GETH)) == ([] if covered else [GETH])


def test_pattern_below_a_suffix_rule_is_dropped_and_repetitions_are() -> None:
    table = with_patterns(GETH, ABC, GETH, rules=".foo.com a.golem.network")
    assert table.entries() == [".foo.com", "a.golem.network", str(GETH)]
    assert len(table) == 3
    assert repr(table) == f"RuleSet([.foo.com, a.golem.network, {GETH}])"
    assert table == with_patterns(GETH, rules="a.golem.network .foo.com")
    assert hash(table) == hash(with_patterns(GETH, rules="a.golem.network .foo.com"))
    assert table != with_patterns(rules="a.golem.network .foo.com")
    assert with_patterns(GETH)


@given(st.lists(rules(), max_size=6), PATTERNS, HOSTS, PORTS)
def test_match_with_patterns_agrees_with_a_linear_scan(
    entries: list[Rule], patterns: list[HostPattern], host: Host, port: int
) -> None:
    table = RuleSet(entries, patterns)
    expected = scan(entries, host, port) is not None or any(
        isinstance(host, Name) and pattern.matches(host) for pattern in patterns
    )
    assert (table.match(host, port) is not None) == expected


@given(st.lists(rules(), max_size=6), PATTERNS, st.lists(rules(), max_size=3), PATTERNS, HOSTS, PORTS)
def test_set_covered_with_patterns_matches_nothing_new(
    wide: list[Rule],
    wide_patterns: list[HostPattern],
    narrow: list[Rule],
    narrow_patterns: list[HostPattern],
    host: Host,
    port: int,
) -> None:
    outer, inner = RuleSet(wide, wide_patterns), RuleSet(narrow, narrow_patterns)
    if outer.covers(inner) and inner.match(host, port) is not None:
        assert outer.match(host, port) is not None
