"""Log lines: exact schema, and no value that breaks out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.proxy.records import (
    MAX_VALUE_CHARS,
    close_line,
    decision_line,
    dropped_line,
    ready_line,
    timestamp,
)

TS = "2026-11-20T13:25:07.123Z"

DECISION: dict[str, object] = {
    "v": 1,
    "ts": TS,
    "event": "decision",
    "id": "0123456700000001",
    "job": "train-42",
    "client": "127.0.0.1:54321",
    "kind": "connect",
    "method": "CONNECT",
    "host": "www.example.com",
    "port": 443,
    "decision": "allow",
    "reason": None,
    "rule": ".example.com",
}


def decision(
    *,
    kind: str | None = "connect",
    method: str | None = "CONNECT",
    host: str | None = "www.example.com",
    port: int | None = 443,
    allowed: bool = True,
    reason: str | None = None,
    rule: str | None = ".example.com",
    client: str = "127.0.0.1:54321",
    dropped: Sequence[str] = (),
) -> bytes:
    return decision_line(
        TS,
        id="0123456700000001",
        job="train-42",
        client=client,
        kind=kind,
        method=method,
        host=host,
        port=port,
        allowed=allowed,
        reason=reason,
        rule=rule,
        dropped=dropped,
    )


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795181107.123456, "2026-11-20T13:25:07.123Z"),
        (1795181107.999999, "2026-11-20T13:25:07.999Z"),
        (1709210096.5, "2024-02-29T12:34:56.500Z"),
    ],
    ids=["epoch", "contract", "no-rounding-up", "leap-day"],
)
def test_timestamp_is_utc_with_milliseconds(now: float, text: str) -> None:
    assert timestamp(now) == text


def test_decision_line_of_an_allowed_request_has_exactly_these_fields_in_this_order() -> None:
    line = decision()
    assert list(json.loads(line).items()) == list(DECISION.items())
    assert line.endswith(b"}\n")


def test_decision_line_of_a_refusal_names_the_reason() -> None:
    record = json.loads(decision(allowed=False, reason="not-listed", rule=None))
    assert record == {**DECISION, "decision": "deny", "reason": "not-listed", "rule": None}


def test_decision_line_of_a_head_that_did_not_parse_has_nulls() -> None:
    record = json.loads(
        decision(kind=None, method=None, host=None, port=None, allowed=False, reason="bad-request", rule=None)
    )
    unknown = {"kind": None, "method": None, "host": None, "port": None, "rule": None}
    assert record == {**DECISION, **unknown, "decision": "deny", "reason": "bad-request"}


@pytest.mark.parametrize(
    ("address", "status"), [("192.0.2.7:443", 200), (None, None)], ids=["dialled", "not-dialled"]
)
def test_close_line_has_exactly_these_fields_in_this_order(address: str | None, status: int | None) -> None:
    line = close_line(
        TS,
        id="0123456700000001",
        job="train-42",
        address=address,
        status=status,
        reason="done",
        bytes_up=517,
        bytes_down=4_000_000_000,
        duration_s=3240.5,
        dns_s=0.0123456,
        connect_s=1e-7,
        wait_up_s=0.0,
        wait_down_s=3000.25,
    )
    assert list(json.loads(line).items()) == [
        ("v", 1),
        ("ts", TS),
        ("event", "close"),
        ("id", "0123456700000001"),
        ("job", "train-42"),
        ("address", address),
        ("status", status),
        ("reason", "done"),
        ("bytes_up", 517),
        ("bytes_down", 4_000_000_000),
        ("duration_s", 3240.5),
        ("dns_s", 0.012346),
        ("connect_s", 0.0),
        ("wait_up_s", 0.0),
        ("wait_down_s", 3000.25),
    ]
    assert line.endswith(b"}\n")


@pytest.mark.parametrize(
    ("sni", "ech", "extra"),
    [
        ("evil.test", False, {"sni": "evil.test"}),
        (None, True, {"ech": True}),
        ('a"\r\n', True, {"sni": 'a"\r\n', "ech": True}),
    ],
    ids=["L3-other-name", "L14-ech", "hostile"],
)
def test_close_line_shows_what_the_client_hello_said(
    sni: str | None, ech: bool, extra: dict[str, object]
) -> None:
    line = close_line(
        TS,
        id="1",
        job="a",
        address="192.0.2.7",
        status=200,
        reason="sni",
        bytes_up=0,
        bytes_down=0,
        duration_s=0.0,
        dns_s=0.0,
        connect_s=0.0,
        wait_up_s=0.0,
        wait_down_s=0.0,
        sni=sni,
        ech=ech,
    )
    assert re.fullmatch(rb"[ -~]+\n", line)
    assert dict(list(json.loads(line).items())[15:]) == extra


def test_ready_line_shows_where_each_job_listens() -> None:
    line = ready_line(TS, {"train-42": "127.0.0.1:3128", "b": "unix:/run/b.sock"})
    assert line == (
        b'{"v":1,"ts":"2026-11-20T13:25:07.123Z","event":"ready",'
        b'"listen":{"train-42":"127.0.0.1:3128","b":"unix:/run/b.sock"}}\n'
    )


@pytest.mark.parametrize(("job", "text"), [(None, b"null"), ("a", b'"a"')], ids=["the-log", "a-job"])
def test_dropped_line_gives_the_count(job: str | None, text: bytes) -> None:
    line = dropped_line(TS, 17, job)
    assert line == (
        b'{"v":1,"ts":"2026-11-20T13:25:07.123Z","event":"dropped","job":' + text + b',"lines":17}\n'
    )


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nb",
        '","decision":"allow',
        "\u2028\u2029\x85",
        "\x1b[2J\x1b]0;x\x07",
        "\\",
        "\x00",
        "\ud800",
        "\U0001f600",
    ],
    ids=["CRLF", "quotes", "line-separators", "ANSI", "backslash", "NUL", "surrogate", "astral"],
)
def test_hostile_value_stays_one_value_in_printable_ascii(value: str) -> None:
    line = decision(method=value, client=value, rule=value)
    assert re.fullmatch(rb"[ -~]+\n", line)
    assert json.loads(line) == {**DECISION, "method": value, "client": value, "rule": value}


def test_long_value_is_cut() -> None:
    line = decision(method="M" * 10_000, rule="." + "\u2028" * 10_000)
    record = json.loads(line)
    assert record["method"] == "M" * MAX_VALUE_CHARS
    assert len(record["rule"]) == MAX_VALUE_CHARS
    assert len(line) < 4096


@given(st.text(), st.text(), st.none() | st.text(), st.none() | st.integers(0, 65_535), st.booleans())
def test_any_values_make_one_line_that_parses_back(
    client: str, method: str, host: str | None, port: int | None, allowed: bool
) -> None:
    line = decision(client=client, method=method, host=host, port=port, allowed=allowed)
    assert re.fullmatch(rb"[ -~]+\n", line)
    record = json.loads(line)
    assert list(record) == list(DECISION)
    assert record["client"] == client[:MAX_VALUE_CHARS]
    assert record["decision"] == ("allow" if allowed else "deny")
    assert (record["host"], record["port"]) == (host and host[:MAX_VALUE_CHARS], port)


def test_decision_line_names_dropped_addresses_only_where_some_were() -> None:
    assert json.loads(decision(dropped=("10.0.0.1", "::1")))["dropped"] == ["10.0.0.1", "::1"]
    assert "dropped" not in json.loads(decision())
