"""Where load goes, what it asks for, and whether the answers are right."""

from __future__ import annotations

import functools
import hashlib
import random
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SMALL, MEDIUM, LARGE, CHECKED, BIG = "/small", "/medium", "/large", "/checked", "/big"
SMALL_BYTES, MEDIUM_BYTES, LARGE_BYTES, CHECKED_BYTES, BIG_BYTES = 1024, 16 * 1024, 1 << 18, 1 << 23, 1 << 28
_CONNECTED = re.compile(rb"HTTP/1\.[01] 200 [^\r]*\r\n(?:[^\r]+\r\n)*\r\n")
_TIMEOUT_S = 20.0


class LoadError(Exception):
    """An answer was not the right one."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked.

    Attributes:
        ports: Of the proxy, each of another job: they are used in turns. Or the origin's.
        origin: The origin's port.
        is_proxy: CONNECT and absolute-form are understood; otherwise a connection leads to the origin.
    """

    ports: Sequence[int]
    origin: int
    is_proxy: bool = True

    @property
    def hello(self) -> bytes:
        """What asks for a tunnel; nothing where a connection is one already."""
        return self.connect_bytes("localhost") if self.is_proxy else b""

    def connect_bytes(self, name: str) -> bytes:
        """Write a CONNECT request."""
        return f"CONNECT {name}:{self.origin} HTTP/1.1\r\nHost: {name}:{self.origin}\r\n\r\n".encode()

    def url(self, path: str) -> str:
        """Write the target of a request that is sent without a tunnel."""
        return f"http://localhost:{self.origin}{path}" if self.is_proxy else path

    def get_bytes(self, target: str, *, is_kept: bool = False) -> bytes:
        """Write a GET request."""
        close = "" if is_kept else "Connection: close\r\n"
        return f"GET {target} HTTP/1.1\r\nHost: localhost:{self.origin}\r\n{close}\r\n".encode()

    def connection(self, turn: int = 0) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.ports[turn % len(self.ports)]), _TIMEOUT_S)

    def tunnel(self, turn: int = 0) -> socket.socket:
        """Open a connection that leads to the origin.

        Raises:
            LoadError: The proxy does not want to.
        """
        sock = self.connection(turn)
        if self.is_proxy:
            sock.sendall(self.hello)
            answer = b""
            while not is_connected(answer):
                more = sock.recv(65536)
                if not more:
                    sock.close()
                    raise LoadError(f"the proxy answered {answer[:200]!r}")
                answer += more
        return sock


def is_connected(answer: bytes) -> bool:
    """Say whether a proxy has answered, and that there is a tunnel."""
    return _CONNECTED.match(answer) is not None


@functools.cache
def content(path: str) -> bytes:
    """Return what the origin has at one of the paths but ``BIG``."""
    sizes = {SMALL: SMALL_BYTES, MEDIUM: MEDIUM_BYTES, LARGE: LARGE_BYTES, CHECKED: CHECKED_BYTES}
    return random.Random(path).randbytes(sizes[path])  # noqa: S311  content, no secret


def publish(folder: Path) -> None:
    """Write what the origin has; of ``BIG`` only the size matters."""
    folder.mkdir()
    for path in (SMALL, MEDIUM, CHECKED):
        (folder / path.lstrip("/")).write_bytes(content(path))
    with (folder / BIG.lstrip("/")).open("wb") as big:
        big.truncate(BIG_BYTES)


def is_accepting(port: int) -> bool:
    """Say whether something listens."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def until_accepting(port: int, timeout_s: float = _TIMEOUT_S) -> None:
    """Wait until something listens.

    Raises:
        LoadError: Nothing did.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if is_accepting(port):
            return
        time.sleep(0.0005)
    raise LoadError(f"nothing listens on port {port}")


def check(target: Target) -> None:
    """Assert that every kind of request brings the right content, and that a stranger is refused.

    Raises:
        LoadError: One did not.
    """
    for turn in range(len(target.ports)):
        for path in (SMALL, MEDIUM, CHECKED):
            with target.tunnel(turn) as sock:
                sock.sendall(target.get_bytes(path))
                _expect(_read_to_end(sock), path, "in a tunnel")
            with target.connection(turn) as sock:
                sock.sendall(target.get_bytes(target.url(path)))
                _expect(_read_to_end(sock), path, "without a tunnel")
        if target.is_proxy:
            with target.connection(turn) as sock:
                sock.sendall(target.connect_bytes("other.test"))
                status = sock.recv(12)
                if not re.match(rb"HTTP/1\.[01] 403", status):
                    raise LoadError(f"a name that is not listed got {status!r}")


def _read_to_end(sock: socket.socket) -> bytes:
    data = bytearray()
    while more := sock.recv(1 << 18):
        data += more
    return bytes(data)


def _expect(answer: bytes, path: str, where: str) -> None:
    head, _, found = answer.partition(b"\r\n\r\n")
    wanted = hashlib.sha256(content(path)).digest()
    if not is_answer(head) or hashlib.sha256(found).digest() != wanted:
        raise LoadError(f"{path} {where}: wrong answer {answer[:100]!r}, {len(answer)} bytes")


def is_answer(data: bytes) -> bool:
    """Say whether an answer begins as it should."""
    return data.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
