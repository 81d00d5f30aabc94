from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from jobgate.config.host import Authority, Name
from jobgate.proxy.decision import Kind, Target
from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import Journal
from jobgate.proxy.records import close_line, decision_line
from jobgate.proxy.usage import ALLOW, Reached, Refused, Usage
from support.clock import VirtualClock

AUTHORITY = Authority(Name("ok.test"), 8080)


class FakeJournal(Journal):
    """Keeps the lines as they were written."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions: list[dict[str, object]] = []
        self.closes: list[dict[str, object]] = []

    def decision(self, exchange: Exchange) -> None:
        self.decisions.append(json.loads(decision_line("", exchange)))

    def close(self, exchange: Exchange) -> None:
        self.closes.append(json.loads(close_line("", exchange)))


class Rig:
    """One exchange with everything around it."""

    def __init__(self) -> None:
        self.clock = VirtualClock(100.0)
        self.journal = FakeJournal()
        self.usage = Usage()
        self.exchange = Exchange("job", "192.0.2.7:49152", self.usage, self.journal, self.clock.time)

    def ask(self, method: bytes = b"GET") -> None:
        self.exchange.asks(Kind.HTTP, method, AUTHORITY)


def allow(exchange: Exchange) -> None:
    exchange.allow()


def refuse(reason: Reason) -> Step:
    return lambda exchange: exchange.refuse(reason)


def finish(reason: Reason) -> Step:
    return lambda exchange: exchange.finish(reason)


Step = Callable[[Exchange], None]
NOT_LISTED = refuse(Reason.NOT_LISTED)

WAYS: dict[str, tuple[list[Step], bool, str, str]] = {
    "allowed": ([allow], True, "", "done"),
    "allowed-twice": ([allow, allow], True, "", "done"),
    "refused": ([NOT_LISTED], False, "not-listed", "done"),
    "refused-twice": ([NOT_LISTED, refuse(Reason.RATE)], False, "not-listed", "done"),
    "allowed-then-failed": ([allow, refuse(Reason.CONNECT_REFUSED)], True, "", "done"),
    "refused-then-allowed": ([NOT_LISTED, allow], False, "not-listed", "done"),
    "never-decided": ([], False, "done", "done"),
    "finished-before": ([finish(Reason.IDLE)], False, "idle", "idle"),
}


@pytest.mark.parametrize("is_late", [False, True], ids=["before the end", "with the end"])
def test_decision_line_that_may_wait_is_written_once_and_before_the_close_line(is_late: bool) -> None:
    rig, due = Rig(), list[Callable[[], None]]()
    rig.ask()
    rig.exchange.allow(due.append)
    rig.exchange.allow()
    assert (rig.journal.decisions, rig.usage.decisions[ALLOW], len(due)) == ([], 1, 1)
    if not is_late:
        due[0]()
        assert len(rig.journal.decisions) == 1
    rig.exchange.refuse(Reason.CONNECT_REFUSED)
    rig.exchange.finish(Reason.CONNECT_REFUSED)
    due[0]()
    assert [line["decision"] for line in rig.journal.decisions] == ["allow"]
    assert len(rig.journal.closes) == 1


@pytest.mark.parametrize(("steps", "allowed", "decided", "ended"), WAYS.values(), ids=WAYS)
def test_finish_leaves_one_decision_and_one_close_line(
    steps: list[Step], allowed: bool, decided: str, ended: str
) -> None:
    rig = Rig()
    rig.ask()
    for step in steps:
        step(rig.exchange)
    rig.exchange.finish(Reason.DONE)
    rig.exchange.finish(Reason.CLIENT_RESET)
    (decision,), (close,) = rig.journal.decisions, rig.journal.closes
    assert decision["id"] == close["id"] == rig.exchange.id
    assert (decision["decision"], decision["reason"] or "") == ("allow" if allowed else "deny", decided)
    assert close["reason"] == ended


def test_decision_line_of_a_head_that_never_parsed_names_no_target() -> None:
    rig = Rig()
    rig.exchange.refuse(Reason.BAD_REQUEST)
    (line,) = rig.journal.decisions
    assert [line[key] for key in ("kind", "method", "host", "port")] == [None] * 4
    assert rig.usage.refused == {}
    assert list(rig.usage.denials) == []


def test_decision_line_shows_what_was_asked_for() -> None:
    rig = Rig()
    rig.ask()
    rig.exchange.rule = ".ok.test"
    rig.exchange.allow()
    (line,) = rig.journal.decisions
    assert (line["job"], line["client"], line["rule"]) == ("job", "192.0.2.7:49152", ".ok.test")
    assert (line["kind"], line["method"], line["host"], line["port"]) == ("http", "GET", "ok.test", 8080)


def test_method_that_is_no_ascii_is_escaped() -> None:
    rig = Rig()
    rig.ask(b"G\xe9T\r\n")
    assert rig.exchange.method == "G\\xe9T\r\n"


def test_refused_request_is_counted_and_can_be_read_back() -> None:
    rig = Rig()
    rig.ask()
    rig.exchange.refuse(Reason.NOT_LISTED)
    assert rig.usage.refused == {Refused("ok.test:8080", "not-listed", "http"): 1}
    assert rig.usage.denials[0]["host"] == "ok.test"
    assert rig.usage.denials[0]["reason"] == "not-listed"


def test_close_line_has_the_time_since_the_head_by_the_given_clock() -> None:
    rig = Rig()
    rig.clock.advance(2.5)
    rig.exchange.finish(Reason.DONE)
    assert rig.journal.closes[0]["duration_s"] == 2.5


def test_traffic_is_counted_only_where_an_upstream_was_reached() -> None:
    rig = Rig()
    rig.ask()
    rig.exchange.allow()
    rig.exchange.bytes_up, rig.exchange.bytes_down = 10, 20
    rig.exchange.address = "192.0.2.1"
    rig.exchange.finish(Reason.DONE)
    assert rig.usage.reached["ok.test:8080"] == Reached(requests=1, bytes_up=10, bytes_down=20)

    unreached = Rig()
    unreached.ask()
    unreached.exchange.allow()
    unreached.exchange.finish(Reason.CONNECT_REFUSED)
    assert unreached.usage.reached == {}


def test_ends_and_their_times_are_added_up() -> None:
    rig = Rig()
    for dns_s, connect_s in ((0.25, 0.0), (0.0, 0.5), (0.0, 0.0)):
        exchange = Exchange("job", "192.0.2.7:49152", rig.usage, rig.journal, rig.clock.time)
        exchange.allow()
        exchange.dns_s, exchange.connect_s = dns_s, connect_s
        rig.clock.advance(2.0)
        exchange.finish(Reason.DONE)
    usage = rig.usage
    assert (usage.duration_s, usage.dns_s, usage.connect_s) == (6.0, 0.25, 0.5)
    assert (usage.requests, usage.refused_requests, usage.ends) == (3, 0, {"done": 3})


def test_reason_of_both_method_refusals_is_one_word() -> None:
    rig = Rig()
    rig.exchange.finish(Reason.METHOD_UNKNOWN)
    assert (rig.journal.decisions[0]["reason"], rig.journal.closes[0]["reason"]) == ("method", "method")


def test_decisions_are_counted_by_reason() -> None:
    rig = Rig()
    rig.ask()
    rig.exchange.allow()
    rig.exchange.refuse(Reason.CONNECT_REFUSED)
    assert rig.usage.decisions == {ALLOW: 1}
    rig.exchange.refuse_tunnel(Reason.SNI)
    assert rig.usage.decisions == {ALLOW: 1, "sni": 1}


# --- report mode


def test_request_that_report_mode_lets_pass_says_so_in_its_decision_line() -> None:
    rig = Rig()
    rig.ask()
    rig.exchange.overlook(Reason.NOT_LISTED)
    rig.exchange.allow()
    rig.exchange.finish(Reason.DONE)
    (line,) = rig.journal.decisions
    assert (line["decision"], line["reason"], line["would"]) == ("allow", "not-listed", "deny")
    assert "would" not in rig.journal.closes[0]
    assert rig.usage.overlooked == {Refused("ok.test:8080", "not-listed", "http"): 1}
    assert rig.usage.decisions == {ALLOW: 1}


def test_tunnel_that_report_mode_lets_pass_says_so_in_its_close_line() -> None:
    rig = Rig()
    rig.exchange.asks(Kind.CONNECT, b"CONNECT", AUTHORITY)
    rig.exchange.allow()
    rig.exchange.server_name = Name("other.test")
    rig.exchange.overlook(Reason.SNI)
    rig.exchange.finish(Reason.DONE)
    assert "would" not in rig.journal.decisions[0]
    assert rig.journal.closes[0]["would"] == "sni"
    assert rig.usage.overlooked == {Refused("other.test:8080", "sni", "connect"): 1}


def test_targets_are_what_was_asked_for_and_what_the_hello_names() -> None:
    rig = Rig()
    assert rig.exchange.targets() == []
    rig.exchange.asks(Kind.CONNECT, b"CONNECT", AUTHORITY)
    assert rig.exchange.targets() == [Target(Kind.CONNECT, Name("ok.test"), 8080)]
    rig.exchange.server_name = Name("sub.ok.test")
    assert rig.exchange.targets()[1:] == [Target(Kind.CONNECT, Name("sub.ok.test"), 8080)]
