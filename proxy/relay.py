"""Move bytes one way, from one wire to another (edge).

Read at most one window; wait for its tokens in the job's fair queue; write; wait
until the write is taken; read again. Tokens are charged for bytes already held,
before they are passed on: an idle connection gets nothing for nothing, and a full
bucket or a slow reader turns into TCP back-pressure. So whoever asks for tokens can use
them: nobody waits in the queue whose target is blocked.

Bulk is not read where nothing looks at it, in a tunnel or in content of known length: once a read
was full, what the kernel holds is paid for while it lies there, and spliced. Reads are narrow from
then on, until there is less than a wide one would take.

No task and no future per piece: everything here runs in the wires' callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto

from jobgate.ratelimit.fair import Lane

from .content import Framing
from .splice import OWN, Splicer
from .wire import NARROW_BYTES, Wire

_NOTHING = memoryview(b"")
#: Spliced without a turn of the loop in between: other connections wait as long.
PIECES_IN_A_ROW = 2


class End(Enum):
    """How a relay ended."""

    COMPLETE = auto()  #: the framing says that the content is whole
    EOF = auto()  #: the source ended its sending side; everything before it was passed on
    SOURCE_LOST = auto()  #: the source was reset
    TARGET_LOST = auto()  #: the target was reset
    INVALID = auto()  #: the source broke its framing


EOF = End.EOF  # see errors.py


class Relay:
    """One direction of a tunnel or of an exchange.

    Args:
        source: Wire to read.
        target: Wire to write.
        lane: This connection's place in the job's queue.
        framing: ``None`` moves every byte until FIN, as a tunnel does.
        preface: Already paid; written in front, in one piece with what follows when that is there.
        splicer: By default that of the thread.
    """

    __slots__ = (
        "_asked_bytes",
        "_framing",
        "_held",
        "_is_bulk",
        "_lane",
        "_preface",
        "_source_end",
        "_splicer",
        "_unread_bytes",
        "end",
        "error",
        "moved_bytes",
        "on_end",
        "source",
        "target",
    )

    def __init__(
        self,
        source: Wire,
        target: Wire,
        *,
        lane: Lane,
        framing: Framing | None = None,
        preface: bytes = b"",
        splicer: Splicer | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.moved_bytes = 0
        self.end: End | None = None
        #: What the framing said of an invalid content.
        self.error: ValueError | None = None
        self._lane = lane
        self._asked_bytes = 0
        self._framing = framing
        self._preface = preface
        self._splicer = splicer or OWN.splicer
        self._is_bulk = False
        self._unread_bytes = 0  # at least so many lie in the kernel, while this is bulk
        self._held = _NOTHING
        self._source_end: End | None = None
        #: Called once, at the end.
        self.on_end: Callable[[Relay], None] | None = None

    def start(self) -> None:
        """Pass on what the source has read already, then everything it reads."""
        source = self.source
        source.reader = self
        if source.inbox:
            self._held = memoryview(bytes(source.take_inbox()))
        if source.at_eof:
            self._source_end = EOF
        is_whole = self._framing is not None and self._framing.done
        if self._preface and (is_whole or not self._held):
            self._write(())
        if is_whole:
            source.inbox += self._held
            self._finish(End.COMPLETE)
            return
        if source.is_lost:
            self.lost()
        if self.end is None:
            self._go_on()
        if self._preface and self.end is None:  # what follows it waits
            self._write(())
            if self.target.blocked:
                self._lane.cancel()
                self._wait_for_room()

    async def wait(self) -> End:
        """Wait for the end."""
        if self.end is None:
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.on_end = lambda _: None if over.done() else over.set_result(None)
            await over
        assert self.end is not None  # noqa: S101 (for the type checker)
        return self.end

    def stop(self) -> None:
        """End, the target being gone: let go of both wires; a waiting piece leaves the queue."""
        if self.end is None:
            self._finish(End.TARGET_LOST)

    # --- as the reader of the source ------------------------------------------------

    def data(self, view: memoryview) -> None:
        """Take a piece: pass it on now when tokens are there, else hold it and stop reading."""
        is_full = len(view) >= (NARROW_BYTES if self.source.is_narrow else self._lane.piece_bytes)
        if is_full is not self._is_bulk:
            is_plain = self._framing is None or self._framing.plain_bytes > 0
            self._expect_bulk(is_full and is_plain and self._splicer.works)
        if not self._lane.request(len(view), self._granted):
            self._held = memoryview(bytes(view))
            self._asked_bytes = len(view)
            self.source.pause_reading()
            return
        self._pass(view)
        if self.end is None:
            if self.target.blocked:
                self._wait_for_room()
            elif self._is_bulk:
                self._splice_queued()

    def eof(self) -> None:
        """Note the end; it is passed on behind what is held."""
        end = self._source_end = EOF
        if not self._held and not self.target.blocked and self.end is None:
            self._finish(end)

    def lost(self) -> None:
        """End: the source was reset. What is held is thrown away, unless framing may find it to be whole."""
        if self.end is not None:
            return
        self._source_end = End.SOURCE_LOST
        if self._framing is None or not self._held:
            self._finish(End.SOURCE_LOST)

    # --- inside --------------------------------------------------------------------

    def _granted(self) -> None:
        """Go on: the queue has given the tokens of the piece that waited."""
        if self.end is None:
            if self._held:
                self._pass_held(self._asked_bytes)
            else:
                self._splice(self._lane.granted_bytes)
            self._go_on()

    def _go_on(self) -> None:
        """Pass on what is held, piece by piece, then read again."""
        while self._held and self.end is None:
            if self.target.blocked:
                self._wait_for_room()
                return
            n = min(len(self._held), self._lane.piece_bytes)
            if not self._lane.request(n, self._granted):
                self._asked_bytes = n
                self.source.pause_reading()
                return
            self._pass_held(n)
        if self.end is not None:
            return
        if self.target.blocked:
            self._wait_for_room()
        elif self._source_end is not None:
            self._finish(self._source_end)
        elif self._is_bulk:
            self._splice_queued()
        else:
            self.source.resume_reading()

    def _splice_queued(self) -> None:
        """Pass on what the kernel holds, piece by piece, while tokens and room are there; then read again.

        An end or a reset is behind it, and is for a read to see.
        """
        source, lane, before_bytes = self.source, self._lane, self.moved_bytes
        for _ in range(PIECES_IN_A_ROW):
            if source.is_lost or self.target.is_lost:
                break
            n = lane.bulk_bytes
            if self._unread_bytes < n:  # as far as it is known
                self._unread_bytes = unread_bytes = self._splicer.queued(source.sock)
                n = min(n, unread_bytes)
            if self._framing is not None:
                n = min(n, self._framing.plain_bytes)
            if n == 0:
                break
            if not lane.request(n, self._granted, elastic=True):
                source.pause_reading()
                return
            if not self._splice(n) or self.end is not None:
                break
            if self.target.blocked:
                self._wait_for_room()
                return
        if self.end is None:
            self._unread_bytes = 0  # what is read is not counted
            if self.moved_bytes - before_bytes < lane.piece_bytes:  # one wide read does as much
                self._expect_bulk(False)
            source.resume_reading()

    def _expect_bulk(self, is_bulk: bool) -> None:
        self._is_bulk = self.source.is_narrow = is_bulk

    def _splice(self, paid_bytes: int) -> bool:
        """Move a piece whose tokens are paid, and give back what did not come; say whether anything did."""
        try:
            taken, rest = self._splicer.move(self.source.sock, self.target.sock, paid_bytes)
        except OSError as error:
            self._lane.give_back(paid_bytes)
            self.source.note(error)
            self._finish(End.SOURCE_LOST)
            return False
        if taken < paid_bytes:
            self._lane.give_back(paid_bytes - taken)
        if not taken:  # whatever the kernel counts: only a read gets past it
            self._unread_bytes = 0
            self._expect_bulk(False)
        self._unread_bytes -= taken
        self.moved_bytes += taken
        if rest:
            self.target.write(rest)
        if self._framing is not None:
            self._framing.passed(taken)
            if self._framing.done:
                self._finish(End.COMPLETE)
        return taken > 0

    def _wait_for_room(self) -> None:
        self.source.pause_reading()
        self.target.on_writable = self._go_on

    def _pass_held(self, n: int) -> None:
        piece, self._held = self._held[:n], self._held[n:]
        self._pass(piece)

    def _pass(self, view: memoryview) -> None:
        """Write a piece whose tokens are paid."""
        if self._framing is None:
            self.moved_bytes += len(view)
            self._write((view,))
            return
        try:
            out = self._framing.feed(view)
        except ValueError as error:
            self.error = error
            self._finish(End.INVALID)
            return
        consumed = self._framing.consumed
        self.moved_bytes += consumed
        self._write(out)
        if self._framing.done:
            self._return(view[consumed:])
            self._finish(End.COMPLETE)

    def _write(self, out: Sequence[bytes | memoryview]) -> None:
        if self._preface:
            out = (self._preface, *out)
            self._preface = b""
        if out:
            self.target.write(out[0] if len(out) == 1 else b"".join(out))

    def _return(self, rest: memoryview) -> None:
        """Give back what lies behind the content: bytes to the source's inbox, tokens to the bucket."""
        if rest:
            self._lane.give_back(len(rest))
            self.source.inbox += rest
        if self._held:
            self.source.inbox += self._held

    def _finish(self, end: End) -> None:
        self.end = end
        self.source.is_narrow = False
        self._held = _NOTHING
        self._lane.cancel()
        if self.source.reader is self:
            self.source.reader = None
        if self.target.on_writable is not None and self.target.on_writable == self._go_on:
            self.target.on_writable = None
        if self._framing is not None and end is End.COMPLETE:
            self.source.resume_reading()  # else nobody would notice a reset
        if self.on_end is not None:
            self.on_end(self)
