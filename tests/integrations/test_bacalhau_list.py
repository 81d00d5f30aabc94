from __future__ import annotations

from pathlib import Path

import pytest

from jobgate.integrations.bacalhau_list import read_allowlist

DATA = Path(__file__).parents[1] / "data" / "bacalhau" / "http-domain-allowlist.txt"


def test_real_list_is_taken_whole() -> None:
    imported = read_allowlist(DATA.read_text(), DATA.name)
    assert (len(imported.taken), imported.refused) == (27, [])
    entries = imported.rules().entries()
    assert {".aei.uni-hannover.de", "78.26.93.125", "example.com"} <= set(entries)
    (changed,) = (taken for taken in imported.taken if taken.changes)
    assert changed.changes == ('also covers "aei.uni-hannover.de" itself',)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("example.com:8080", 'a port there never matched: write "example.com"'),
        ("http://example.com", 'write "example.com"'),
        ("*.example.com", 'write ".example.com"'),
        ("a b.com", "spaces inside"),
        ("..e.com", 'write ".e.com"'),
        ("192.168.0.1/32", "only single addresses"),
        (".com", "at least two labels"),
    ],
    ids=["D26-port", "D26-url", "D26-wildcard", "D26-space", "D26-dots", "cidr", "top-level"],
)
def test_entry_that_means_nothing_is_refused(line: str, words: str) -> None:
    imported = read_allowlist(f"ok.com\n{line}  # why\n", "list")
    assert [str(taken.entry) for taken in imported.taken] == ["ok.com"]
    (refused,) = imported.refused
    assert refused.source == ("list:2", line)
    assert words in refused.problem


def test_comments_blanks_and_repetitions() -> None:
    imported = read_allowlist("# a\n\n  A.com # b\r\na.com\nbücher.example\n", "list")
    assert imported.rules().entries() == ["a.com", "xn--bcher-kva.example"]
    assert imported.taken[1].changes == ('is written "xn--bcher-kva.example"',)
