"""Framing and connection fields: one reading or none."""

from __future__ import annotations

import tracemalloc

import pytest

from jobgate.config.host import Name
from jobgate.proxy.errors import BadRequest, ProxyError, Reason
from jobgate.proxy.framing import (
    CHUNKED,
    NO_CONTENT,
    Content,
    asks_for_websocket,
    connection_options,
    declared_content,
    expects_continue,
    host_field,
    list_elements,
    names_websocket,
    note_fields,
)

LENGTH = b"content-length"
CODING = b"transfer-encoding"


def test_note_fields_collects_by_lower_case_name_in_order() -> None:
    noted = note_fields([(b"HOST", b"a"), (b"Accept", b"x"), (b"hOsT", b"b"), (b"Upgrade", b"c")])
    assert noted == {b"host": [b"a", b"b"], b"upgrade": [b"c"]}


def test_list_elements_splits_lines_and_ignores_empty_ones() -> None:
    assert list_elements([b"Keep-Alive, X-A ,,\tX-B\t", b"", b"x-c"]) == [
        b"keep-alive",
        b"x-a",
        b"x-b",
        b"x-c",
    ]


@pytest.mark.parametrize(
    ("noted", "options"),
    [
        ({}, set()),
        ({b"connection": [b"Close, X-Hop"]}, {b"close", b"x-hop"}),
        ({b"proxy-connection": [b"Close"]}, {b"close"}),
        ({b"proxy-connection": [b"keep-alive, x-a"]}, set()),
        ({b"connection": [b"x-a"], b"proxy-connection": [b"close"]}, {b"x-a", b"close"}),
    ],
    ids=["none", "close", "proxy-connection close", "proxy-connection otherwise", "both"],
)
def test_connection_options(noted: dict[bytes, list[bytes]], options: set[bytes]) -> None:
    assert connection_options(noted) == options


def test_long_lists_of_options_are_not_kept() -> None:
    tracemalloc.start()
    try:
        for n in range(20):
            value = b",".join(b"%x" % (n * 10_000 + option) for option in range(10_000))
            assert len(connection_options({b"connection": [value]})) == 10_000
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 100_000, "a job chooses what it sends, and all jobs share the memory"


@pytest.mark.parametrize(
    ("noted", "content"),
    [
        ({}, NO_CONTENT),
        ({LENGTH: [b"0"]}, Content("length", 0)),
        ({LENGTH: [b"0005"]}, Content("length", 5)),
        ({LENGTH: [b"9" * 18]}, Content("length", 10**18 - 1)),
        ({CODING: [b"Chunked"]}, CHUNKED),
        ({CODING: [b"\tchunked "]}, CHUNKED),
    ],
    ids=["none", "zero", "leading zeros", "18 digits", "case", "blanks"],
)
def test_declared_content_reads_what_is_clear(noted: dict[bytes, list[bytes]], content: Content) -> None:
    assert declared_content(noted, 1) == content


@pytest.mark.parametrize(
    "length",
    [b"", b"+5", b"-5", b"5e0", b"0x5", b"5;", b"5, 5", b"1_0", b"5 5", b"\xd9\xa5", b"\xa05", b"9" * 19],
    ids=ascii,
)
def test_declared_content_refuses_what_is_no_number(length: bytes) -> None:
    with pytest.raises(BadRequest):
        declared_content({LENGTH: [length]}, 1)


