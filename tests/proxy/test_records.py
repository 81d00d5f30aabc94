"""Log lines: exact schema, and no value that breaks out of it."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Name
from jobgate.proxy.decision import Kind, Target
from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import Journal
from jobgate.proxy.records import (
    MAX_VALUE_CHARS,
    close_line,
    decision_line,
    dropped_line,
    event_line,
    ready_line,
    timestamp,
)
from jobgate.proxy.usage import Usage

TS = "2026-11-20T13:25:07.123Z"
CONNECT = Target(Kind.CONNECT, Name("www.example.com"), 443)

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


class Id(Journal):
    """Gives every exchange the same id."""

    def new_id(self) -> str:
        return "0123456700000001"


def record(
    asked: Target | None = CONNECT, *, method: str = "CONNECT", client: str = "127.0.0.1:54321"
) -> Exchange:
    """Begin the record of a request."""
    exchange = Exchange("train-42", client, Usage(), Id(), lambda: 0.0)
    exchange.target, exchange.method = asked, method
    exchange.rule = ".example.com"
    return exchange


def closed(address: str | None = "192.0.2.7", status: int | None = 200) -> Exchange:
    """A record that has ended."""
    exchange = record()
    exchange.address, exchange.status, exchange.end = address, status, Reason.DONE
    return exchange


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
    line = decision_line(TS, record())
    assert list(json.loads(line).items()) == list(DECISION.items())
    assert line.endswith(b"}\n")


def test_decision_line_of_a_refusal_names_the_reason() -> None:
    exchange = record()
    exchange.refused, exchange.rule = Reason.NOT_LISTED, None
    found = json.loads(decision_line(TS, exchange))
    assert found == {**DECISION, "decision": "deny", "reason": "not-listed", "rule": None}


def test_decision_line_of_a_head_that_did_not_parse_has_nulls() -> None:
    exchange = record(None, method="")
    exchange.refused, exchange.rule = Reason.BAD_REQUEST, None
    unknown = {"kind": None, "method": None, "host": None, "port": None, "rule": None}
    found = json.loads(decision_line(TS, exchange))
    assert found == {**DECISION, **unknown, "decision": "deny", "reason": "bad-request"}


def test_decision_line_of_an_address_has_no_brackets() -> None:
    asked = Target(Kind.HTTP, ip_address("2001:db8::1"), 80)
    assert json.loads(decision_line(TS, record(asked)))["host"] == "2001:db8::1"


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (None, {"decision": "allow", "reason": "not-listed", "would": "deny"}),
        (Reason.ADDRESS, {"decision": "deny", "reason": "address"}),
    ],
    ids=["let-pass", "refused-for-another-reason"],
)
def test_decision_line_in_report_mode_says_what_would_have_been(
    refused: Reason | None, expected: dict[str, object]
) -> None:
    exchange = record()
    exchange.would_refuse, exchange.refused = Reason.NOT_LISTED, refused
    assert json.loads(decision_line(TS, exchange)) == {**DECISION, **expected}


@pytest.mark.parametrize(
    ("address", "status"), [("192.0.2.7", 200), (None, None)], ids=["dialled", "not-dialled"]
)
def test_close_line_has_exactly_these_fields_in_this_order(address: str | None, status: int | None) -> None:
    exchange = closed(address, status)
    exchange.bytes_up, exchange.bytes_down, exchange.duration_s = 517, 4_000_000_000, 3240.5
    exchange.dns_s, exchange.connect_s, exchange.wait_down_s = 0.0123456, 1e-7, 3000.25
    line = close_line(TS, exchange)
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
    ("sni", "ech", "would", "extra"),
    [
        ("www.example.com", False, None, {}),
        ("evil.test", False, None, {"sni": "evil.test"}),
        (None, True, None, {"ech": True}),
        ('a"\r\n', True, None, {"sni": 'a"\r\n', "ech": True}),
        ("evil.test", False, Reason.SNI, {"sni": "evil.test", "would": "sni"}),
        (None, False, Reason.NOT_TLS, {"would": "not-tls"}),
    ],
    ids=["same-name", "L3-other-name", "L14-ech", "hostile", "reported-name", "reported-protocol"],
)
def test_close_line_shows_what_the_client_hello_said(
    sni: str | None, ech: bool, would: Reason | None, extra: dict[str, object]
) -> None:
    exchange = closed()
    exchange.server_name, exchange.ech = sni and Name(sni), ech  # type: ignore[assignment]  # "" is no case
    exchange.would_end = would
    line = close_line(TS, exchange)
    assert re.fullmatch(rb"[ -~]+\n", line)
    assert dict(list(json.loads(line).items())[15:]) == extra


def test_ready_line_shows_where_each_job_listens() -> None:
    line = ready_line(TS, {"train-42": "127.0.0.1:3128", "b": "unix:/run/b.sock"}, {})
    assert line == (
        b'{"v":1,"ts":"2026-11-20T13:25:07.123Z","event":"ready",'
        b'"listen":{"train-42":"127.0.0.1:3128","b":"unix:/run/b.sock"}}\n'
    )


def test_ready_line_shows_where_the_gateway_listens_besides() -> None:
    line = ready_line(TS, {}, {"control": "unix:/run/c.sock", "proxy": ["127.0.0.1:3128"]})
    assert line.endswith(b'"listen":{},"control":"unix:/run/c.sock","proxy":["127.0.0.1:3128"]}\n')


def test_event_line_is_one_line_of_ascii_whatever_is_in_it() -> None:
    line = event_line(TS, "policy", {"what": "a\n\x1b\u2028", "job": None})
    assert line == (
        b'{"v":1,"ts":"2026-11-20T13:25:07.123Z","event":"policy","what":"a\\n\\u001b\\u2028","job":null}\n'
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
    exchange = record(method=value, client=value)
    exchange.rule = value
    line = decision_line(TS, exchange)
    assert re.fullmatch(rb"[ -~]+\n", line)
    assert json.loads(line) == {**DECISION, "method": value, "client": value, "rule": value}


def test_long_value_is_cut() -> None:
    exchange = record(method="M" * 10_000)
    exchange.rule = "." + "\u2028" * 10_000
    line = decision_line(TS, exchange)
    found = json.loads(line)
    assert found["method"] == "M" * MAX_VALUE_CHARS
    assert len(found["rule"]) == MAX_VALUE_CHARS
    assert len(line) < 4096


@given(st.text(), st.text(min_size=1), st.text(), st.integers(0, 65_535), st.booleans())
def test_any_values_make_one_line_that_parses_back(
    client: str, method: str, host: str, port: int, allowed: bool
) -> None:
    exchange = record(Target(Kind.CONNECT, Name(host), port), method=method, client=client)
    exchange.refused = None if allowed else Reason.DENIED
    line = decision_line(TS, exchange)
    assert re.fullmatch(rb"[ -~]+\n", line)
    found = json.loads(line)
    assert list(found) == list(DECISION)
    assert (found["client"], found["method"]) == (client[:MAX_VALUE_CHARS], method[:MAX_VALUE_CHARS])
    assert found["decision"] == ("allow" if allowed else "deny")
    assert (found["host"], found["port"]) == (host.strip("[]")[:MAX_VALUE_CHARS], port)


def test_decision_line_names_dropped_addresses_only_where_some_were() -> None:
    exchange = record()
    assert "dropped" not in json.loads(decision_line(TS, exchange))
    exchange.dropped = ("10.0.0.1", "::1")
    assert json.loads(decision_line(TS, exchange))["dropped"] == ["10.0.0.1", "::1"]


def test_lines_of_jobs_and_clients_that_differ_in_one_are_told_apart() -> None:
    asked = [("a", "c"), ("a", "d"), ("b", "c"), ("a", "c")]
    exchanges = [Exchange(job, client, Usage(), Id(), lambda: 0.0) for job, client in asked]
    decisions = [json.loads(decision_line(TS, exchange)) for exchange in exchanges]
    closes = [json.loads(close_line(TS, exchange)) for exchange in exchanges]
    assert [(line["job"], line["client"]) for line in decisions] == asked
    assert [line["job"] for line in closes] == [job for job, _ in asked]
