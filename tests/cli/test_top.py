"""``jobgate top`` as a command, against a control API that the test plays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from jobgate.cli.top import SORTS, command
from jobgate.cli.top_model import SORTS as MODEL_SORTS
from support.played_api import Shape, job
from support.serve import ENVIRONMENT
from support.web_thread import served


class Gateway:
    """Two jobs; every look finds more bytes and a later time."""

    def __init__(self) -> None:
        self.looks = 0
        self.seen = threading.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/jobs", self._jobs)
        app.router.add_get("/v1/jobs/{id}/usage", self._usage)
        return app

    async def _jobs(self, request: web.Request) -> web.Response:
        self.looks += 1
        if self.looks >= 3:
            self.seen.set()
        jobs = [self._job("quick", 2_500_000), self._job("slow", 125_000)]
        return web.json_response({"at": 1e9 + 2 * self.looks, "next": None, "jobs": jobs})

    async def _usage(self, request: web.Request) -> web.Response:
        row = {"authority": "evil.test:443", "reason": "not-listed", "kind": "connect", "count": 7}
        return web.json_response(
            {
                "live": job("any")["live"],
                "decisions": {},
                "reached": [],
                "refused": [{**row, "proposals": []}],
                "overlooked": [],
                "failed": [],
            }
        )

    def _job(self, id: str, bytes_per_look: int) -> Shape:
        live = {"connections": 3, "requests": 9, "refused": 2, "bytes_down": bytes_per_look * self.looks}
        return job(id, live=live | {"rate_up": None, "rate_down": 1_250_000.0})


@pytest.fixture
def gateway() -> Iterator[tuple[Gateway, str]]:
    gateway = Gateway()
    with served(gateway.app()) as address:
        yield gateway, address.removeprefix("http://")


def test_once_prints_one_table_with_rates(gateway: tuple[Gateway, str]) -> None:
    _, control = gateway
    arguments = ["--once", "--interval", "0.1", "--control", control, "--sort", "down"]
    result = CliRunner().invoke(command, arguments, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("jobgate  2 jobs, 6 connections  down 10.5 Mbit/s")
    assert lines[3].split()[:4] == ["quick", "10", "Mbit/s", "100%"]
    assert lines[4].split()[:4] == ["slow", "500", "kbit/s", "5%"]
    assert lines[-1].split() == ["evil.test:443", "7", "not-listed", "slow"]


@pytest.mark.parametrize("options", [["--once"], []], ids=["once", "live"])
def test_gateway_that_does_not_answer_is_an_error(options: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [*options, "--control", str(tmp_path / "none.sock")])
    assert result.exit_code == 1
    assert "none.sock: No such file or directory" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["--sort", "size"], ["--interval", "0"], ["--interval", "x"], ["more"]],
    ids=["sort", "zero", "no number", "argument"],
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_every_sort_can_be_asked_for() -> None:
    assert set(SORTS) == set(MODEL_SORTS)


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_live_ends_with_a_key_or_an_interrupt(gateway: tuple[Gateway, str], term: str) -> None:
    played, control = gateway
    person, program = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobgate", "top", "--control", control, "--interval", "0.1"],
        stdin=program,
        stdout=program,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "TERM": term, "COLUMNS": "100", "LINES": "30"},
    )
    os.close(program)
    text = bytearray()
    reader = threading.Thread(target=read_all, args=(person, text))
    reader.start()
    assert played.seen.wait(20)
    if term == "dumb":
        process.send_signal(2)
    else:
        os.write(person, b"dq")
    _, errors = process.communicate(timeout=20)
    reader.join(20)
    os.close(person)
    assert (process.returncode, errors) == (0, b"")
    assert b"quick" in text
    assert (b"\x1b[?1049h" in text) is (term != "dumb")  # the screen of its own is entered, and left
    assert (b"\x1b[?1049l" in text) is (term != "dumb")
    assert (b"\x1b" in text) is (term != "dumb")


def read_all(descriptor: int, text: bytearray) -> None:
    """Read a terminal until its program is gone."""
    try:
        while data := os.read(descriptor, 65536):
            text += data
    except OSError:  # EIO: nobody has the other end
        return


@pytest.mark.parametrize(
    "module", ["jobgate.cli.top", "jobgate.cli.sidecar", "jobgate.gateway.service", "jobgate.gateway.control"]
)
def test_nothing_is_loaded_before_it_is_needed(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "late = {'rich', 'prometheus_client', 'aiohttp', 'jobgate.gateway.dashboard'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
