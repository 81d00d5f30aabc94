"""The gate under soak: its configuration, its process, and what ``/proc`` says of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faulty_network import GATE_INSIDE, ORIGIN, Network
from soak_client import Job
from soak_names import DOMAIN
from soak_origin import PORT, RESET_PORT

_ROOT = Path(__file__).resolve().parent.parent
#: ``benchmarks`` itself is on the path of its scripts.
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT / 'tests'}"}
JOBS = [
    Job("limited", GATE_INSIDE, 3101),
    Job("unlimited", GATE_INSIDE, 3102),
    Job("small", GATE_INSIDE, 3103),
]
_RATES = {"limited": "10mbit", "unlimited": "unlimited", "small": "1mbit"}
DRAIN_S = 25.0
#: Whoever lost a reset is let go after this: then nothing of the load is left.
IDLE_S = 30.0

_NODE = f"""\
[node]
allow_addresses = ["{ORIGIN}"]
deny = ["denied.{DOMAIN}"]
[log]
path = "{{folder}}/gate.log"
[dns]
servers = ["{ORIGIN}"]
timeout_s = 3.0
cache_entries = 512  # full before the second quarter, with which the last one is compared
[limits]
dns_names_per_s_per_job = 100
[timeouts]
tunnel_idle_s = {IDLE_S}
half_closed_s = {IDLE_S}
upstream_response_s = {IDLE_S}
keepalive_s = 15.0
drain_s = {DRAIN_S}
"""
#: The one place of what a job is allowed.
_JOB = f"""
[[job]]
id = "{{name}}"
listen = "{{address}}:{{port}}"
network = "http"
domains = [".{DOMAIN}", ".{DOMAIN}:{PORT}", ".{DOMAIN}:{RESET_PORT}"]
rate_up = "{{rate}}"
rate_down = "{{rate}}"
tls = "any"
"""


def configuration(folder: Path) -> str:
    """Write the whole configuration."""
    jobs = (
        _JOB.format(name=job.name, address=job.address, port=job.port, rate=_RATES[job.name]) for job in JOBS
    )
    return _NODE.format(folder=folder) + "".join(jobs)


@dataclass(frozen=True, slots=True)
class Sample:
    """The gate at one moment.

    Attributes:
        at_s: Since the start.
        rss_kib: Resident memory.
        descriptors: Open ones.
        threads: Tasks of the kernel. Those of the event loop cannot be seen from outside; each
            that serves a connection holds a descriptor.
        close_waits: Sockets whose peer has ended and that the gate has not closed.
        cpu_s: Used so far.
    """

    at_s: float
    rss_kib: int
    descriptors: int
    threads: int
    close_waits: int
    cpu_s: float


class Gate:
    """A running ``jobgate serve``."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.log = folder / "gate.log"
        self.stderr = folder / "stderr"
        self._started = time.monotonic()
        self._turn = 0

    def until_ready(self, timeout_s: float = 20.0) -> None:
        """Wait for the first line of its log.

        Raises:
            RuntimeError: It did not come.
        """
        deadline = time.monotonic() + timeout_s
        while not (self.log.exists() and self.log.stat().st_size):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the gate did not start: {self.stderr.read_text()}")
            time.sleep(0.05)

    def sample(self) -> Sample:
        """Look at it.

        Raises:
            FileNotFoundError, ProcessLookupError: It has ended.
        """
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        times = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
        sockets = (proc / "net/tcp").read_text().splitlines()[1:]
        return Sample(
            at_s=round(time.monotonic() - self._started, 1),
            rss_kib=int(status["VmRSS"].split()[0]),
            descriptors=len(list((proc / "fd").iterdir())),
            threads=int(status["Threads"]),
            close_waits=sum(line.split()[3] == "08" for line in sockets),
            cpu_s=sum(map(int, times)) / os.sysconf("SC_CLK_TCK"),
        )

    def descriptors(self) -> Counter[str]:
        """Say what is open; a TCP socket by its line in ``/proc/PID/net/tcp`` as well."""
        proc = Path(f"/proc/{self.process.pid}")
        sockets = {line.split()[9]: line for line in (proc / "net/tcp").read_text().splitlines()[1:]}
        found: Counter[str] = Counter()
        for entry in (proc / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(entry.readlink())
                inode = target.removeprefix("socket:[").rstrip("]")
                found[f"{target} {sockets.get(inode, '')[:45]}"] += 1
        return found

    def rotate(self) -> Path:
        """Move the log away and have the gate open it anew; return where it is now."""
        self._turn += 1
        moved = self.log.with_suffix(f".{self._turn}")
        self.log.rename(moved)
        self.process.send_signal(signal.SIGHUP)
        return moved

    def stop(self, timeout_s: float) -> int | None:
        """Tell it to drain; return its exit code, ``None`` if it did not end in time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


@contextlib.contextmanager
def running_gate(network: Network, folder: Path) -> Iterator[Gate]:
    """Run the gate while the context is entered."""
    file = folder / "jobgate.toml"
    file.write_text(configuration(folder))
    command = [sys.executable, "-m", "jobgate", "serve", "--config", str(file)]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            network.command(network.gate, command),
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    try:
        gate = Gate(process, folder)
        gate.until_ready()
        yield gate
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
