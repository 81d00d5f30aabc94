"""What does a request cost in a gateway of several processes, beside one of a single process?

Two jobs with listeners of their own, and two on a shared listener, each known by its token. All
processes of the gate have one core, so that nothing is gained by the second one: what is
measured is what the division of labour costs. Rounds of one and of several workers take turns.

    python benchmarks/workers.py [--rounds N] [--workers N] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import processes

CONTENT = b"x" * 1024
CONCURRENT = 16
JOBS = ("first", "second")

ORIGIN = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    server {{ listen 127.0.0.1:{origin}; location / {{ return 200 "{content}"; }} }}
}}
"""
GATE = """\
[listen]
control = "unix:{folder}/control.sock"
proxy = ["127.0.0.1:{shared}"]
workers = {workers}
[log]
path = "{folder}/decisions.log"
[node]
allow_addresses = ["127.0.0.1:{origin}", "[::1]:{origin}"]
[limits]
requests_per_s_per_job = 0
"""
JOB = """\
[[job]]
id = "{id}"
{entrance}
network = "http"
domains = ["localhost:{origin}"]
rate_up = "unlimited"
rate_down = "unlimited"
tls = "any"
"""

#: What is measured, and what each request needs besides.
KINDS = {
    "CONNECT + 1 kB GET, own listener": "connect",
    "CONNECT + 1 kB GET, shared listener": "connect shared",
    "keep-alive GET of 1 kB, own listener": "get",
    "keep-alive GET of 1 kB, shared listener": "get shared",
}


