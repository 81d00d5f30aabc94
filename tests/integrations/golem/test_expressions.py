r"""Regular expressions of a whitelist: what is taken, as what, and what is refused with which spelling.

The last test compares with Golem's own search on random expressions: nothing more may pass.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobgate.config.host import HostError, Name, parse_host
from jobgate.config.rules import Rule, RuleSet
from jobgate.integrations.allowlist import Refused, Source, Taken
from jobgate.integrations.golem.expressions import translate

DOT = "an unescaped '.' is taken as a dot, not as any character"
APEX = 'also covers "{}" itself'


def translated(text: str) -> Taken | Refused:
    return translate(Source("regex.lst:1", text))


@pytest.mark.parametrize(
    ("text", "entry", "changes"),
    [
        pytest.param(
            r".*\.dev\.golem\.network$",
            ".dev.golem.network",
            (APEX.format("dev.golem.network"),),
            id="M9-apex",
        ),
        pytest.param(r"^geth\.testnet\.golem\.network$", "geth.testnet.golem.network", (), id="exact"),
        pytest.param(r"^bor[0-9]*\.golem\.network$", r"regex:^bor[0-9]*\.golem\.network$", (), id="kept"),
        pytest.param(r"^.*\.domain.com$", ".domain.com", (DOT, APEX.format("domain.com")), id="W10"),
        pytest.param(r"^.+\.domain\.com$", ".domain.com", (APEX.format("domain.com"),), id="plus"),
        pytest.param(r"\.domain\.com$", ".domain.com", (APEX.format("domain.com"),), id="dot-in-front"),
        pytest.param(r"^(.*\.)?domain\.com$", ".domain.com", (), id="optional-prefix"),
        pytest.param(r"^(?:.+\.)?domain\.com$", ".domain.com", (), id="optional-plus"),
        pytest.param(r"(^|\.)domain\.com$", ".domain.com", (), id="at-a-label"),
        pytest.param(r"(?:\.|^)domain\.com$", ".domain.com", (), id="at-a-label-reversed"),
        pytest.param(r"^DOMAIN\.com$", "domain.com", (), id="upper-case"),
        pytest.param(r"^192\.0\.2\.7$", "192.0.2.7", (), id="address"),
        pytest.param(
            r"^ domain \. com $ # the site",
            "domain.com",
            ("blanks and comments inside are left out, as Golem does",),
            id="extended",
        ),
        pytest.param(
            r"^n\D\.domain\.com$",
            r"regex:^n\d\.domain\.com$",
            (r"Golem reads expressions in lower case, \D as \d: so does this",),
            id="inverted",
        ),
        pytest.param(r".*-cdn\.domain\.com$", r"regex:^.*-cdn\.domain\.com$", (), id="anything-in-front"),
        pytest.param(r"\.[a-z]+\.domain\.com$", r"regex:^.*\.[a-z]+\.domain\.com$", (), id="label-in-front"),
        pytest.param(r"^.*?\.domain\.com$", r"regex:^.*?\.domain\.com$", (), id="lazy"),
        pytest.param(r"^a.b[0-9]\.domain\.com$", r"regex:^a\.b[0-9]\.domain\.com$", (DOT,), id="dots-inside"),
    ],
)
def test_expression_is_taken(text: str, entry: str, changes: tuple[str, ...]) -> None:
    taken = translated(text)
    assert isinstance(taken, Taken), taken
    assert (str(taken.entry), taken.changes) == (entry, changes)


@pytest.mark.parametrize(
    ("text", "words", "spelling"),
    [
        pytest.param(
            "domain.com",
            'also matches "domain.com.hacked.pro"',
            'write "domain.com" or ".domain.com"',
            id="W8-W9",
        ),
        pytest.param(
            "domain.com$", 'also matches "mydomain.com"', 'write "domain.com" or ".domain.com"', id="M3"
        ),
        pytest.param("^domain.com", "no '$'", 'write "domain.com" or ".domain.com"', id="no-end"),
        pytest.param("do.*ain.com", "no '$'", "list the names", id="W7"),
        pytest.param(
            r"^.*domain\.com$", "two literal labels", 'write "domain.com" or ".domain.com"', id="open"
        ),
        pytest.param(r"[a-z]+\.x\.com$", "no '^'", 'write "x.com" or ".x.com"', id="no-start"),
        pytest.param(r"\.?x\.a\.com$", "no '^'", 'write "a.com" or ".a.com"', id="optional-dot"),
        pytest.param(".*", "no '$'", "list the names", id="everything"),
        pytest.param("^.*$", "two literal labels", "", id="everything-anchored"),
        pytest.param(r"^.*\.com$", "at least two labels", "", id="top-level"),
        pytest.param(r"^\.domain\.com$", "begins with a dot", 'write "domain.com"', id="dot-first"),
        pytest.param(r"^domain\.com.$", "ends with a dot", "list the names", id="dot-last"),
        pytest.param(r"^a\.com$|^b\.com$", "not understood", "write names", id="two-expressions"),
        pytest.param(r"^a\.com|b\.com$", "each part", "", id="alternation"),
        pytest.param(r"(^|\.).*\.a\.com$", "'^' inside", "list the names", id="at-a-label-and-more"),
        pytest.param(r"^\S+\.domain\.com$", "not understood", "", id="blank-class"),
        pytest.param(r"^(?i)a+\.domain\.com$", "not understood", "", id="flag"),
        pytest.param(r"^a\ b\.domain\.com$", "not understood", "", id="escaped-blank"),
        pytest.param("^a\x1eb\\.domain\\.com$", "not understood", "", id="control-character-is-no-blank"),
        pytest.param(r"^a\$", "not understood", "", id="escaped-anchor"),
        pytest.param("", "longer names", "list the names", id="empty"),
        pytest.param("^$", "empty", "", id="anchors-alone"),
        pytest.param("$", "list the names", "", id="anchor-alone"),
        pytest.param("(", "no '$'", "", id="parenthesis"),
        pytest.param("(a" * 100, "no '$'", "", id="deep"),
    ],
)
def test_expression_is_refused_with_the_safe_spelling(text: str, words: str, spelling: str) -> None:
    refused = translated(text)
    assert isinstance(refused, Refused), refused
    assert words in refused.problem
    assert spelling in refused.problem
    assert len(refused.problem.splitlines()) == 1


PIECES = st.sampled_from(
    ["a", "b", r"\.", ".", ".*", ".+", "[ab]", "[ab]*", "a?", r"\.?", "(a|b)", r"(.*\.)?", r"(^|\.)", "^",
     "$", "|", "b{2}", r"\d", r"\D", " ", "#"]
)  # fmt: skip
ENDS = st.sampled_from([r"\.b\.a$", r"b\.a$", ".b.a$", r"\.a$", r"\.b\.a", "$", ""])


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=5).map("".join), ENDS, st.text("ab.1", min_size=1, max_size=10))
def test_nothing_passes_that_golem_would_refuse(head: str, end: str, name: str) -> None:
    """But for the apex of a suffix, which is said."""
    text = head + end
    outcome = translated(text)
    if isinstance(outcome, Refused):
        return
    rules = RuleSet([outcome.entry]) if isinstance(outcome.entry, Rule) else RuleSet((), [outcome.entry])
    for candidate in (name, f"{name}.b.a", f"{name}b.a", "b.a", f"{name}.a"):
        try:
            host = parse_host(candidate.encode())
        except HostError:
            continue
        if not isinstance(host, Name) or rules.match(host, 443) is None:
            continue
        apex = isinstance(outcome.entry, Rule) and outcome.entry.suffix and host == outcome.entry.host
        golem = re.search(text.lower(), host, re.IGNORECASE | re.VERBOSE | re.ASCII)
        assert golem is not None or (apex and outcome.changes), (text, host)