@pytest.mark.parametrize(
    ("noted", "minor"),
    [
        ({LENGTH: [b"5", b"5"]}, 1),
        ({LENGTH: [b"5"], CODING: [b"chunked"]}, 1),
        ({CODING: [b"chunked"]}, 0),
        ({CODING: [b"identity"]}, 1),
        ({CODING: [b"chunked, gzip"]}, 1),
        ({CODING: [b"chunked, chunked"]}, 1),
        ({CODING: [b"chunked", b"chunked"]}, 1),
        ({CODING: [b"chunked", b"identity"]}, 1),
        ({CODING: [b"chunkedx"]}, 1),
        ({CODING: [b'"chunked"']}, 1),
        ({CODING: [b"chunked;q=1"]}, 1),
        ({CODING: [b"chun ked"]}, 1),
        ({CODING: [b"\x0bchunked"]}, 1),
        ({CODING: [b""]}, 1),
        ({CODING: [b"chunked,"]}, 1),
        ({CODING: [b", chunked"]}, 1),
    ],
    ids=str,
)
def test_declared_content_refuses_what_can_be_read_twice(noted: dict[bytes, list[bytes]], minor: int) -> None:
    with pytest.raises(BadRequest):
        declared_content(noted, minor)


@pytest.mark.parametrize("values", [[b"foo, chunked"], [b"gzip", b"chunked"]], ids=["one line", "two lines"])
def test_declared_content_does_not_know_other_codings(values: list[bytes]) -> None:
    with pytest.raises(ProxyError) as caught:
        declared_content({CODING: values}, 1)
    assert caught.value.reason is Reason.TRANSFER_CODING


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [(b"OK.test", "ok.test", 80), (b"ok.test.:81", "ok.test", 81), (b"ok.test:", "ok.test", 80)],
)
def test_host_field_is_read_as_an_authority(value: bytes, host: str, port: int) -> None:
    assert host_field({b"host": [value]}, 1) == (Name(host), port)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"ok.test", b"ok.test"],
        [b"ok.test:abc"],
        [b"http://ok.test"],
        [b"user@ok.test"],
        [b"a b"],
        [b"o\xe9"],
    ],
    ids=str,
)
def test_host_field_refuses_missing_repeated_and_invalid(values: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        host_field({b"host": values} if values else {}, 1)


def test_host_field_may_be_missing_in_http_1_0_only() -> None:
    assert host_field({}, 0) is None
    with pytest.raises(BadRequest):
        host_field({b"host": [b"a", b"a"]}, 0)


@pytest.mark.parametrize(
    ("value", "minor", "content", "expected"),
    [
        (b"100-Continue", 1, Content("length", 5), True),
        (b"100-continue", 0, Content("length", 5), False),
        (b"100-continue", 1, NO_CONTENT, False),
        (b"dance", 1, CHUNKED, False),
    ],
    ids=["waits", "HTTP/1.0", "no content", "other expectation"],
)
def test_expects_continue(value: bytes, minor: int, content: Content, expected: bool) -> None:
    assert expects_continue({b"expect": [value]}, minor, content) is expected


@pytest.mark.parametrize(
    ("connection", "upgrade", "expected"),
    [
        (b"keep-alive, Upgrade", b"WebSocket", True),
        (b"keep-alive", b"websocket", False),
        (b"upgrade", b"h2c", False),
        (b"upgrade", b"websocket, h2c", False),
        (b"upgrade", b"websocket/13", False),
    ],
    ids=["websocket", "not listed", "h2c", "two protocols", "version"],
)
def test_names_websocket_alone_and_listed(connection: bytes, upgrade: bytes, expected: bool) -> None:
    noted = {b"connection": [connection], b"upgrade": [upgrade]}
    assert names_websocket(noted) is expected
    assert asks_for_websocket(b"GET", 1, noted, NO_CONTENT) is expected


@pytest.mark.parametrize(
    ("method", "minor", "content"),
    [(b"POST", 1, NO_CONTENT), (b"GET", 0, NO_CONTENT), (b"GET", 1, Content("length", 5))],
    ids=["POST", "HTTP/1.0", "content"],
)
def test_asks_for_websocket_only_where_it_can_have_it(method: bytes, minor: int, content: Content) -> None:
    noted = {b"connection": [b"upgrade"], b"upgrade": [b"websocket"]}
    assert asks_for_websocket(method, minor, noted, content) is False
