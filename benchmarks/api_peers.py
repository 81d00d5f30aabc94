"""The processes around ``api.py``, and two of them: an origin, and a steady client.

python benchmarks/api_peers.py origin              prints its port
python benchmarks/api_peers.py steady PORT ORIGIN  prints a line a request: when, and how many ms it took
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import uvloop

CONTENT = b"x" * 1000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + CONTENT
#: Between two requests: what is asked is how long one waits, not how many go through.
PAUSE_S = 0.005
#: For anything that has to come.
DEADLINE_S = 30.0
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src")}


class Origin(asyncio.Protocol):
    """Answers GET with 1000 bytes, and sends back everything else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no class of asyncio's
        self._head = b""

    def data_received(self, data: bytes) -> None:
        if not self._head and not data.startswith(b"GET "):
            self._transport.write(data)
            return
        self._head += data
        while (end := self._head.find(b"\r\n\r\n")) >= 0:
            self._head = self._head[end + 4 :]
            self._transport.write(ANSWER)


async def serve_origin() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def ask_steadily(port: int, origin: int) -> None:
    """Send one request after another on one connection, until standard output is closed."""
    request = f"GET http://ok.test:{origin}/ HTTP/1.1\r\nHost: ok.test:{origin}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as sock:
        while True:
            started = time.perf_counter()
            sock.sendall(request)
            answer = b""
            while not answer.endswith(CONTENT):
                piece = sock.recv(65536)
                assert piece, "the gateway ended a steady connection"
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:100]
            took_ms = 1000 * (time.perf_counter() - started)
            print(f"{time.monotonic():.6f} {took_ms:.3f}", flush=True)
            time.sleep(PAUSE_S)


@contextmanager
def process(output: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program until the context is left; its output goes to a file."""
    with output.open("wb") as file:
        started = subprocess.Popen([sys.executable, *command], stdout=file, env=_ENVIRONMENT)
        try:
            yield started
            assert started.poll() is None, f"{command} ended with {started.poll()}"
        finally:
            started.terminate()
            started.wait(DEADLINE_S)


def until_written(path: Path) -> str:
    """Wait for the first line of a file."""
    deadline = time.monotonic() + DEADLINE_S
    while not (text := path.read_text()).endswith("\n"):
        assert time.monotonic() < deadline, f"nothing in {path}"
        time.sleep(0.02)
    return text.splitlines()[0]


def main() -> None:
    """Be one of them."""
    if sys.argv[1] == "origin":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_origin())
    else:
        ask_steadily(int(sys.argv[2]), int(sys.argv[3]))


if __name__ == "__main__":
    main()
