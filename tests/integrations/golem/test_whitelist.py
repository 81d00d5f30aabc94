from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobgate.integrations.allowlist import as_report
from jobgate.integrations.documents import DocumentError
from jobgate.integrations.golem.whitelist import (
    Pattern,
    import_patterns,
    kind_of_file,
    read_lines,
    read_whitelist,
)

DATA = Path(__file__).parents[2] / "data" / "golem"


def lists() -> list[Pattern]:
    return [
        pattern
        for kind in ("strict", "regex")
        for pattern in read_lines((DATA / f"{kind}.lst").read_text(), kind, f"{kind}.lst")
    ]


def test_m10_both_forms_of_the_real_list_give_the_same_rules() -> None:
    whole = read_whitelist((DATA / "domain_whitelist.json").read_text(), "domain_whitelist.json")
    imported = import_patterns(lists())
    assert import_patterns(whole).rules() == imported.rules()
    assert (len(imported.taken), imported.refused) == (27, [])


def test_m10_report_lists_what_no_rule_can_say_and_the_addresses() -> None:
    report = as_report(import_patterns(lists()))
    assert [line.partition(":")[0] for line in report[1:]] == [
        "changed", "expression", "expression", "address", "address", "address", "address", "note", "note",
    ]  # fmt: skip
    assert "bor[0-9]*" in report[2]
    assert "geth[0-9]*" in report[3]
    assert "69.55.231.8" in report[7]


def test_without_expressions_they_are_refused() -> None:
    imported = import_patterns(lists(), expressions=False)
    assert [refused.source.place for refused in imported.refused] == ["regex.lst:1", "regex.lst:2"]
    assert imported.rules().patterns == ()
    assert len(imported.taken) == 25


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("GitHub.com", "github.com"),
        ("github.com.", "github.com"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_strict_entry_is_a_host(text: str, entry: str) -> None:
    (taken,) = import_patterns(read_lines(f"# comment\n\n {text} \r\n", "strict", "strict.lst")).taken
    assert str(taken.entry) == entry
    assert taken.source.place == "strict.lst:3"
    assert bool(taken.changes) is (not text.isascii())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (".github.com", 'a suffix in a strict entry never matched: write "github.com"'),
        ("github.com:8080", 'a port in a strict entry never matched: write "github.com"'),
        ("*.github.com", 'write ".github.com"'),
        ("https://github.com/x", 'write "github.com"'),
        ("127.1", "four decimal numbers"),
    ],
)
def test_strict_entry_that_never_matched_there_does_not_match_here(text: str, words: str) -> None:
    imported = import_patterns(read_lines(text, "strict", "strict.lst"))
    assert imported.taken == []
    assert words in imported.refused[0].problem


def test_match_is_strict_by_default() -> None:
    (pattern,) = read_whitelist('{"patterns": [{"domain": "a.b"}]}', "w.json")
    assert (pattern.kind, pattern.source.place) == ("strict", "w.json[0]")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no whitelist"),
        ({}, "no whitelist"),
        ({"patterns": {}}, "no whitelist"),
        ({"patterns": ["a.b"]}, "w.json[0]: expected"),
        ({"patterns": [{"match": "strict"}]}, "w.json[0]: expected"),
        ({"patterns": [{"domain": 5}]}, "w.json[0]: expected"),
        ({"patterns": [{"domain": "a.b", "match": "glob"}]}, 'w.json[0]: "match"'),
        ({"patterns": [{"domain": "a.b", "match": []}]}, 'w.json[0]: "match"'),
    ],
)
def test_what_is_no_whitelist_is_refused(document: object, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_whitelist(json.dumps(document), "w.json")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("stem", "kind"),
    [
        ("strict", "strict"),
        ("regex", "regex"),
        ("golem-whitelist-regex", "regex"),
        ("my_strict", "strict"),
        ("unstrict", None),
        ("domains", None),
    ],
)
def test_kind_of_file(stem: str, kind: str | None) -> None:
    assert kind_of_file(stem) == kind
