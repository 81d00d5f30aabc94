"""A wall clock that jumps, a log that is full or blocked: traffic goes on as if nothing had happened."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.client import Client
from support.gate import loopback_gate
from support.gate_process import GateProcess, gate_process, job, loop_name, node
from support.http_origin import HttpOrigin
from support.messages import absolute, connect
from support.origin import Origin, echo
from support.wait import until

ROOT = Path(__file__).parents[2]
YEAR_S = 365 * 86400.0
REQUESTS = 400
#: The log writes times for people, and the gate keeps the dates of people (``expires``); nothing else is
#: measured by this clock.
WALL_CLOCKS = {"proxy/gate.py", "proxy/journal.py", "proxy/logwriter.py"}


# --- clock


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S], ids=["a-year-ahead", "a-year-back"])
async def test_jump_of_the_wall_clock_ends_no_deadline_and_no_cap(
    jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    tables = "[timeouts]\nkeepalive_s = 30.0\n[limits]\nrequests_per_s_per_job = 5"
    async with (
        HttpOrigin() as origin,
        Origin(echo) as tunnelled,
        loopback_gate(tables=tables, rate='"10mbit"') as gate,
        gate.client() as plain,
        gate.client() as tunnel,
    ):
        request = absolute(f"http://ok.test:{origin.port}/")
        assert (await plain.request(request)).status == 200
        assert (await tunnel.request(connect(f"ok.test:{tunnelled.port}"), "CONNECT")).status == 200
        monkeypatch.setattr(time, "time", lambda: real() + jump_s)
        await tunnel.send(bytes(100_000))
        assert len(await tunnel.read_exactly(100_000)) == 100_000
        assert (await plain.request(request)).status == 200
        statuses: list[int] = []
        while 429 not in statuses:
            statuses.append((await plain.request(request)).status)
        assert len(statuses) > 1
        assert len(origin.peers) == 1
        tunnel.half_close()
        assert await tunnel.read_to_end() == b""
        await until(lambda: any(line["reason"] == "done" and line["bytes_up"] for line in gate.closes))
        assert all(0 <= float(str(line["duration_s"])) < 60 for line in gate.closes)


async def test_jump_of_the_wall_clock_puts_off_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    async with loopback_gate(tables="[timeouts]\nhead_s = 0.3") as gate, gate.client() as client:
        await client.send(b"GET http://ok.test/ HT")
        monkeypatch.setattr(time, "time", lambda: real() - YEAR_S)
        assert (await client.response()).value("x-jobgate-reason") == "head-timeout"


def test_nothing_but_the_log_and_dates_reads_the_wall_clock() -> None:
    reading: set[str] = set()
    for path in [*(ROOT / "proxy").glob("*.py"), *(ROOT / "ratelimit").glob("*.py")]:
        for found in ast.walk(ast.parse(path.read_text())):
            is_call = isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name)
            if is_call and ast.unparse(found) in ("time.time", "datetime.now", "time.time_ns"):
                reading.add(str(path.relative_to(ROOT)))
    assert reading == WALL_CLOCKS


# --- log


@contextmanager
def blocked_pipe(folder: Path) -> Iterator[Path]:
    """Make a pipe that somebody has open and nobody reads."""
    path = folder / "log.fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield path
    finally:
        os.close(reader)


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    yield Path("/dev/full")


async def serve_all(gate: GateProcess, port: int) -> None:
    """Ask one request after the other; all must be served."""
    async with await Client.connect(gate.port) as client:
        for _ in range(REQUESTS):
            assert (await client.request(absolute(f"http://ok.test:{port}/"))).status == 200


LOGS: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "blocked-pipe": blocked_pipe,
    "full-disk": full_disk,
}


@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
async def test_log_that_takes_nothing_stops_no_request(
    log: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    async with HttpOrigin() as origin:
        with log(tmp_path) as path:
            configuration = node(tables=f'[log]\npath = "{path}"') + job()
            with gate_process(configuration, tmp_path, loop_name()) as gate:
                await serve_all(gate, origin.port)
                before = gate.report().rss_bytes
                await serve_all(gate, origin.port)
                assert gate.report().rss_bytes - before < 8 << 20
    assert len(origin.requests) == 2 * REQUESTS
