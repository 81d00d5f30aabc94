"""The grammar of heads: what it takes, what it says, and how long it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy import grammar

LINE = b"GET http://ok.test/ HTTP/1.1\r\n"


def test_request_expression_takes_what_the_rfc_allows() -> None:
    match = grammar.REQUEST.fullmatch(
        b"M-SEARCH http://ok.test/{|}? HTTP/1.0\r\nA:\r\nX!#:\t caf\xe9 \r\n\r\n"
    )
    assert match is not None
    assert match.groups() == (b"M-SEARCH", b"http://ok.test/{|}?", b"1", b"0")


@pytest.mark.parametrize(
    ("raw", "groups"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", (b"1", b"200", b"OK")),
        (b"HTTP/1.0 204 \r\n\r\n", (b"0", b"204", b"")),
        (b"HTTP/1.1 599\r\nA: b\r\n\r\n", (b"1", b"599", None)),
        (b"HTTP/1.1 200 d\xe9j\xe0 vu\r\n\r\n", (b"1", b"200", b"d\xe9j\xe0 vu")),
    ],
    ids=["usual", "empty phrase", "no phrase", "obs-text"],
)
def test_response_expression_takes_status_lines(raw: bytes, groups: tuple[bytes | None, ...]) -> None:
    match = grammar.RESPONSE.fullmatch(raw)
    assert match is not None
    assert match.groups() == groups


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x16\x03\x01\x02\r\n\r\n", "begins with its method"),
        (b" GET http://ok.test/ HTTP/1.1\r\n\r\n", "begins with its method"),
        (LINE + b"A: b\nC: d\r\n\r\n", "control character"),
        (LINE + b"A: b\rC: d\r\n\r\n", "control character"),
        (LINE + b"A: b\x00\r\n\r\n", "control character"),
        (b"GET http://ok.test/\r\n\r\n", "single spaces"),
        (b"GET  http://ok.test/ HTTP/1.1\r\n\r\n", "single spaces"),
        (b"GET http://ok.test/\xe9 HTTP/1.1\r\n\r\n", "percent-encode"),
        (b"GET http://ok.test/ ICY/1.1\r\n\r\n", "version is missing"),
        (b"GET http://ok.test/ HTTP/1,1\r\n\r\n", "malformed"),
        (LINE + b"A: b\r\n c\r\n\r\n", "folded"),
        (LINE + b"A\r\n\r\n", "no colon"),
        (LINE + b": b\r\n\r\n", "empty name"),
        (LINE + b"A : b\r\n\r\n", "before its colon"),
        (LINE + b"A(b): c\r\n\r\n", "not a token"),
        (LINE + b"A: b", "blank line"),
    ],
)
def test_request_problem_names_the_broken_rule(raw: bytes, words: str) -> None:
    assert grammar.REQUEST.fullmatch(raw) is None
    assert words in grammar.request_problem(raw)


@given(st.binary(max_size=60))
def test_request_problem_never_quotes_the_head(raw: bytes) -> None:
    assert grammar.request_problem(raw).isprintable()


@pytest.mark.parametrize("start", [b"", b"\r", b"\r\n", b"G", b"GET ", b"\r\nGET http", b"a" * 65])
def test_method_start_waits_for_what_can_still_be_a_request(start: bytes) -> None:
    assert grammar.METHOD_START.match(start)


@pytest.mark.parametrize(
    "start", [b"\n", b" GET", b"\x16", b"\x05\x01\x00", b"GET\t", b"SSH-2.0-x\r\n", b"\r\n\r\n"]
)
def test_method_start_refuses_other_protocols_at_once(start: bytes) -> None:
    assert not grammar.METHOD_START.match(start)


@pytest.mark.parametrize(
    "raw",
    [
        LINE + b"A:" + b" " * 60_000 + b"\x00",
        LINE + b"A:\r\n" * 15_000 + b"\x00",
        b"G" * 60_000 + b"\x00",
        LINE + b"A" * 60_000 + b"\x00: b\r\n\r\n",
        LINE + (b"A: " + b"\r" * 60_000),
    ],
    ids=["blanks", "fields", "method", "name", "CR"],
)
@pytest.mark.timeout(2)
def test_expressions_are_linear_in_hostile_input(raw: bytes) -> None:
    assert not grammar.REQUEST.fullmatch(raw)
    assert not grammar.RESPONSE.fullmatch(raw)
    assert not grammar.LINES.fullmatch(raw)
    assert not grammar.FIELD.fullmatch(raw)
    assert not grammar.TRAILING_BLANKS.fullmatch(raw)
