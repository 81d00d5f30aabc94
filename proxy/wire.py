"""One TCP connection of the gate, client's or upstream's (edge).

A wire reads into a window of the gate's scratch buffer, so that an idle connection
owns no read buffer, and hands each piece to its reader: a ``Relay``, or its own
bounded inbox while nobody relays. Writes go to the socket at once; what the kernel
does not take is kept, and ``write`` says so.

It is no transport of the loop: a short tunnel would spend a fifth of its time on making and
ending two of those, and uvloop's ``write_eof`` corrupts memory.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from .alarms import Alarms, own_alarms
from .buffers import bound_receive_buffer, bound_unsent
from .poller import ENDED, READABLE, WRITABLE, Poller, own_poller
from .waiting import Waiting

#: What a read takes of bulk, most of which is spliced: only that there is more is to be seen.
NARROW_BYTES = 4096

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Window(Protocol):
    """What a wire reads into; a direction whose rate may change meanwhile."""

    @property
    def window(self) -> memoryview:
        """What the next read may fill."""


class Reader(Protocol):
    """Takes what a wire reads. A view is only valid during the call."""

    def data(self, view: memoryview) -> None:
        """Take a piece."""

    def eof(self) -> None:
        """Note the peer's FIN; nothing more is read, writing may go on."""

    def lost(self) -> None:
        """Note that the connection is gone in both directions."""


