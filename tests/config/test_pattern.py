r"""Patterns of the node's allow list: what is taken, what each means, compared with another engine."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobgate.config.host import HostError, Name, parse_host
from jobgate.config.pattern import (
    MAX_PATTERN_CHARS,
    PatternError,
    is_alternation,
    is_pattern,
    literal_end,
    parse_pattern,
    tokens_of,
)

GETH = r"regex:^geth[0-9]*\.golem\.network$"


@pytest.mark.parametrize(
    ("entry", "tail", "names", "others"),
    [
        pytest.param(
            GETH,
            "golem.network",
            ["geth.golem.network", "geth7.golem.network"],
            ["xgeth.golem.network", "geth.golem.network.evil.com", "gethx.golem.network"],
            id="set",
        ),
        pytest.param(
            r"regex:^(a|b)\.c\.example\.com$", "c.example.com", ["a.c.example.com"], ["ab.c.example.com"],
            id="group",
        ),
        pytest.param(
            r"regex:^cdn\d{1,3}\.example\.com$", "example.com", ["cdn12.example.com"],
            ["cdn1234.example.com"], id="times",
        ),
        pytest.param(
            r"regex:^x[^.]*y\.example\.com$", "example.com", ["x12y.example.com"], ["x.y.example.com"],
            id="negated",
        ),
        pytest.param(
            r"regex:^EU-.*\.EXAMPLE\.com$", "example.com", ["eu-1.example.com", "eu-a.b.example.com"],
            ["example.com"], id="upper-case",
        ),
        pytest.param(
            r" regex:^a_?b\-c\.example\.com$ ", "example.com", ["ab-c.example.com"], ["a-b-c.example.com"],
            id="escaped-hyphen",
        ),
        pytest.param(
            r"regex:^v[0-9]x\.example\.com$", "example.com", ["v1x.example.com"], ["v1x.example.comx"],
            id="half-a-label",
        ),
    ],
)  # fmt: skip
def test_pattern_means_whole_names(entry: str, tail: str, names: list[str], others: list[str]) -> None:
    pattern = parse_pattern(entry)
    assert pattern.tail == tail
    assert [name for name in [*names, *others] if pattern.matches(Name(name))] == names


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param("regex:domain.com", 'write "regex:^...$"', id="W8-unanchored"),
        pytest.param(r"regex:^cdn\.example\.com", 'write "regex:^...$"', id="no-end"),
        pytest.param(r"regex:cdn[0-9]\.example\.com$", 'write "regex:^...$"', id="no-start"),
        pytest.param("regex:^$", 'write "regex:^...$"', id="nothing"),
        pytest.param(r"regex:^a|b\.example\.com$", "splits the anchors", id="alternation"),
        pytest.param(r"regex:^.*$", "two literal labels", id="everything"),
        pytest.param(r"regex:^.*\.com$", "two literal labels", id="top-level"),
        pytest.param(r"regex:^do.*ain\.com$", "two literal labels", id="W7-registrable-label"),
        pytest.param(r"regex:^.*example\.com$", "two literal labels", id="label-open-to-the-left"),
        pytest.param(r"regex:^x+\.example.com$", "two literal labels", id="dot-that-is-any"),
        pytest.param(r"regex:^x+\.example\.com?$", "two literal labels", id="optional-end"),
        pytest.param(r"regex:^x+(\.example\.com)$", "two literal labels", id="grouped-end"),
        pytest.param(r"regex:^x+\.10\.2$", "two literal labels", id="address"),
        pytest.param(r"regex:^x+\.-a\.com$", "two literal labels", id="no-host"),
        pytest.param(r"regex:^a\.example\.com$", 'write "a.example.com"', id="no-choice"),
        pytest.param(r"regex:^\D+\.example\.com$", r"\D, \S and \W", id="inverted"),
        pytest.param(r"regex:^(a\.example\.com$", "not a regular expression", id="parenthesis"),
        pytest.param(r"regex:^[z-a]\.example\.com$", "not a regular expression", id="range"),
        pytest.param(r"regex:^((a{99}){99}){99}\.example\.com$", "not a regular expression", id="too-large"),
        pytest.param(r"regex:^a**\.example\.com$", "not a regular expression", id="times-times"),
        pytest.param(r"regex:^(?=a).\.example\.com$", "not understood", id="look-ahead"),
        pytest.param(r"regex:^(?i)a+\.example\.com$", "not understood", id="flag"),
        pytest.param(r"regex:^(a)\1\.example\.com$", "not understood", id="back-reference"),
        pytest.param(r"regex:^a+ \.example\.com$", "not understood", id="space"),
        pytest.param(r"regex:^é+\.example\.com$", "not understood", id="non-ascii"),
        pytest.param(r"regex:^a+\.example\.com\$", "not understood", id="escaped-anchor"),
        pytest.param("regex:^" + "a?" * 200 + r"\.example\.com$", f"at most {MAX_PATTERN_CHARS}", id="long"),
    ],
)
def test_what_is_no_pattern_is_told_why(entry: str, words: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_pattern(entry)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_mark_is_told_from_a_host_of_that_name() -> None:
    assert is_pattern("regex:foo")
    assert is_pattern(" regex:^a$")
    assert not is_pattern("regex:8443")
    assert not is_pattern("regex")


def test_pattern_is_a_value_and_shows_its_mark() -> None:
    pattern = parse_pattern(GETH)
    assert pattern == parse_pattern(f" {GETH.replace('geth', 'GETH')}")
    assert hash(pattern) == hash(parse_pattern(GETH))
    assert str(pattern) == GETH
    assert parse_pattern(str(pattern)) == pattern
    assert "_fullmatch" not in repr(pattern)
    assert pattern.port is None


def test_pattern_without_its_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(PatternError, match=r"install jobgate\[golem\]"):
        parse_pattern(GETH)


def test_lists_without_patterns_do_not_load_the_engine() -> None:
    program = (
        "import sys; from jobgate.config.load import load_text\n"
        "load_text('[node]\\nallow = [\"example.com\"]')\nprint('re2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_tokens_tell_the_literal_end() -> None:
    tokens = list(tokens_of(r"a+\.b\-c"))
    assert literal_end(tokens) == (".b-c", 2)
    assert literal_end([]) == ("", 0)
    assert is_alternation(list(tokens_of("a|b")))
    assert not is_alternation(list(tokens_of("(a|b)")))


def test_time_is_linear_where_others_need_forever() -> None:
    """Such an expression takes a backtracking engine longer than the age of the world."""
    pattern = parse_pattern(r"regex:^(a*)*(a*)*(a|a)*b\.example\.com$")
    assert not pattern.matches(Name("a" * 60 + "." + "a" * 60 + ".example.com"))


ATOMS = st.sampled_from(
    ["a", "b", "-", r"\.", ".", "[ab]", "[^a]", r"\d", r"[a.]", "(a|b)", r"(?:a\.|b)", "()"]
)
PIECES = st.tuples(ATOMS, st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0,2}", "*?"])).map("".join)
BODIES = st.lists(PIECES, max_size=6).map("".join)
ENDS = st.sampled_from([r"\.b\.a", r"b\.a", r"\.a", "", r"\.a\.b?", r"|a\.b\.a"])
NAMES = st.text("ab1-.", min_size=1, max_size=12)


@given(BODIES, ENDS, NAMES, st.sampled_from(["", ".b.a", "b.a"]))
def test_pattern_agrees_with_another_engine_and_keeps_to_its_tail(
    body: str, end: str, name: str, suffix: str
) -> None:
    try:
        host = parse_host(f"{name}{suffix}".encode())
    except HostError:
        assume(False)
    assume(isinstance(host, Name))
    try:
        pattern = parse_pattern(f"regex:^{body}{end}$")
    except PatternError:
        return
    assert isinstance(host, Name)
    assert pattern.matches(host) == (re.fullmatch(f"{body}{end}", host, re.ASCII) is not None)
    if pattern.matches(host):
        assert host.endswith(f".{pattern.tail}")


@given(st.text(max_size=30).map(lambda text: f"regex:{text}"))
def test_any_text_is_a_pattern_or_an_error_of_one_line(entry: str) -> None:
    problem = ""
    try:
        pattern = parse_pattern(entry)
        assert parse_pattern(str(pattern)) == pattern
    except PatternError as error:
        problem = str(error)
    assert len(problem.splitlines()) <= 1
    assert "\x1b" not in problem
