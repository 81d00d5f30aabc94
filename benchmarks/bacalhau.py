"""Is a Bacalhau job's gateway as fast as Bacalhau says: 10 Mbit/s each way, for all of the job together?

    python benchmarks/bacalhau.py [--json]

Starts `jobgate bacalhau` in a network namespace of its own, with an origin beside it under a public
address, and plays cases R1 to R7 and C6: downloads and uploads of 5 MB, alone and at once, over plain
HTTP and in tunnels. Needs root and ip; takes 40 seconds. Nothing leaves the namespace.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import peers
from run_report import machine

SIZE_BYTES = 5_000_000
ORIGIN = "93.184.215.14"
GATE = ("127.0.0.1", 8080)
CONFIG = f'[dns.hosts]\n"example.com" = ["{ORIGIN}"]\n[log]\npath = "/dev/null"\n'
VARIABLES = {
    "BACALHAU_HTTP_DOMAINS": '["example.com"]',
    "BACALHAU_HTTP_CLIENTS": '["127.0.0.0/8"]',
    "BACALHAU_JOB_ID": "bench",
}
PROBE = b"GET / HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
INSIDE = "JOBGATE_BENCHMARK_INSIDE"
_RECORD = struct.Struct("!BHH")


def hello() -> bytes:
    """What a TLS client sends first, for the one listed name."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="example.com")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


# --- the origin


