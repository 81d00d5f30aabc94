"""Journal: pairs of lines, a share of the log for each job, nothing without a writer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobgate.proxy import journal as journal_module
from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import DECISIONS_BURST, DECISIONS_PER_S, Journal
from jobgate.proxy.logwriter import LogWriter
from jobgate.proxy.usage import Usage
from support.clock import VirtualClock

NOW = 1_795_181_107.123


class Log:
    """A journal on a file, with a virtual clock."""

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock()
        self._path = path
        self._writer = LogWriter(str(path))
        self.journal = Journal(self._writer, clock_wall=lambda: NOW, clock=self.clock.time)

    def lines(self) -> list[dict[str, object]]:
        """Everything written; ends the log."""
        self._writer.close()
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "log")
    yield log
    log.lines()


def decide(journal: Journal, job: str = "a") -> Exchange:
    exchange = Exchange(job, "127.0.0.1:1", Usage(), journal, lambda: 0.0)
    journal.decision(exchange)
    return exchange


def end(journal: Journal, exchange: Exchange) -> None:
    exchange.end = Reason.DONE
    journal.close(exchange)


def test_decision_and_close_share_an_id_and_carry_the_time(log: Log) -> None:
    exchange = decide(log.journal)
    exchange.bytes_up, exchange.wait_down_s = 1, 0.25
    end(log.journal, exchange)
    decision, close = log.lines()
    assert (decision["event"], close["event"]) == ("decision", "close")
    assert decision["id"] == close["id"] == exchange.id
    assert decision["ts"] == close["ts"] == "2026-11-20T13:25:07.123Z"
    assert (close["bytes_up"], close["wait_down_s"]) == (1, 0.25)


def test_lines_have_their_own_time_also_when_the_clock_goes_back() -> None:
    times = iter([NOW, NOW, NOW + 0.001, NOW, NOW - 3600.0])
    heard: list[str] = []
    journal = Journal(clock_wall=lambda: next(times))
    journal.taps.append(lambda _, line: heard.append(json.loads(line)["ts"][11:]))
    for _ in range(2):
        end(journal, decide(journal))
    decide(journal)
    assert heard == ["13:25:07.123Z", "13:25:07.123Z", "13:25:07.124Z", "13:25:07.123Z", "12:25:07.123Z"]


def test_ready_is_one_line(log: Log) -> None:
    log.journal.ready({"train-42": "127.0.0.1:3128"})
    assert log.lines() == [
        {
            "v": 1,
            "ts": "2026-11-20T13:25:07.123Z",
            "event": "ready",
            "listen": {"train-42": "127.0.0.1:3128"},
        }
    ]


def test_event_of_the_gate_itself_is_one_line(log: Log) -> None:
    log.journal.event("policy", {"action": "reload", "added": ["a"]})
    assert log.lines() == [
        {"v": 1, "ts": "2026-11-20T13:25:07.123Z", "event": "policy", "action": "reload", "added": ["a"]}
    ]


def test_new_id_is_short_hexadecimal_and_unique_over_journals() -> None:
    ids = [journal.new_id() for journal in (Journal(), Journal()) for _ in range(100)]
    assert len(set(ids)) == 200
    assert all(re.fullmatch(r"[0-9a-f]{16}", id) for id in ids)  # so that a line may have it as it is


def test_new_id_counts_the_requests() -> None:
    journal = Journal()
    ids = [journal.new_id() for _ in range(70_000)]
    assert [int(id[8:], 16) for id in ids] == list(range(1, 70_001))
    assert len({id[:8] for id in ids}) == 1


def test_job_above_its_share_loses_pairs_and_the_count_is_logged(log: Log) -> None:
    exchanges = [decide(log.journal) for _ in range(DECISIONS_BURST + 50)]
    for exchange in exchanges:
        end(log.journal, exchange)
    ids = [exchange.id for exchange in exchanges]
    log.clock.advance(1.0)
    late = decide(log.journal)
    lines = log.lines()
    decided = [line["id"] for line in lines if line["event"] == "decision"]
    closed = [line["id"] for line in lines if line["event"] == "close"]
    assert decided == [*ids[:DECISIONS_BURST], late.id]
    assert closed == ids[:DECISIONS_BURST]
    dropped = [line for line in lines if line["event"] == "dropped"]
    assert [(line["job"], line["lines"]) for line in dropped] == [("a", 100)]


def test_job_above_its_share_takes_nothing_from_another(log: Log) -> None:
    for _ in range(DECISIONS_BURST + 50):
        decide(log.journal, "greedy")
    for _ in range(10):
        end(log.journal, decide(log.journal, "quiet"))
    lines = log.lines()
    assert sum(line["job"] == "greedy" for line in lines) == DECISIONS_BURST
    assert sum(line["job"] == "quiet" for line in lines) == 20


def test_share_refills_and_a_flood_logs_one_count_a_second(log: Log) -> None:
    for _ in range(DECISIONS_BURST):
        decide(log.journal)
    for _ in range(2_000):
        log.clock.advance(0.001)
        decide(log.journal)
    lines = log.lines()
    written = sum(line["event"] == "decision" for line in lines) - DECISIONS_BURST
    assert written == pytest.approx(2 * DECISIONS_PER_S, abs=2)
    assert sum(line["event"] == "dropped" for line in lines) == 1


@pytest.mark.parametrize(
    ("requests_per_s", "per_s", "at_once"),
    [(0.0, 200, 1000), (50.0, 200, 1000), (600.0, 600, 1000), (3000.0, 3000, 3000)],
    ids=["requests-unbounded", "few-requests", "some-requests", "many-requests"],
)
def test_job_may_log_what_it_may_ask_for(log: Log, requests_per_s: float, per_s: int, at_once: int) -> None:
    decide(log.journal, "old")
    log.journal.follow(requests_per_s)
    for job in ("old", "new"):
        log.clock.advance(20.0)
        for _ in range(at_once + 10):
            decide(log.journal, job)
        log.clock.advance(0.1)
        for _ in range(per_s):
            decide(log.journal, job)
    lines = [line["job"] for line in log.lines() if line["event"] == "decision"]
    share = at_once + per_s // 10
    assert (lines.count("old"), lines.count("new")) == (1 + share, share)


def test_report_dropped_logs_what_is_left_at_the_end(log: Log) -> None:
    for _ in range(DECISIONS_BURST + 3):
        decide(log.journal)
    log.journal.report_dropped()
    log.journal.report_dropped()
    lines = log.lines()
    assert [line["lines"] for line in lines if line["event"] == "dropped"] == [3]


def test_without_a_writer_no_line_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("decision_line", "close_line", "ready_line", "timestamp", "timestamp_ms"):
        monkeypatch.setattr(journal_module, name, pytest.fail)
    journal = Journal()
    for _ in range(DECISIONS_BURST + 1):
        end(journal, decide(journal))
    journal.ready({})
    journal.report_dropped()


def test_taps_get_the_lines_of_a_job_that_are_within_its_share() -> None:
    heard: list[tuple[str, bytes]] = []
    journal = Journal(clock=VirtualClock().time)
    journal.taps.append(lambda job, line: heard.append((job, line)))
    for _ in range(DECISIONS_BURST + 1):
        end(journal, decide(journal))
    journal.report_dropped()
    assert {job for job, _ in heard} == {"a"}
    events = [json.loads(line)["event"] for _, line in heard]
    assert events == ["decision", "close"] * DECISIONS_BURST + ["dropped"]
    assert not any(line.endswith(b"\n") for _, line in heard)


def test_tap_and_writer_get_the_same_lines(log: Log) -> None:
    heard: list[dict[str, object]] = []
    log.journal.taps.append(lambda _, line: heard.append(json.loads(line)))
    end(log.journal, decide(log.journal))
    assert heard == log.lines()


def test_forget_logs_the_count_and_frees_the_share(log: Log) -> None:
    silent = [decide(log.journal) for _ in range(DECISIONS_BURST + 3)][-1]
    log.journal.forget("a")
    log.journal.forget("nobody")
    assert log.journal._shares == {}
    end(log.journal, silent)  # later than it should: neither a line nor a share comes back
    assert log.journal._shares == {}
    end(log.journal, decide(log.journal))
    lines = log.lines()
    assert [line["lines"] for line in lines if line["event"] == "dropped"] == [3]
    assert [line["event"] for line in lines][-2:] == ["decision", "close"]


@pytest.mark.parametrize(
    ("fields", "job"), [({"job": "a", "action": "add"}, "a"), ({"action": "reload"}, "")], ids=["job", "gate"]
)
def test_tap_hears_of_events(fields: dict[str, object], job: str) -> None:
    heard: list[tuple[str, bytes]] = []
    journal = Journal()
    journal.taps.append(lambda about, line: heard.append((about, line)))
    journal.event("policy", fields)
    ((about, line),) = heard
    assert about == job
    assert json.loads(line) == {"v": 1, "ts": json.loads(line)["ts"], "event": "policy", **fields}
