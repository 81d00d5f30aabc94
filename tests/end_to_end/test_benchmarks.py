"""The benchmarks run, are right about what they start, and name what they cannot. No figure is judged."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PEERS = ("jobgate", "Squid", "tinyproxy", "tinyproxy, syslog", "Envoy", "proxy.py", "splice relay", "nginx")


def benchmark(
    name: str, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **(environment or {})},
        check=False,
        timeout=170,
    )


def missing_for_run() -> list[str]:
    """What ``run.py`` cannot do without."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    programs = [name for name in ("nginx", "wrk") if shutil.which(name, path=path) is None]
    return programs + ([] if len(os.sched_getaffinity(0)) > 1 else ["a second core"])


def test_run_shows_every_configuration() -> None:
    done = benchmark("run.py", "--show")
    assert (done.returncode, done.stderr) == (0, "")
    for peer in PEERS:
        assert f"--- {peer}: " in done.stdout


def test_run_refuses_a_proxy_that_it_does_not_know() -> None:
    done = benchmark("run.py", "--only", "nobody", "--no-install")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "run: no proxy is called nobody\n"


@pytest.mark.parametrize(
    ("library", "page", "plot", "said"),
    [
        ("", ROOT / "benchmarks/README.md", "plot.svg", "README.md cannot link to "),
        ("", "page.md", ROOT / "docs/images/cost.svg", "page.md cannot link to "),
        ("raise ImportError('no such library')", "page.md", "plot.svg", "no such library"),
    ],
    ids=["plot elsewhere", "report elsewhere", "no matplotlib"],
)
def test_run_says_at_once_what_it_could_not_write(
    tmp_path: Path, library: str, page: str | Path, plot: str | Path, said: str
) -> None:
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib/__init__.py").write_text(library)
    for name in ("pyplot", "axes"):
        (tmp_path / f"matplotlib/{name}.py").write_text("Axes = None")
    files = ("--markdown", str(tmp_path / page), "--plot", str(tmp_path / plot))
    done = benchmark(
        "run.py", "--no-install", "--only", "jobgate", *files, environment={"PYTHONPATH": str(tmp_path)}
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert (done.stderr.startswith("run: "), done.stderr.count("\n")) == (True, 1)


@pytest.mark.timeout(180)
@pytest.mark.skipif(bool(missing_for_run()), reason=f"missing: {', '.join(missing_for_run())}")
def test_run_measures_the_gate_and_names_a_missing_peer(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text("before\n<!-- result of run.py -->\nold\n<!-- end of result -->\nafter\n")
    done = benchmark(
        "run.py",
        *("--quick", "--no-install", "--only", "jobgate", "--only", "proxy.py"),
        *("--json", str(figures), "--markdown", str(page)),
        environment={"XDG_CACHE_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    (sample,) = found["rounds"]["jobgate"]
    assert all(figure is not None for figure in sample.values())
    assert len(found["rounds"]["direct (nginx)"]) == 1
    assert set(found["missing"]) == {"proxy.py"}
    assert {budget["met"] for budget in found["budgets"] if "Envoy" in budget["text"]} == {None}
    text = page.read_text()
    assert "proxy.py is missing: `proxy.py` is not installed." in text
    assert text.startswith("before\n<!-- result of run.py -->\n\ncpu: ")
    assert text.endswith("<!-- end of result -->\nafter\n")
    assert "old" not in text.split()


def test_relay_joins_both_ways_and_passes_an_end_on() -> None:
    sent = os.urandom(3_000_000)
    with socket.create_server(("127.0.0.1", 0)) as origin:
        answering = threading.Thread(target=answer_backwards, args=(origin,))
        answering.start()
        command = [sys.executable, str(BENCHMARKS / "splice_relay.py"), "0", str(origin.getsockname()[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as relay:
            assert relay.stdout is not None
            try:
                assert exchanged(int(relay.stdout.readline()), sent) == sent[::-1]
            finally:
                relay.kill()
        answering.join()


def test_receiver_writes_what_is_logged_line_by_line() -> None:
    with TemporaryDirectory(prefix="jobgate-log-") as name:  # the path of a socket is short
        place, file = Path(name, "dev/log"), Path(name, "lines")
        command = [sys.executable, str(BENCHMARKS / "syslog_receiver.py"), str(place), str(file)]
        with subprocess.Popen(command) as receiver, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                wait_until(place.exists)
                sock.connect(str(place))
                for _ in range(10_000):
                    sock.send(b"<14>tinyproxy[1]: Connect")
                wait_until(lambda: file.stat().st_size > 100_000)
            finally:
                receiver.kill()
        assert set(file.read_text().splitlines()[:1000]) == {"<14>tinyproxy[1]: Connect"}


def exchanged(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def answer_backwards(origin: socket.socket) -> None:
    """Answer one connection, behind its end, with all that it sent, the last byte first."""
    origin.settimeout(30)
    sock, _ = origin.accept()
    with sock:
        sock.settimeout(30)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        sock.sendall(data[::-1])


def test_instructions_say_that_there_is_no_such_commit() -> None:
    done = benchmark("instructions.py", "--compare", "no-such-commit")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("instructions: ")
    assert "no-such-commit" in done.stderr
    assert done.stderr.count("\n") == 1