class Wire(Waiting):
    """A connected stream socket with bounded reading and half-close.

    Args:
        sock: Connected, non-blocking; owned by the wire from now on.
        source: Has the window that one read may fill, of the gate's scratch buffer.
        inbox_limit_bytes: Reading pauses when the inbox holds this much.
        alarms, poller: Of the loop that it is for; ``None``: of the running one.
    """

    __slots__ = (
        "_fin_wanted",
        "_inbox_limit_bytes",
        "_is_paused",
        "_poller",
        "_source",
        "_unsent",
        "_unsent_bytes",
        "_watched",
        "at_eof",
        "blocked",
        "error",
        "inbox",
        "is_answering",
        "is_closing",
        "is_lost",
        "is_narrow",
        "on_lost",
        "on_writable",
        "reader",
        "sock",
    )

    def __init__(
        self,
        sock: socket.socket,
        source: Window,
        inbox_limit_bytes: int,
        alarms: Alarms | None = None,
        poller: Poller | None = None,
    ) -> None:
        Waiting.__init__(self, own_alarms() if alarms is None else alarms)
        self.sock = sock
        self.inbox = bytearray()
        self.reader: Reader | None = None
        self.on_writable: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.at_eof = self.is_lost = self.is_closing = self.blocked = False
        #: Read little at once.
        self.is_narrow = False
        #: A failed write ends the sending side alone: an answer may have come before the reset.
        self.is_answering = False
        self.error: OSError | None = None
        self._source = source
        self._inbox_limit_bytes = inbox_limit_bytes
        self._fin_wanted = False
        self._is_paused = False
        self._unsent_bytes: int | None = None
        self._unsent: bytearray | None = None
        self._poller = own_poller() if poller is None else poller
        self._watched = 0  # the events, if there are any

    def attach(self) -> None:
        """Read from now on.

        Raises:
            OSError: The system watches no more sockets.
        """
        self._watch(READABLE)

    # --- reading -------------------------------------------------------------------

    def read_for(self, source: Window, receive_buffer_bytes: int | None) -> None:
        """Read for the job that the connection turned out to be of.

        Args:
            source: Its window.
            receive_buffer_bytes: Bound of the kernel's buffer; ``None``: as the kernel likes.
        """
        self._source = source
        if not self.is_lost:
            bound_receive_buffer(self.sock, receive_buffer_bytes)

    def ready(self, events: int) -> None:
        """Read, or write what is left: the poller says that it can be done, or that the peer is gone."""
        watched = self._watched
        if watched == READABLE and not events & ~READABLE and not self._is_paused:  # nearly always
            self.read()
            if (
                events & ENDED
                and self.reader is not None
                and self._watched == READABLE
                and not self._is_paused
            ):
                self.read()  # most often the end, which would take a turn of its own
            return
        if watched & READABLE and events & ~WRITABLE:
            if self._is_paused:  # told now, and not when the pause began, which may have ended again
                self._watch(watched & ~READABLE)
            else:
                self.read()
        if self._watched & WRITABLE and events & ~READABLE:
            self._send_rest()

    def read(self) -> None:
        """Read what has come, once, and pass it to the reader, or keep it in the inbox."""
        window = self._source.window
        if self.is_narrow:
            window = window[:NARROW_BYTES]
        try:
            size_bytes = self.sock.recv_into(window)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.fail(error)
            return
        if not size_bytes:
            self._end()
        elif self.reader is not None:
            self.reader.data(window[:size_bytes])
        else:
            self.hold(window[:size_bytes])

    def hold(self, view: memoryview) -> None:
        """Keep a piece in the inbox, for whoever waits."""
        self.inbox += view
        if len(self.inbox) >= self._inbox_limit_bytes:
            self.pause_reading()
        self.wake()

    def _end(self) -> None:
        """Keep the sending side open: a FIN ends one direction only."""
        if self.error is not None:  # the failed write took the reset's place, which reads as an end now
            self.fail(self.error)
            return
        self.at_eof = True
        self._watch(self._watched & ~READABLE)
        if self.reader is not None:
            self.reader.eof()
        else:
            self.wake()

    def pause_reading(self) -> None:
        """Stop reading: the peer is held back by its own send window."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Read again, unless the peer has ended."""
        if self._is_paused:
            self._is_paused = False
            if not (self._watched & READABLE or self.at_eof or self.is_lost or self.is_closing):
                self._watch_for(READABLE)

    def take_inbox(self) -> bytearray:
        """Empty the inbox; what it held belongs to the caller."""
        taken, self.inbox = self.inbox, bytearray()
        return taken

    def take(self, size_bytes: int) -> bytes:
        """Take so much from the beginning of the inbox."""
        inbox = self.inbox
        if size_bytes == len(inbox):
            self.inbox = bytearray()
            return bytes(inbox)
        taken = bytes(inbox[:size_bytes])
        del inbox[:size_bytes]
        return taken

    def more(self, deadline: float) -> Awaitable[None]:
        """Wait until the inbox has grown or the peer has ended.

        Args:
            deadline: Loop time.

        Raises:
            TimeoutError: The deadline came first.
        """
        if self.at_eof or self.is_lost:
            over: asyncio.Future[None] = self.loop.create_future()
            over.set_result(None)
            return over
        self.resume_reading()
        return self.until(deadline)

    # --- writing -------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send; ``False`` when the kernel did not take all and the caller should wait for ``on_writable``.

        A view is copied before it is kept. Writing to a lost connection does nothing.
        """
        if self.is_lost or self.is_closing:
            return True
        sent = 0
        if not self.blocked:
            try:
                sent = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._refused(error)
                return not self.blocked
            if sent == len(data):
                return True
        if self.error is None:
            self._keep(memoryview(data)[sent:])
        return False

    def _keep(self, rest: memoryview) -> None:
        """Send the rest when the kernel takes more."""
        if self._unsent is None:
            self._unsent = bytearray(rest)
        else:
            self._unsent += rest
        self.blocked = True
        self._watch_for(WRITABLE)

    def _send_rest(self) -> None:
        """Send what was kept; then go on, or end the sending side or the connection if that was asked for."""
        unsent = self._unsent
        if unsent is None:
            return
        try:
            del unsent[: self.sock.send(unsent)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._refused(error)
            return
        if unsent:
            return
        self._unsent = None
        if self.is_closing:
            self._close()
            return
        self._watch(self._watched & ~WRITABLE)
        self.blocked = False
        if self.on_writable is not None:
            callback, self.on_writable = self.on_writable, None
            callback()
        if self._fin_wanted:
            self.send_fin()
        self.wake()

    async def drained(self, deadline: float) -> None:
        """Wait until the kernel has taken everything written.

        Raises:
            TimeoutError: The deadline came first.
        """
        while self.blocked and not self.is_lost:
            await self.until(deadline)

    def bound_unsent(self, size_bytes: int | None) -> None:
        """Bound what the kernel keeps for a peer that does not read; ``None``: as it likes."""
        if not self.is_lost and size_bytes != self._unsent_bytes:
            self._unsent_bytes = size_bytes
            bound_unsent(self.sock, size_bytes)

    def send_fin(self) -> None:
        """End the sending side, behind everything written; reading goes on."""
        if self.blocked:
            self._fin_wanted = True
            return
        self._fin_wanted = False
        if self.is_lost or self.is_closing:
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # the peer's reset was first; a read is about to tell us
            self.note(error)

    # --- ending --------------------------------------------------------------------

    def close(self) -> None:
        """Close after what was written is gone."""
        self.reader = self.on_writable = self.on_lost = None
        if not self.is_lost and not self.is_closing:
            self.is_closing = True
            if self._unsent:
                self._watch(WRITABLE)
            else:
                self._close()

    def abort(self, *, reset: bool = False) -> None:
        """Close now. With ``reset`` the peer sees RST, the sign of a cut exchange, and never a clean end."""
        self.reader = self.on_writable = self.on_lost = None
        if self.is_lost:
            return
        self.is_closing = True
        if reset:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            except OSError as error:
                self.note(error)
        self._close()

    def fail(self, error: Exception) -> None:
        """Note that the connection is gone, by its own error or one of ours; tell whoever reads or waits."""
        if self.is_lost:
            return
        if isinstance(error, OSError):
            self.note(error)
        reader, on_lost = self.reader, self.on_lost
        self._close()
        if reader is not None:
            reader.lost()
        if on_lost is not None:
            on_lost()
        self.on_writable = self.on_lost = None

    def _refused(self, error: OSError) -> None:
        """Take a failed write: end, or send nothing more and read what is left."""
        self.note(error)
        self._unsent = None
        if self.is_answering and not self.is_closing:
            self.blocked = True
            self._watch(self._watched & ~WRITABLE)
        else:  # soon: whoever writes is not done yet
            self._watch(0)
            self.loop.call_soon(self.fail, error)

    def _close(self) -> None:
        """Let the socket go."""
        self._watch(0)
        self._unsent = None
        self.is_lost = True
        self.forget_alarm()
        self.sock.close()
        self.wake()

    def note(self, error: OSError) -> None:
        """Keep the first error, without the frames that it came through, which hold us."""
        self.error = self.error or error.with_traceback(None)

    def _watch_for(self, event: int) -> None:
        """Have the poller tell of this event, too."""
        try:
            self._watch(self._watched | event)
        except OSError as error:  # the system watches no more sockets; soon: whoever asks is not done yet
            self.loop.call_soon(self.fail, error)

    def _watch(self, events: int) -> None:
        """Have the poller tell of these events, or of none."""
        watched = self._watched
        if events == watched:
            return
        descriptor = self.sock.fileno()
        if not watched:
            self._poller.add(descriptor, events, self)
        elif events:
            self._poller.change(descriptor, events)
        else:
            self._poller.remove(descriptor)
        self._watched = events
