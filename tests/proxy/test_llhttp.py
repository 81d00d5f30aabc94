"""The second reader: agrees with the grammar on fields, refuses what it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.grammar import FIELD
from jobgate.proxy.llhttp import read_request_fields, read_response_fields

LINE = b"GET http://ok.test/ HTTP/1.1\r\n"
NAMES = st.from_regex(rb"x-[!#$%&'*+.^_`|~0-9A-Za-z-]{0,8}", fullmatch=True)
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,12}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_both_readers_see_the_same_fields(fields: list[tuple[bytes, bytes]]) -> None:
    block = b"".join(b"%b:%b\r\n" % field for field in fields) + b"\r\n"
    expected = [(name, value.strip(b" \t")) for name, value in fields]
    by_grammar = [(name, value.rstrip(b" \t")) for name, value in FIELD.findall(block)]
    assert by_grammar == expected
    assert read_request_fields(LINE + block) == (expected, None)
    assert read_response_fields(b"HTTP/1.1 200 OK\r\n" + block) == (expected, None)


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t "], ids=["space", "tab", "both"])
def test_blanks_behind_a_coding_are_no_part_of_it(blanks: bytes) -> None:
    raw = LINE + b"Transfer-Encoding: chunked" + blanks + b"\r\n\r\n"
    assert read_request_fields(raw) == ([(b"Transfer-Encoding", b"chunked")], None)


@pytest.mark.parametrize(
    "fields",
    [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"],
    ids=["CONNECT", "CONNECT with upgrade and length"],
)
def test_stopping_behind_the_head_is_no_refusal(fields: bytes) -> None:
    headers, refusal = read_request_fields(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert refusal is None
    assert headers[0] == (b"Host", b"a")


def test_a_refused_head_still_gives_all_its_fields() -> None:
    raw = LINE + b"Content-Length: x \r\nA:\tb \r\n\r\n"
    headers, refusal = read_request_fields(raw)
    assert headers == [(b"Content-Length", b"x"), (b"A", b"b")]
    assert refusal is not None


def test_an_unknown_method_is_refused() -> None:
    _, refusal = read_request_fields(b"FOO http://ok.test/ HTTP/1.1\r\n\r\n")
    assert refusal is not None
    assert refusal.startswith("Invalid method")
