"""A connection between two processes of one gateway: messages in order, with descriptors (edge).

A message is its length in four bytes and a JSON object. Descriptors travel with its first
byte; the object says how many there are.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Much more than a job with thousands of domains takes.
MAX_MESSAGE_BYTES = 16 << 20
#: The kernel takes 253 at a time (SCM_MAX_FD).
MAX_DESCRIPTORS = 200

#: Until it is tried again what the kernel had no room for.
SHORT_S = 0.05
# Memory, or descriptors under way: as many as a process may open, for all processes of a user.
_LACKING = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
_READ_BYTES = 65536
# The kernel takes so much whole or not at all, in one of its buffers, where the socket may keep
# twice as much and a few bytes (unix_stream_sendmsg, SKB_MAX_ALLOC).
_WHOLE_BYTES = 16000
_WHOLE_LESS_BYTES = 64
_ANCILLARY_BYTES = socket.CMSG_LEN(MAX_DESCRIPTORS * array("i").itemsize)
_LENGTH = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")
_ROOT_UID = 0
_encode = json.JSONEncoder(separators=(",", ":")).encode


class LinkError(Exception):
    """The other process has ended, or says what is not understood here."""


class Message(NamedTuple):
    """What was received; the descriptors belong to whoever takes it."""

    body: Mapping[str, object]
    descriptors: tuple[int, ...]


class Link:
    """One end of a connection.

    Args:
        sock: A connected unix stream socket, owned from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        may_keep_bytes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self._whole_bytes = min(_WHOLE_BYTES, may_keep_bytes // 2 - _WHOLE_LESS_BYTES)
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._receiving: asyncio.Future[None] | None = None
        self._is_watched = False

    def fileno(self) -> int:
        """The descriptor, to be handed on; -1 once closed."""
        return self._sock.fileno()

    def is_trusted(self) -> bool:
        """Whether the process at the other end runs as our user, or as root."""
        credentials = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(credentials)
        return uid in (os.geteuid(), _ROOT_UID)

    async def send(self, body: Mapping[str, object], descriptors: Sequence[int] = ()) -> None:
        """Return once the kernel has the whole message; one after another, in the order of the calls.

        Args:
            body: Whatever JSON can say.
            descriptors: At most ``MAX_DESCRIPTORS``; the other side gets duplicates.

        Raises:
            LinkError: The other process has ended.
        """
        rest = memoryview(_framed(body, len(descriptors)))
        async with self._turn:
            while rest:
                try:
                    rest = rest[socket.send_fds(self._sock, [rest], descriptors) :]
                except BlockingIOError:
                    await self._until_writable()
                    continue
                except OSError as error:
                    if error.errno in _LACKING:
                        await asyncio.sleep(SHORT_S)
                        continue
                    raise LinkError(f"the other process has ended: {error.strerror}") from error
                descriptors = ()

    def send_now(self, body: Mapping[str, object], descriptors: Sequence[int] = ()) -> bool:
        """Send a short message behind all others; ``False``: it has to wait, as ``send`` does.

        Raises:
            LinkError: The other process has ended.
        """
        message = _framed(body, len(descriptors))
        if len(message) > self._whole_bytes or self._turn.locked():
            return False
        try:
            socket.send_fds(self._sock, [message], descriptors)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _LACKING:
                return False
            raise LinkError(f"the other process has ended: {error.strerror}") from error
        return True

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            LinkError: There is none: the other process has ended, or sends something else.
        """
        while (message := self._next()) is None:
            await self._until_more()
        return message

    def close(self) -> None:
        """Close it, and the descriptors that nobody has taken."""
        self._unwatch()
        self._sock.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def _next(self) -> Message | None:
        if len(self._received) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._received)
        if size > MAX_MESSAGE_BYTES:
            raise LinkError(f"a message of {size} bytes, at most {MAX_MESSAGE_BYTES}")
        end = _LENGTH.size + size
        if len(self._received) < end:
            return None
        try:
            body = json.loads(self._received[_LENGTH.size : end])
            count = body.pop("descriptors")
            taken = tuple(self._descriptors[:count])
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise LinkError("not a message of a gateway") from error
        if len(taken) != count:
            raise LinkError(f"{len(taken)} descriptors came instead of {count}")
        del self._received[:end], self._descriptors[:count]
        return Message(body, taken)

    def _read(self) -> None:
        try:
            # socket.recv_fds has no use for flags: what it receives is inherited by every child.
            data, ancillary, flags, _ = self._sock.recvmsg(
                _READ_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkError(f"the other process has ended: {error.strerror}") from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors += array("i", content)
        self._received += data
        if flags & socket.MSG_CTRUNC:
            raise LinkError("descriptors were lost: this process may not open so many")
        if not data:
            raise LinkError("the other process has ended")

    async def _until_writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._sock, _finish, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._sock)

    async def _until_more(self) -> None:
        """Read what comes next; the loop goes on watching: to tell it costs more than a message."""
        self._receiving = self._loop.create_future()
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._sock, self._on_readable)
        try:
            await self._receiving
        finally:
            self._receiving = None

    def _on_readable(self) -> None:
        """Read for who receives; while nobody does, what lies there would wake the loop again and again."""
        if self._receiving is None:
            self._unwatch()
        elif not self._receiving.done():
            try:
                self._read()
            except LinkError as error:
                self._receiving.set_exception(error)
            else:
                self._receiving.set_result(None)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._sock)


def _framed(body: Mapping[str, object], descriptors: int) -> bytes:
    text = _encode({**body, "descriptors": descriptors}).encode()
    return _LENGTH.pack(len(text)) + text


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
