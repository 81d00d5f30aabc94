"""Move bytes from socket to socket inside the kernel, by ``splice(2)`` through one pipe (edge).

The pipe is shared by all connections: it is empty again before a call returns, since what
the target does not take is read out of it and handed to the caller. Where the system does not
splice there is never anything to splice, and the log says so once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Callable

from .buffers import unread_bytes

logger = logging.getLogger("jobgate")

#: A pipe has a slot for each page of its size, and a segment of a network takes one: 128 of 1448 bytes.
PIPE_BYTES = 512 * 1024

_AVAILABLE = hasattr(os, "splice")
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if _AVAILABLE else 0
#: A target may take a large segment more than it says, and tells that there is room again only behind bytes
#: that it did not take. So this much more is offered, and at most this much is left over.
BEYOND_ROOM_BYTES = 64 * 1024
#: A system short of memory for TCP cuts a target's buffer at the very moment it is used. Where that was seen,
#: nothing is offered on the word of a target for so long.
DISTRUST_S = 10.0
#: asm-generic/socket.h, Linux 4.12.
_SO_MEMINFO = 55
#: Its first numbers (linux/sock_diag.h, SK_MEMINFO_*), WMEM_ALLOC, SNDBUF and WMEM_QUEUED among them.
_MEMINFO = struct.Struct("=6I")
#: For a moment there are no descriptors or no memory.
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Splicer:
    """The pipe, opened when first needed, and whether this system splices at all. For one thread.

    Args:
        clock: Seconds.
    """

    __slots__ = ("_clock", "_distrust_until", "_held", "_is_off", "_pipe")

    _close_descriptor = staticmethod(os.close)  # there when the interpreter has forgotten the module

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._distrust_until = -math.inf
        self._is_off = not _AVAILABLE
        self._pipe: tuple[int, int] | None = None
        self._held = 0  # bytes in the pipe

    def __del__(self) -> None:
        self.close()

    @property
    def works(self) -> bool:
        """Whether this system splices, as far as it is known."""
        return not self._is_off

    def queued(self, source: socket.socket) -> int:
        """Return how many bytes can be spliced; 0 before an end or an error, and where it is not possible."""
        if self._pipe is None and self._open() is None:
            return 0
        return unread_bytes(source)

    def move(self, source: socket.socket, target: socket.socket, n: int) -> tuple[int, bytes]:
        """Take at most ``n`` bytes from the source, and give the target what it takes at once.

        Not many more are taken than the target has room for, since what is left over is memory of ours.

        Args:
            source: Connected, non-blocking.
            target: Likewise; nothing waits to be written to it.
            n: At least 1.

        Returns:
            How many bytes left the source, and those at their end that the target did not take.

        Raises:
            OSError: The source is broken, or bytes were lost: its stream cannot go on.
        """
        pipe = self._pipe or self._open()
        if pipe is None:
            return 0, b""
        try:
            buffer_bytes = 0
            if n > BEYOND_ROOM_BYTES:  # less may be left over in any case
                room_bytes, buffer_bytes = self._room(target)
                n = min(n, room_bytes + BEYOND_ROOM_BYTES)
            self._held = taken = os.splice(source.fileno(), pipe[1], n, flags=_FLAGS)
        except BlockingIOError:
            return 0, b""
        except OSError as error:
            if error.errno != errno.EINVAL:  # which no connection says
                raise
            self._turn_off(error)
            return 0, b""
        is_broken = False
        try:
            if taken:
                self._held -= os.splice(pipe[0], target.fileno(), taken, flags=_FLAGS)
            if not self._held:  # nearly always
                return taken, b""
        except BlockingIOError:
            pass
        except OSError as error:  # of the connection: comes again when the rest is written
            is_broken = True
            if error.errno == errno.EINVAL:
                self._turn_off(error)
        except BaseException:  # a signal's
            self.close()
            raise
        rest = self._take_out(pipe[0])
        if len(rest) > BEYOND_ROOM_BYTES and not is_broken and send_room(target)[1] < buffer_bytes:
            self._distrust_until = self._clock() + DISTRUST_S
        return taken, rest

    def close(self) -> None:
        """Let go of the pipe and what is in it; another is opened when needed."""
        pipe, self._pipe, self._held = self._pipe, None, 0
        for descriptor in pipe or ():
            self._close_descriptor(descriptor)

    def _room(self, target: socket.socket) -> tuple[int, int]:
        return (0, 0) if self._clock() < self._distrust_until else send_room(target)

    def _take_out(self, reader: int) -> bytes:
        """Empty the pipe.

        Raises:
            OSError: It cannot be emptied, and is thrown away.
        """
        held = self._held
        try:
            rest = os.read(reader, held)
            self._held -= len(rest)
            if self._held:
                raise OSError(errno.EIO, f"read {len(rest)} of {held} bytes from a pipe")
            return rest
        finally:
            if self._held:
                self.close()

    def _open(self) -> tuple[int, int] | None:
        if self._is_off:
            return None
        try:
            pipe = self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            with contextlib.suppress(OSError):  # over the user's limit: a small pipe works, too
                fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._try(pipe)
        except OSError as error:
            self.close()
            if error.errno not in _SHORT:
                self._turn_off(error)
            return None
        return pipe

    def _try(self, pipe: tuple[int, int]) -> None:
        """Move a byte between sockets of our own: an error is the system's answer and no peer's.

        Raises:
            OSError: This system does not splice, or is short of descriptors.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"x")
            unread_bytes(ours)
            os.splice(ours.fileno(), pipe[1], 1, flags=_FLAGS)
            os.splice(pipe[0], ours.fileno(), 1, flags=_FLAGS)

    def _turn_off(self, error: OSError) -> None:
        self._is_off = True
        logger.warning("Bulk data is copied: splice(2) does not work here (%s).", error.strerror)


def send_room(sock: socket.socket) -> tuple[int, int]:
    """Return how many bytes a connection takes now, about, and how large its buffer is.

    Zeros where the system does not say.
    """
    try:
        answer = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0, 0
    _, _, alloc_bytes, buffer_bytes, _, queued_bytes = _MEMINFO.unpack(answer)
    room_bytes: int = buffer_bytes - max(alloc_bytes, queued_bytes)  # one of them counts what waits
    return max(0, room_bytes), buffer_bytes


class Own(threading.local):
    """What each thread has of its own: two loops would mix their streams in one pipe."""

    def __init__(self) -> None:
        self.splicer = Splicer()


OWN = Own()
