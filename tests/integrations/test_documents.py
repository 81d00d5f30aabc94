from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.integrations.documents import (
    MAX_DOCUMENT_CHARS,
    DocumentError,
    decode_base64,
    decode_text,
    member,
    read_json,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "a key is there twice"),
        ('[{"b": {"a": 1, "a": 1}}]', "a key is there twice"),
        ("NaN", "not JSON: NaN"),
        ("[-Infinity]", "not JSON: -Infinity"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 66 + "]" * 66, "nested too deeply"),
        ('{"a":' * 66 + "1" + "}" * 66, "nested too deeply"),
        ("1" * 5000, "not JSON"),
        ("", "not JSON"),
        ("{} {}", "not JSON"),
        (" " * (MAX_DOCUMENT_CHARS + 1), "more than"),
    ],
    ids=[
        "twice",
        "twice-inside",
        "nan",
        "infinity",
        "deep",
        "deep-lists",
        "deep-objects",
        "digits",
        "empty",
        "two",
        "long",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text: str, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        read_json(text, "the job")
    assert str(caught.value).startswith("the job: ")


@given(st.text(max_size=40))
def test_any_text_is_read_as_json_reads_it_or_refused(text: str) -> None:
    try:
        document = read_json(text, "x")
    except DocumentError:
        return
    assert document == json.loads(text)


def test_depth_of_real_documents_is_fine() -> None:
    assert read_json("[" * 64 + "]" * 64, "x") != []


def test_member_takes_any_case_and_refuses_two() -> None:
    assert member({"Tasks": 1}, "tasks") == 1
    assert member({"a": 1}, "tasks") is None
    with pytest.raises(DocumentError, match="TASKS and Tasks: two spellings"):
        member({"Tasks": 1, "TASKS": 2}, "tasks")


def test_decode_base64_and_text() -> None:
    assert decode_base64("e3\n 0=", "x") == b"{}"
    for text in ("e30", "e30=\u00e9", "*"):
        with pytest.raises(DocumentError, match="x: not base64"):
            decode_base64(text, "x")
    assert decode_text(b"\xc3\xa9", "x") == "é"
    with pytest.raises(DocumentError, match="x: not UTF-8 at byte 1"):
        decode_text(b"a\xff", "x")
