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

import namespaces
from faulty_network import Network
from soak_policy import Policy

_ROOT = Path(__file__).resolve().parent.parent
#: ``benchmarks`` itself is on the path of its scripts.
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT / 'tests'}"}

CONFIGURATION = "jobgate.toml"


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
    """A running ``jobgate serve``.

    Attributes:
        process: The one that serves.
        old: Those that it has followed, in order.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "gate.log"
        self.stderr = folder / "stderr"
        self.old: list[subprocess.Popen[bytes]] = []
        self._network = network
        self._started = time.monotonic()
        self._turn = 0
        self.process = self._start()

    def upgrade(self) -> None:
        """Have a new process take over.

        Raises:
            RuntimeError: It did not start.
        """
        self.old.append(self.process)
        self.process = self._start()

    def old_exit_codes(self, timeout_s: float = 60.0) -> list[int | None]:
        """Wait for those that drain; ``None``: one did not end."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(process.poll() is None for process in self.old):
            time.sleep(0.2)
        return [process.poll() for process in self.old]

    def kill(self) -> None:
        """End all processes."""
        for process in (*self.old, self.process):
            if process.poll() is None:
                process.kill()
            process.wait()

    def _start(self, timeout_s: float = 20.0) -> subprocess.Popen[bytes]:
        """Start a process and wait until it says in the log that it is ready."""
        command = [sys.executable, "-m", "jobgate", "serve", "--take-over", "--config"]
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.stderr.open("ab") as stderr:
            process = subprocess.Popen(
                namespaces.inside(self._network.gate, [*command, str(self.folder / CONFIGURATION)]),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not (self.log.exists() and b'"event":"ready"' in self.log.read_bytes()[before:]):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"the gate did not start: {self.stderr.read_text()}")
            time.sleep(0.05)
        return process

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

    def sockets(self) -> Counter[str]:
        """Say which are open; those of TCP by their lines in ``/proc/PID/net/tcp`` as well."""
        proc = Path(f"/proc/{self.process.pid}")
        sockets = {line.split()[9]: line for line in (proc / "net/tcp").read_text().splitlines()[1:]}
        found: Counter[str] = Counter()
        for entry in (proc / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(entry.readlink())
                inode = target.removeprefix("socket:[").rstrip("]")
                if target.startswith("socket:"):
                    found[f"{target} {sockets.get(inode, '')[:45]}"] += 1
        return found

    def rotate(self) -> Path:
        """Move the log away and have the gate open it anew; return where it is now."""
        self._turn += 1
        moved = self.log.with_suffix(f".{self._turn}")
        self.log.rename(moved)
        self.process.send_signal(signal.SIGHUP)
        return moved

    def reload(self, text: str) -> None:
        """Write another configuration and have the gate read it."""
        configure(self.folder, text)
        self.process.send_signal(signal.SIGHUP)

    def complaints(self) -> str:
        """Give what it wrote to standard error, without what it must say of a broken configuration."""
        lines = self.stderr.read_text(errors="replace").splitlines()
        told = ("jobgate: not reloaded, all stays as it was:", f"jobgate: {self.folder / CONFIGURATION}: ")
        return "\n".join(line for line in lines if not line.startswith(told))

    def stop(self, timeout_s: float) -> int | None:
        """Tell it to drain; return its exit code, ``None`` if it did not end in time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def configure(folder: Path, text: str) -> None:
    """Put a configuration where the gate reads it, all at once."""
    new = folder / "new.toml"
    new.write_text(text)
    new.rename(folder / CONFIGURATION)


@contextlib.contextmanager
def running_gate(network: Network, folder: Path) -> Iterator[Gate]:
    """Run the gate while the context is entered."""
    configure(folder, Policy().written(str(folder)))
    gate = Gate(network, folder)
    try:
        yield gate
    finally:
        gate.kill()
