"""What does a request cost in a gateway of several processes, beside one of a single process?

Two jobs with listeners of their own, and two on a shared listener, each known by its token; each
worker has one of both. All processes of the gate have one core, so that nothing is gained by the
second one: what is measured is what the division of labour costs. The gateways run side by side and
get short bursts of load in turns, so that whatever else the machine does meets all of them.

    python benchmarks/workers.py [--rounds N] [--workers N] [--beside FOLDER] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import processes

CONTENT = b"x" * 1024
CONCURRENT = 16
JOBS = ("first", "second")
PATIENCE_S = 20.0

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
requests_per_s_per_job = 1000000
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


@dataclass(slots=True)
class Tunnel:
    """One under way, and what came of it."""

    sock: socket.socket
    is_open: bool = False
    received: bytes = b""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent to a gate: 16 requests at a time, half of them by each job.

    Attributes:
        origin: Its port.
        core: For the load.
        places: Port of the gate, and the field that a request carries, of each job.
    """

    origin: int
    core: int
    places: list[tuple[int, str]]

    def connects(self, count: int) -> int:
        """Open so many tunnels, and fetch something small in each."""
        poll = select.epoll()
        under_way: dict[int, Tunnel] = {}
        started = 0
        while started < count or under_way:
            while started < count and len(under_way) < CONCURRENT:
                sock = self._begun(*self.places[started % len(self.places)])
                under_way[sock.fileno()] = Tunnel(sock)
                poll.register(sock, select.EPOLLIN)
                started += 1
            found = poll.poll(PATIENCE_S)
            assert found, "the gate does not answer"
            for descriptor, _ in found:
                if self._is_done(under_way[descriptor]):
                    under_way.pop(descriptor).sock.close()
        poll.close()
        return count

    def gets(self, seconds: int) -> int:
        """Ask on kept connections; how many were answered."""
        with ExitStack() as stack:
            asking = [stack.enter_context(self._asking(*place, seconds)) for place in self.places]
            outputs = [process.communicate()[0] for process in asking]
        found = [re.search(r"(\d+) requests in", output) for output in outputs]
        assert all(found), outputs
        assert not any("Non-2xx" in output for output in outputs), outputs
        return sum(int(match[1]) for match in found if match is not None)

    def _begun(self, port: int, shown: str) -> socket.socket:
        authority = f"localhost:{self.origin}"
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{shown}\r\n".encode())
        sock.setblocking(False)
        return sock

    def _is_done(self, tunnel: Tunnel) -> bool:
        tunnel.received += tunnel.sock.recv(65536)
        if tunnel.is_open:
            return tunnel.received.endswith(b"\r\n\r\n" + CONTENT)
        assert tunnel.received.startswith(b"HTTP/1.1 200 "), tunnel.received
        if tunnel.received.endswith(b"\r\n\r\n"):
            tunnel.is_open, tunnel.received = True, b""
            request = f"GET / HTTP/1.1\r\nHost: localhost:{self.origin}\r\nConnection: close\r\n\r\n"
            tunnel.sock.sendall(request.encode())
        return False

    @contextmanager
    def _asking(self, port: int, shown: str, seconds: int) -> Iterator[subprocess.Popen[str]]:
        script = f'wrk.path = "http://localhost:{self.origin}/"\n'
        for line in (f"Host: localhost:{self.origin}", *shown.splitlines()):
            script += 'wrk.headers["{}"] = "{}"\n'.format(*line.split(": ", 1))
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
            file.write(script)
            file.flush()
            arguments = ["-t1", f"-c{CONCURRENT // len(JOBS)}", f"-d{seconds}s", "-s", file.name]
            command = ["taskset", "-c", str(self.core), "wrk", *arguments, f"http://127.0.0.1:{port}"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                yield process


@dataclass(frozen=True, slots=True)
class Running:
    """A gate that runs, how to load it, and what each kind of request cost in it, in µs of CPU time."""

    title: str
    pid: int
    loads: dict[str, Load]
    found: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, kind: str, work: Callable[[], int]) -> None:
        """Do some work, and keep what it cost."""
        before = cpu_s(self.pid)
        count = work()
        self.found.setdefault(kind, []).append((cpu_s(self.pid) - before) / count * 1e6)


def token(job: str) -> str:
    """The token of a job on the shared listener."""
    return f"{job}-{job}-{job}-token"


def cpu_s(root: int) -> float:
    """The CPU time of a process and its children until now, of threads that run: not in ticks."""
    tasks = list(Path(f"/proc/{root}/task").iterdir())
    spent = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return spent + sum(map(cpu_s, children))