class Round:
    """A gate that runs, and how to load it.

    Args:
        ports: Of the jobs' listeners, then the shared one.
        origin: Port.
        core: For the load.
    """

    def __init__(self, ports: list[int], origin: int, core: int) -> None:
        self._ports = ports
        self._origin = origin
        self._core = core

    def connects(self, count: int, *, shared: bool) -> int:
        """Open so many tunnels, half of them by each job, and fetch something small in each."""
        places = [self._place(job, shared) for job in JOBS]
        with ThreadPoolExecutor(CONCURRENT) as pool:
            list(pool.map(lambda turn: self._connect(*places[turn % 2]), range(count)))
        return count

    def gets(self, seconds: float, *, shared: bool) -> int:
        """Ask on kept connections, by each job half of the time; how many were answered."""
        return sum(self._get(*self._place(job, shared), seconds / 2) for job in JOBS)

    def _place(self, job: str, shared: bool) -> tuple[int, str]:
        """Where a job's requests go, and the field that they carry."""
        if not shared:
            return self._ports[JOBS.index(job)], ""
        shown = b64encode(f"{job}-shared:{token(job)}".encode()).decode()
        return self._ports[-1], f"Proxy-Authorization: Basic {shown}"

    def _connect(self, port: int, field: str) -> None:
        authority = f"localhost:{self._origin}"
        fields = f"Host: {authority}\r\n" + (f"{field}\r\n" if field else "")
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(f"CONNECT {authority} HTTP/1.1\r\n{fields}\r\n".encode())
            with sock.makefile("rb") as answer:
                assert answer.readline().startswith(b"HTTP/1.1 200 ")
                while answer.readline() != b"\r\n":
                    pass
                sock.sendall(f"GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
                assert answer.read().endswith(b"\r\n\r\n" + CONTENT)

    def _get(self, port: int, field: str, seconds: float) -> int:
        name, _, value = field.partition(": ")
        script = f'wrk.path = "http://localhost:{self._origin}/"\n'
        script += f'wrk.headers["Host"] = "localhost:{self._origin}"\n'
        if field:
            script += f'wrk.headers["{name}"] = "{value}"\n'
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
            file.write(script)
            file.flush()
            arguments = ["-t1", f"-c{CONCURRENT}", f"-d{max(1, round(seconds))}s", "-s", file.name]
            command = ["taskset", "-c", str(self._core), "wrk", *arguments, f"http://127.0.0.1:{port}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"(\d+) requests in", done.stdout)
        assert found is not None, done.stdout
        assert "Non-2xx" not in done.stdout, done.stdout
        return int(found[1])


def token(job: str) -> str:
    """The token of a job on the shared listener."""
    return f"{job}-{job}-{job}-token"


def measure(
    workers: int, folder: Path, origin: int, cores: tuple[int, int], tunnels: int, seconds: float
) -> dict[str, float]:
    """Microseconds of CPU time for each kind of request."""
    ports = [free_port() for _ in range(3)]
    text = GATE.format(folder=folder, shared=ports[-1], workers=workers, origin=origin)
    for job, port in zip(JOBS, ports, strict=False):
        text += JOB.format(id=job, entrance=f'listen = "127.0.0.1:{port}"', origin=origin)
        text += JOB.format(id=f"{job}-shared", entrance=f'token = "{token(job)}"', origin=origin)
    (folder / "jobgate.toml").write_text(text)
    command = [sys.executable, "-m", "jobgate", "serve", "--config", str(folder / "jobgate.toml")]
    with processes.running(command, cores[0]) as process:
        until_ready(folder / "decisions.log")
        load = Round(ports, origin, cores[1])
        works: list[Callable[[], int]] = [
            lambda: load.connects(tunnels, shared=False),
            lambda: load.connects(tunnels, shared=True),
            lambda: load.gets(seconds, shared=False),
            lambda: load.gets(seconds, shared=True),
        ]
        found = {}
        for kind, work in zip(KINDS, works, strict=True):
            load.connects(2, shared=True)  # all is warm, and right
            before = processes.cpu_s(process.pid)
            count = work()
            found[kind] = (processes.cpu_s(process.pid) - before) / count * 1e6
    (folder / "decisions.log").unlink()
    return found


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def until_ready(log: Path, timeout_s: float = 30.0) -> None:
    """Wait for the line that says so."""
    deadline = time.monotonic() + timeout_s
    while not (log.exists() and '"event":"ready"' in log.read_text()):
        assert time.monotonic() < deadline, "the gate does not become ready"
        time.sleep(0.01)


@contextmanager
def serving_origin(folder: Path, core: int) -> Iterator[int]:
    """Serve a kilobyte; the port."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert nginx is not None, "nginx is not installed"
    assert shutil.which("wrk") is not None, "wrk is not installed"
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(ORIGIN.format(folder=folder, origin=port, content=CONTENT.decode()))
    with processes.running([nginx, "-c", str(file)], core):
        deadline = time.monotonic() + 10.0
        with socket.socket() as sock:
            while sock.connect_ex(("127.0.0.1", port)):
                assert time.monotonic() < deadline, "nginx does not listen"
                time.sleep(0.01)
        yield port


def show(samples: dict[int, list[dict[str, float]]]) -> None:
    """Print a table: medians, their range, and what several cost beside one."""
    one, several = samples
    print(f"| µs of CPU | 1 worker | {several} workers | ratio |\n|---|---|---|---|")
    for kind in KINDS:
        cells = []
        for count in (one, several):
            values = [sample[kind] for sample in samples[count]]
            cells.append(f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})")
        ratio = statistics.median(
            more[kind] / less[kind] for less, more in zip(samples[one], samples[several], strict=True)
        )
        print(f"| {kind} | {cells[0]} | {cells[1]} | {ratio:.2f} |")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one short round: is it all there?")
    parser.add_argument("--json", action="store_true", help="every sample")
    options = parser.parse_args()
    rounds, tunnels, seconds = (1, 200, 1.0) if options.quick else (options.rounds, 2000, 4.0)
    cores = processes.two_cores()
    os.sched_setaffinity(0, {cores[1]})
    samples: dict[int, list[dict[str, float]]] = {1: [], options.workers: []}
    with tempfile.TemporaryDirectory() as name, serving_origin(Path(name), cores[1]) as origin:
        for turn in range(rounds):
            for workers in list(samples)[:: 1 if turn % 2 == 0 else -1]:
                samples[workers].append(measure(workers, Path(name), origin, cores, tunnels, seconds))
    if options.json:
        print(json.dumps(samples, indent=2))
    else:
        show(samples)


if __name__ == "__main__":
    main()
