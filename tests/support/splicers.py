"""A splicer that can be watched."""

from __future__ import annotations

import socket

from jobgate.proxy.splice import Splicer


class NoSplicer(Splicer):
    """Of a system that does not splice: for wires without sockets."""

    __slots__ = ()

    def queued(self, source: socket.socket) -> int:
        return 0


class CountingSplicer(Splicer):
    """Counts what it was asked and what it moved; may move less than it could, or fail."""

    __slots__ = ("asked", "error", "most_bytes", "moved_bytes", "moves")

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.moves = self.moved_bytes = 0
        self.most_bytes = 1 << 30
        self.error: OSError | None = None

    def queued(self, source: socket.socket) -> int:
        self.asked += 1
        return super().queued(source)

    def move(self, source: socket.socket, target: socket.socket, n: int) -> tuple[int, bytes]:
        if self.error is not None:
            raise self.error
        self.moves += 1
        if not self.most_bytes:
            return 0, b""
        taken, rest = super().move(source, target, min(n, self.most_bytes))
        self.moved_bytes += taken
        return taken, rest