@contextmanager
def serving(
    title: str, source: Path, workers: int, folder: Path, origin: int, cores: tuple[int, int]
) -> Iterator[Running]:
    """Run a gate, with the packages in a folder, while the context is entered."""
    folder.mkdir()
    own_ports, shared = [free_port() for _ in JOBS], free_port()
    text = GATE.format(folder=folder, shared=shared, workers=workers, origin=origin)
    # A job goes to the worker that has the fewest: in this order each has one of both kinds.
    for job, port in zip(JOBS, own_ports, strict=True):
        text += JOB.format(id=job, entrance=f'listen = "127.0.0.1:{port}"', origin=origin)
    for job in JOBS:
        text += JOB.format(id=f"{job}-shared", entrance=f'token = "{token(job)}"', origin=origin)
    (folder / "jobgate.toml").write_text(text)
    command = [sys.executable, "-m", "jobgate", "serve", "--config", str(folder / "jobgate.toml")]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    with processes.running(command, cores[0], environment=environment, folder=folder) as process:
        until_ready(folder / "decisions.log")
        own = Load(origin, cores[1], [(port, "") for port in own_ports])
        both = {"own": own, "shared": Load(origin, cores[1], [(shared, _shown(job)) for job in JOBS])}
        yield Running(title, process.pid, both)


def _shown(job: str) -> str:
    shown = b64encode(f"{job}-shared:{token(job)}".encode()).decode()
    return f"Proxy-Authorization: Basic {shown}\r\n"


def measure(gates: list[Running], rounds: int, tunnels: int, get_rounds: int) -> None:
    """Give all gates bursts of load in turns."""
    for gate in gates:  # all is warm, and right
        for load in gate.loads.values():
            load.connects(tunnels)
    for turn in range(rounds):
        in_turn = gates[turn % len(gates) :] + gates[: turn % len(gates)]
        for where in ("own", "shared"):
            for gate in in_turn:
                work = partial(gate.loads[where].connects, tunnels)
                gate.measure(f"CONNECT + 1 kB GET, {where} listener", work)
            for gate in in_turn if turn < get_rounds else []:
                work = partial(gate.loads[where].gets, 1)
                gate.measure(f"keep-alive GET of 1 kB, {where} listener", work)


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


def show(gates: list[Running]) -> None:
    """Print a table: medians and quartiles, and the median ratio of a burst to that of one worker."""
    print("| µs of CPU | " + " | ".join(gate.title for gate in gates) + " |")
    print("|---" * (1 + len(gates)) + "|")
    for kind in sorted(gates[0].found):
        cells = []
        for one, several in zip(gates[::2], gates[1::2], strict=True):
            pairs = zip(several.found[kind], one.found[kind], strict=True)
            ratio = statistics.median(more / less for more, less in pairs)
            cells += [_spread(one.found[kind]), f"{_spread(several.found[kind])}: {ratio:.2f} ×"]
        print(f"| {kind} | " + " | ".join(cells) + " |")


def _spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle:.0f} ({low:.0f}–{high:.0f})"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="bursts of 300 tunnels for each kind and gate")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="a checkout of another version")
    parser.add_argument("--quick", action="store_true", help="two short rounds: is it all there?")
    parser.add_argument("--json", action="store_true", help="every sample")
    options = parser.parse_args()
    rounds, tunnels, get_rounds = (2, 50, 1) if options.quick else (options.rounds, 300, options.rounds // 8)
    cores = processes.two_cores()
    os.sched_setaffinity(0, {cores[1]})
    sources = {"": Path(__file__).resolve().parent.parent / "src"}
    if options.beside:
        if not (options.beside / "src" / "jobgate").is_dir():
            parser.error(f"{options.beside} is no checkout of jobgate")
        sources = {"other version, ": options.beside.resolve() / "src", **sources}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        origin = stack.enter_context(serving_origin(folder, cores[1]))
        gates: list[Running] = []
        for version, source in sources.items():
            for count in (1, options.workers):
                title = f"{version}{count} worker{'s' if count > 1 else ''}"
                place = folder / f"gate-{len(gates)}"
                gates.append(stack.enter_context(serving(title, source, count, place, origin, cores)))
        measure(gates, rounds, tunnels, get_rounds)
    if options.json:
        print(json.dumps({gate.title: gate.found for gate in gates}, indent=2))
    else:
        show(gates)


if __name__ == "__main__":
    main()
