"""A wire without a socket, for tests of what moves bytes between wires; what one with a socket reads into."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from jobgate.proxy.wire import Reader, Wire

_CLOSED = socket.socket()
_CLOSED.close()


class Scratch:
    """What a wire reads into."""

    def __init__(self, size: int) -> None:
        self.window = memoryview(bytearray(size))


class FakeWire(Wire):
    """Keeps what is written; a test plays the peer by ``arrive``, ``end`` and ``break_``.

    Attributes:
        room_bytes: What the "kernel" still takes before the wire is blocked; ``None``: everything.
        written: Everything written, taken or not.
        calls: What was done to the wire besides writing, in order.
    """

    __slots__ = ("calls", "reading", "room_bytes", "written")

    def __init__(self, room_bytes: int | None = None) -> None:
        self.sock = _CLOSED
        with contextlib.suppress(RuntimeError):  # not every test has one
            self.loop = asyncio.get_running_loop()
        self.inbox = bytearray()
        self.is_narrow = False
        self.reader: Reader | None = None
        self.on_writable: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.at_eof = self.is_lost = self.blocked = False
        self.error = None
        self.room_bytes = room_bytes
        self.written = bytearray()
        self.calls: list[str] = []
        self.reading = True

    # --- what the peer does

    def arrive(self, data: bytes) -> None:
        """Deliver bytes, as the loop would, if the wire reads."""
        assert self.reading, "bytes arrived on a wire that does not read"
        if self.reader is None:
            self.inbox += data
        else:
            scratch = bytearray(data)
            self.reader.data(memoryview(scratch))
            scratch[:] = b"\xee" * len(scratch)  # a view that was kept shows

    def end(self) -> None:
        """Send FIN."""
        self.at_eof = True
        if self.reader is not None:
            self.reader.eof()

    def break_(self) -> None:
        """Send RST."""
        self.is_lost = True
        if self.reader is not None:
            self.reader.lost()
        if self.on_lost is not None:
            self.on_lost()

    def make_room(self) -> None:
        """Take everything that was written."""
        self.room_bytes = None
        self.blocked = False
        if self.on_writable is not None:
            callback, self.on_writable = self.on_writable, None
            callback()

    # --- what the gate does

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        self.written += data
        if self.room_bytes is not None:
            self.room_bytes -= len(data)
            self.blocked = self.room_bytes < 0
        return not self.blocked

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = not self.at_eof

    def bound_unsent(self, size_bytes: int | None) -> None:
        pass

    def send_fin(self) -> None:
        self.calls.append("fin")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self, *, reset: bool = False) -> None:
        self.calls.append("reset" if reset else "abort")
