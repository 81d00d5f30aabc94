"""What starting takes: `jobgate run true`, and a sidecar beside a bare import of what it is made of.

The bare import is the floor of a Python process with these libraries: its memory, and the time until it says
that it is ready. The sidecar is ready with its `ready` line; its memory is read after its first request, for
which it has had to ask a name server. All are started as users have them (``installed.py``).
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import processes
from installed import ENVIRONMENT, install
from load_target import SMALL, LoadError, Target, content, is_answer

LIBRARIES = "asyncio, uvloop, httptools, aiolimiter, dns.asyncresolver"
RUN_TRUE = ["-m", "jobgate", "run", "--domain", "example.com", "--no-summary", "--", "true"]
PYTHON_PASS = ["-c", "pass"]
BARE_IMPORT = ["-c", f"import {LIBRARIES}; print('{{}}', flush=True); input()"]
SIDECAR = [
    "-m",
    "jobgate",
    "sidecar",
    "--advisory",
    "--tls",
    "any",
    "--listen",
    "127.0.0.1:0",
    "--rate",
    "unlimited",
]
_NAME = "origin.test"
_SETTINGS = """\
[node]
allow_addresses = ["127.0.0.1:{origin}"]
[dns]
servers = ["127.0.0.1:{names}"]
[log]
path = "-"
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Medians of some starts, taken in turn; ms and MB.

    Attributes:
        run_true_ms, python_ms: ``jobgate run true``, and an empty Python.
        sidecar_ms, import_ms: Until they say that they are ready.
        sidecar_mb, import_mb: Resident, of the sidecar after its first resolved request.
    """

    run_true_ms: float
    python_ms: float
    sidecar_ms: float
    import_ms: float
    sidecar_mb: float
    import_mb: float


def measure(folder: Path, origin: int, starts: int, core: int) -> Start:
    """Start everything so many times, on a core of its own.

    Raises:
        LoadError: A request through the sidecar brought something wrong.
    """
    folder.mkdir()
    python = install(folder / "environment")
    found: dict[str, list[float]] = {name: [] for name in Start.__dataclass_fields__}
    with _names() as port:
        file = folder / "sidecar.toml"
        file.write_text(_SETTINGS.format(origin=origin, names=port))
        sidecar = [*SIDECAR, "--config", str(file), "--domain", f"{_NAME}:{origin}", "--rate", "unlimited"]
        for _ in range(starts):
            found["python_ms"].append(processes.wall_s([python, *PYTHON_PASS], ENVIRONMENT, core=core) * 1e3)
            found["run_true_ms"].append(processes.wall_s([python, *RUN_TRUE], ENVIRONMENT, core=core) * 1e3)
            with _ready([python, *BARE_IMPORT], core) as (process, took_s, _):
                found["import_ms"].append(took_s * 1e3)
                found["import_mb"].append(processes.rss_bytes(process.pid) / 1e6)
            with _ready([python, *sidecar], core) as (process, took_s, line):
                found["sidecar_ms"].append(took_s * 1e3)
                listen = json.loads(line)["listen"]
                _ask(int(str(*listen.values()).rpartition(":")[2]), origin)
                found["sidecar_mb"].append(processes.rss_bytes(process.pid) / 1e6)
    return Start(**{name: statistics.median(values) for name, values in found.items()})


@contextlib.contextmanager
def _ready(command: Sequence[str], core: int) -> Iterator[tuple[subprocess.Popen[bytes], float, bytes]]:
    """Run a program; give it, the seconds until its first line, and that line."""
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        preexec_fn=processes.on_core(core),
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took_s = time.perf_counter() - started
        try:
            if not line:
                raise LoadError(f"{' '.join(command)} ended before it was ready")
            yield process, took_s, line
        finally:
            process.terminate()
            process.stdout.read()


def _ask(port: int, origin: int) -> None:
    target = Target([port], origin)
    request = target.get_bytes(SMALL).replace(b"localhost", _NAME.encode())
    with target.connection() as sock:
        sock.sendall(target.connect_bytes(_NAME))
        if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
            raise LoadError("the sidecar opened no tunnel")
        sock.sendall(request)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    if not is_answer(answer) or not answer.endswith(content(SMALL)):
        raise LoadError(f"the sidecar brought {answer[:100]!r}")


@contextlib.contextmanager
def _names() -> Iterator[int]:
    """Answer queries for one name over UDP while the context is entered; give the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        thread = threading.Thread(target=_answer, args=(sock,), daemon=True)
        thread.start()
        yield port
        sock.sendto(b"", ("127.0.0.1", port))
        thread.join()


def _answer(sock: socket.socket) -> None:
    while True:
        wire, client = sock.recvfrom(4096)
        if not wire:
            return
        asked = dns.message.from_wire(wire)
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        if (question := asked.question[0]).rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "127.0.0.1"))
        sock.sendto(answer.to_wire(), client)