def read_head(stream: socket.socket) -> tuple[bytes, bytes]:
    """A head, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(65536)
        if not piece:
            raise EOFError
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def serve_http(stream: socket.socket) -> None:
    """Take a POST of the size whole, answer a GET with the size."""
    head, rest = read_head(stream)
    if head.startswith(b"POST"):
        take(stream, SIZE_BYTES - len(rest))
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    else:
        fields = f"Content-Length: {SIZE_BYTES}\r\nConnection: close\r\n\r\n"
        stream.sendall(f"HTTP/1.1 200 OK\r\n{fields}".encode() + bytes(SIZE_BYTES))


def serve_tunnel(stream: socket.socket) -> None:
    """Skip the hello, then send the size, or take it and say so."""
    with stream.makefile("rb") as reader:
        _, _, length = _RECORD.unpack(reader.read(_RECORD.size))
        reader.read(length)
        if reader.read(1) == b"d":
            stream.sendall(bytes(SIZE_BYTES))
        else:
            left = SIZE_BYTES
            while left:
                left -= len(reader.read1(min(left, 65536)))
            stream.sendall(b"k")


def take(stream: socket.socket, size: int) -> float:
    """Read so many bytes; say in how many seconds."""
    began = time.monotonic()
    while size > 0:
        piece = stream.recv(min(size, 65536))
        if not piece:
            raise EOFError(f"{size} bytes are missing")
        size -= len(piece)
    return time.monotonic() - began


def origin(port: int) -> None:
    """Serve every connection to a port by a thread of its own."""
    listener = socket.create_server((ORIGIN, port))

    def serve(stream: socket.socket) -> None:
        with stream:
            try:
                (serve_http if port == 80 else serve_tunnel)(stream)
            except (EOFError, OSError):
                return

    def accept() -> None:
        while True:
            Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    Thread(target=accept, daemon=True).start()


# --- the job


def get(_: int = 0) -> float:
    """Download over plain HTTP; seconds."""
    with socket.create_connection(GATE) as stream:
        began = time.monotonic()
        stream.sendall(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        head, rest = read_head(stream)
        assert head.startswith(b"HTTP/1.1 200 "), head
        take(stream, SIZE_BYTES - len(rest))
        return time.monotonic() - began


def post() -> float:
    """Upload over plain HTTP at full speed; seconds to the answer."""
    with socket.create_connection(GATE) as stream:
        began = time.monotonic()
        fields = f"Host: example.com\r\nContent-Length: {SIZE_BYTES}\r\n\r\n"
        stream.sendall(f"POST http://example.com/ HTTP/1.1\r\n{fields}".encode() + bytes(SIZE_BYTES))
        assert stream.recv(65536).startswith(b"HTTP/1.1 200 ")
        return time.monotonic() - began


@contextmanager
def tunnel() -> Iterator[socket.socket]:
    """A tunnel behind its hello."""
    with socket.create_connection(GATE) as stream:
        stream.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        assert read_head(stream)[0].startswith(b"HTTP/1.1 200 ")
        stream.sendall(hello())
        yield stream


def download(_: int = 0) -> float:
    """Download in a tunnel; seconds."""
    with tunnel() as stream:
        began = time.monotonic()
        stream.sendall(b"d")
        take(stream, SIZE_BYTES)
        return time.monotonic() - began


def upload(_: int = 0) -> float:
    """Upload in a tunnel; seconds until the origin has all."""
    with tunnel() as stream:
        began = time.monotonic()
        stream.sendall(b"u" + bytes(SIZE_BYTES))
        take(stream, 1)
        return time.monotonic() - began


def burst_bytes(window_s: float = 0.005) -> int:
    """What comes at once after a pause: the most in the first moments, less what the rate itself brings."""
    time.sleep(2.0)
    with tunnel() as stream:
        stream.sendall(b"d")
        received = len(stream.recv(1 << 20))
        until = time.monotonic() + window_s
        while (left := until - time.monotonic()) > 0:
            stream.settimeout(left)
            try:
                received += len(stream.recv(1 << 20))
            except TimeoutError:
                break
        return received - int(window_s * 1_250_000)


def mbit(seconds: float, size: int = SIZE_BYTES) -> float:
    """Payload per second."""
    return round(size * 8 / seconds / 1e6, 2)


def measure() -> dict[str, object]:
    """Play the cases, one after the other."""
    found: dict[str, object] = {}
    found["R1 one GET, Mbit/s"] = mbit(get())
    found["R2 tunnel down, Mbit/s"] = mbit(download())
    found["R2 tunnel up, Mbit/s"] = mbit(upload())
    with ThreadPoolExecutor(4) as pool:
        began = time.monotonic()
        each = list(pool.map(download, range(3)))
        found["R3 three tunnels, together, Mbit/s"] = mbit(time.monotonic() - began, 3 * SIZE_BYTES)
        found["R3 slowest over fastest"] = round(max(each) / min(each), 3)
        both = [pool.submit(download), pool.submit(upload)]
        found["R4 down and up at once, Mbit/s"] = [mbit(future.result()) for future in both]
    found["R5 POST at full speed, Mbit/s"] = mbit(post())
    found["R6 burst after a pause, bytes"] = burst_bytes()
    with tunnel() as idle:
        idle.sendall(b"d")  # and never reads
        found["R7 GET beside a client that does not read, Mbit/s"] = mbit(get())
    return found


@contextmanager
def gate(folder: Path) -> Iterator[float]:
    """Run a gate; seconds from its start to the first 400."""
    environment = {**os.environ, **VARIABLES, "JOBGATE_CONFIG": str(folder / "jobgate.toml")}
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "jobgate", "bacalhau"], env=environment) as process:
        try:
            while not healthy():
                assert process.poll() is None
            yield time.monotonic() - began
        finally:
            process.kill()


def start_s(folder: Path) -> float:
    """Start a gate, wait for its health, end it; seconds."""
    with gate(folder) as seconds:
        return seconds


def healthy() -> bool:
    """Whether the probe of the executor's health check is answered as it wants."""
    try:
        with socket.create_connection(GATE, timeout=1.0) as stream:
            stream.sendall(PROBE)
            return stream.recv(64).startswith(b"HTTP/1.1 400 ")
    except OSError:
        time.sleep(0.002)
        return False


def setup(*commands: str) -> None:
    """Run the commands."""
    for command in commands:
        subprocess.run(command.split(), check=True)


def main(arguments: Sequence[str]) -> int:
    """Go into a namespace, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        print("bacalhau: needs root, ip and unshare", file=sys.stderr)
        return 2
    if INSIDE not in os.environ:
        inside = ["unshare", "--net", "--", sys.executable, *sys.argv]
        return subprocess.call(inside, env={**os.environ, INSIDE: "1"})
    setup("ip link set lo up", f"ip address add {ORIGIN}/32 dev lo")
    for port in (80, 443):
        origin(port)
    with tempfile.TemporaryDirectory(prefix="jobgate-bacalhau-") as name:
        folder = Path(name)
        (folder / "jobgate.toml").write_text(CONFIG)
        starts = sorted(start_s(folder) for _ in range(5))
        with gate(folder):
            found = {"C6 start to healthy, s, median of 5": round(starts[2], 3), **measure()}
    where = machine([peers.GATE])
    if options.json:
        print(json.dumps({"machine": where, **found}, indent=1))
    else:
        print("\n".join(f"{key}: {value}" for key, value in {**where, **found}.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
