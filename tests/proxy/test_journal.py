"""Journal: pairs of lines, a share of the log for each job, nothing without a writer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobgate.proxy import journal as journal_module
from jobgate.proxy.journal import DECISIONS_BURST, DECISIONS_PER_S, Journal
from jobgate.proxy.logwriter import LogWriter
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


def decide(journal: Journal, job: str = "a") -> str:
    id = journal.new_id()
    journal.decision(
        id=id,
        job=job,
        client="127.0.0.1:1",
        kind="http",
        method="GET",
        host="a.test",
        port=80,
        allowed=True,
        reason=None,
        rule="a.test",
    )
    return id


def end(journal: Journal, id: str, job: str = "a") -> None:
    journal.close(
        id=id,
        job=job,
        address="192.0.2.1",
        status=200,
        reason="done",
        bytes_up=1,
        bytes_down=2,
        duration_s=0.5,
        dns_s=0.0,
        connect_s=0.0,
        wait_up_s=0.0,
        wait_down_s=0.25,
    )


def test_decision_and_close_share_an_id_and_carry_the_time(log: Log) -> None:
    id = decide(log.journal)
    end(log.journal, id)
    decision, close = log.lines()
    assert (decision["event"], close["event"]) == ("decision", "close")
    assert decision["id"] == close["id"] == id
    assert decision["ts"] == close["ts"] == "2026-11-20T13:25:07.123Z"
    assert (close["bytes_up"], close["wait_down_s"]) == (1, 0.25)


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


def test_new_id_is_short_and_unique_over_journals() -> None:
    ids = [journal.new_id() for journal in (Journal(), Journal()) for _ in range(100)]
    assert len(set(ids)) == 200
    assert {len(id) for id in ids} == {16}


def test_job_above_its_share_loses_pairs_and_the_count_is_logged(log: Log) -> None:
    ids = [decide(log.journal) for _ in range(DECISIONS_BURST + 50)]
    for id in ids:
        end(log.journal, id)
    log.clock.advance(1.0)
    late = decide(log.journal)
    lines = log.lines()
    decided = [line["id"] for line in lines if line["event"] == "decision"]
    closed = [line["id"] for line in lines if line["event"] == "close"]
    assert decided == [*ids[:DECISIONS_BURST], late]
    assert closed == ids[:DECISIONS_BURST]
    dropped = [line for line in lines if line["event"] == "dropped"]
    assert [(line["job"], line["lines"]) for line in dropped] == [("a", 100)]


def test_job_above_its_share_takes_nothing_from_another(log: Log) -> None:
    for _ in range(DECISIONS_BURST + 50):
        decide(log.journal, "greedy")
    for _ in range(10):
        end(log.journal, decide(log.journal, "quiet"), "quiet")
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


def test_report_dropped_logs_what_is_left_at_the_end(log: Log) -> None:
    for _ in range(DECISIONS_BURST + 3):
        decide(log.journal)
    log.journal.report_dropped()
    log.journal.report_dropped()
    lines = log.lines()
    assert [line["lines"] for line in lines if line["event"] == "dropped"] == [3]


def test_without_a_writer_no_line_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("decision_line", "close_line", "ready_line", "timestamp"):
        monkeypatch.setattr(journal_module, name, pytest.fail)
    journal = Journal()
    for _ in range(DECISIONS_BURST + 1):
        end(journal, decide(journal))
    journal.ready({})
    journal.report_dropped()
