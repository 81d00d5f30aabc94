"""Lists and tables, member by member."""

from __future__ import annotations

import datetime

import pytest

from jobgate.config.members import MemberErrors, bounded, entries_of, key_of, kind_of, members_of, text_of


def test_members_of_reports_all_bad_ones() -> None:
    def read(member: object) -> str:
        return text_of(0 if member == "b" else member)

    with pytest.raises(MemberErrors) as caught:
        members_of(["a", 1, "b", None], read)
    assert caught.value.errors == [
        ("[1]", "expected a text, got the number 1"),
        ("[2]", '"b": expected a text, got the number 0'),
        ("[3]", "expected a text, got a date or time"),
    ]


def test_members_of_keeps_order() -> None:
    assert members_of(["b", "a"], text_of) == ("b", "a")


@pytest.mark.parametrize("value", ["ab", {"a": 1}, 1, None])
def test_members_of_takes_only_lists(value: object) -> None:
    with pytest.raises(ValueError, match="expected a list"):
        members_of(value, text_of)


def test_entries_of_nests_paths() -> None:
    def read(_: str, entry: object) -> None:
        members_of(entry, text_of)

    with pytest.raises(MemberErrors) as caught:
        entries_of({"a b": ["x", 1], "c": "d", "ok": []}, read)
    assert str(caught.value).splitlines() == [
        '."a b"[1]: expected a text, got the number 1',
        '.c: expected a list, got the text "d"',
    ]


def test_entries_of_takes_only_tables() -> None:
    with pytest.raises(ValueError, match="expected a table, got a list"):
        entries_of([], lambda key, entry: None)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true"),
        (False, "false"),
        ("a", 'the text "a"'),
        (1, "the number 1"),
        (1.5, "the number 1.5"),
        ([], "a list"),
        ({}, "a table"),
        (datetime.date(2026, 1, 1), "a date or time"),
    ],
)
def test_kind_of(value: object, words: str) -> None:
    assert kind_of(value) == words


def test_bounded_does_not_write_thousands_of_digits() -> None:
    assert bounded(16**5000) == "a number of more than 20 digits"
    assert bounded(-(10**19)) == "-10000000000000000000"


@pytest.mark.parametrize(("key", "text"), [("a-b_1", "a-b_1"), ("a b", '"a b"'), ("", '""'), ("é", '"é"')])
def test_key_of(key: str, text: str) -> None:
    assert key_of(key) == text
