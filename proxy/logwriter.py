"""Edge: the log's file descriptor, written by a thread of its own.

The loop hands lines over and never waits: even a regular file can stand still (a
full disk, NFS). Every file is written the same way: after ``poll`` says there is
room, and to a pipe at most ``PIPE_BUF`` at once, so that even a blocking
descriptor, whose flags belong to the job or to the shell as well, does not hold
the thread. What does not fit is dropped, counted, and the count is logged.
"""

from __future__ import annotations

import math
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from .records import dropped_line, timestamp

STANDARD_OUTPUT = "-"

MAX_PENDING_BYTES = 2 * 1024 * 1024
"""Lines waiting for the file: 6000 or so. A blocked log costs this and no more."""

BATCH_S = 0.01
"""Lines are gathered this long: at most 100 writes and wake-ups a second."""

#: So many without a line, and the next line wakes the thread.
_QUIET_BATCHES = 5
_BATCH_BYTES = 64 * 1024
#: Taken over at once, so that what is joined costs little beside what is pending.
_BATCH_LINES = 256
_POLL_S = 0.1


class LogWriter:
    """Appends lines to a file or to standard output, without ever blocking the caller.

    The thread starts with the first line. ``write``, ``reopen`` and ``close`` are
    for one thread, the loop's.

    Args:
        path: File to append to, created if missing; ``-`` is standard output.
        max_pending_bytes: Lines beyond this are dropped and counted.
        clock_wall: Seconds since the epoch, for the line that gives the count.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(
        self,
        path: str,
        *,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        clock_wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._max_pending_bytes = max_pending_bytes
        self._clock_wall = clock_wall
        self._use(_open(path))
        self._reopened: deque[int] = deque()
        self._pending: SimpleQueue[bytes] = SimpleQueue()
        self._tail = b""  # rest of a line that was cut by a full disk
        # Each counter has one thread that changes it.
        self._queued_bytes = self._overflowed = 0  # the caller's
        self._written_bytes = self._lost = self._reported = 0  # the writing thread's
        self._is_closed = False
        self._until_closed = threading.Lock()  # held until then: an event's wait costs as much as a line
        self._until_closed.acquire()
        self._deadline = math.inf  # set by close()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines dropped since the start, because the file was blocked, full or gone."""
        return self._overflowed + self._lost

    @property
    def pending_bytes(self) -> int:
        """Bytes handed over and not yet written."""
        return self._queued_bytes - self._written_bytes

    def write(self, line: bytes) -> None:
        """Hand over one line, which ends with its newline; dropped if too much is pending."""
        queued_bytes = self._queued_bytes + len(line)
        if queued_bytes > self._written_bytes + self._max_pending_bytes:
            self._overflowed += 1
            return
        self._queued_bytes = queued_bytes
        self._pending.put(line)
        if self._thread is None:
            self._start()

    def reopen(self) -> None:
        """Go on in the file that is now at the path (after a rotation).

        Raises:
            OSError: It cannot be opened; the old one stays in use.
        """
        if self._path == STANDARD_OUTPUT or self._is_closed:
            return
        self._reopened.append(_open(self._path))
        self._pending.put(b"")
        if self._thread is None:
            self._start()

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is pending, for at most ``timeout_s``, and close the file."""
        if self._is_closed:
            return
        self._is_closed = True
        self._max_pending_bytes = -1  # so that every line from now on is too much
        self._deadline = time.monotonic() + timeout_s
        self._until_closed.release()
        self._pending.put(b"")
        if self._thread is None:
            os.close(self._fd)
        else:
            self._thread.join(timeout_s + 1.0)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="jobgate-log", daemon=True)
        self._thread.start()

    def _use(self, fd: int) -> None:
        self._fd = fd
        self._tail = b""
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._max_write_bytes = _BATCH_BYTES if is_file else select.PIPE_BUF
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def _run(self) -> None:
        """Write what comes until closed: the thread's main function."""
        quiet = _QUIET_BATCHES
        while not (self._is_closed and self._pending.empty()):
            # A line that is waited for wakes this thread in the middle of a request, which waits for it at
            # its next system call; so none is, as long as lines come.
            lines = [self._pending.get()] if quiet >= _QUIET_BATCHES else []
            self._until_closed.acquire(timeout=BATCH_S)
            lines += self._taken()
            quiet = 0 if lines else quiet + 1
            while lines:
                self._switch_file()
                self._write_lines(b"".join(lines))
                lines = self._taken()
            self._report_dropped()
        os.close(self._fd)

    def _taken(self) -> list[bytes]:
        """Take over lines that wait; an empty one only woke the thread."""
        return [self._pending.get() for _ in range(min(self._pending.qsize(), _BATCH_LINES))]

    def _switch_file(self) -> None:
        while self._reopened:
            os.close(self._fd)
            self._use(self._reopened.popleft())

    def _write_lines(self, lines: bytes) -> None:
        """Write whole lines, as many as fit into one ``write`` at once; an oversized one alone."""
        begin = 0
        while begin < len(lines):
            end = len(lines)
            if end - begin > self._max_write_bytes:
                most = begin + self._max_write_bytes
                end = (lines.rfind(b"\n", begin, most) + 1) or (lines.index(b"\n", most) + 1)
            self._lost += self._put(lines[begin:end])
            self._written_bytes += end - begin
            begin = end
            self._switch_file()

    def _report_dropped(self) -> None:
        dropped = self._overflowed + self._lost - self._reported
        if dropped and not self._put(dropped_line(timestamp(self._clock_wall()), dropped, None)):
            self._reported += dropped

    def _put(self, lines: bytes) -> int:
        """Write lines behind the rest of a cut one; returns how many were lost."""
        data = self._tail + lines
        done = self._write_some(data)
        is_cut = data[done - 1 : done] != b"\n" if done else bool(self._tail)
        end = data.index(b"\n", done) + 1 if is_cut else done
        self._tail = data[done:end]
        return data.count(b"\n", end)

    def _write_some(self, data: bytes) -> int:
        """Write all, or up to the first error; returns the number of bytes written."""
        done = 0
        while done < len(data) and self._wait_for_room():
            try:
                done += os.write(self._fd, data[done : done + self._max_write_bytes])
            except BlockingIOError:
                time.sleep(BATCH_S)
            except OSError:
                break
        return done

    def _wait_for_room(self) -> bool:
        """Wait until the file takes more; False if it is to be closed or replaced before that."""
        while True:
            remaining_s = self._deadline - time.monotonic()
            if self._poll.poll(1000 * max(0.0, min(remaining_s, _POLL_S))):
                return True
            if self._reopened or remaining_s <= 0.0:
                return False


def _open(path: str) -> int:
    if path == STANDARD_OUTPUT:
        return os.dup(1)
    # O_NONBLOCK: a FIFO without a reader is an error, not a wait. The description is ours alone.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(path, flags, 0o640)
