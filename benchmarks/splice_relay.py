"""A bare splice relay: what moving bytes between two sockets costs at least.

One epoll loop; whoever connects is joined to the origin, and every piece goes by two ``splice(2)``
through a pipe of 1 MiB. No HTTP, no policy, no names, no log, no deadlines. The yardstick of ``run.py``
for bulk, as ``rate_loop.py`` is for limited tunnels; run by itself:

    python splice_relay.py PORT ORIGIN_PORT      prints the port that it listens on
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
from dataclasses import dataclass

_PIPE_BYTES = 1 << 20
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@dataclass(slots=True)
class Way:
    """One direction of one connection.

    Attributes:
        pipe: Taken only while the target has not taken all of it.
        held: Bytes in that pipe.
    """

    source: socket.socket
    target: socket.socket
    pipe: tuple[int, int] | None = None
    held: int = 0
    is_ended: bool = False


class Relay:
    """All connections of the process."""

    def __init__(self, port: int, origin: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._origin = ("127.0.0.1", origin)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._ways: dict[int, tuple[Way, Way]] = {}
        self._pipes: list[tuple[int, int]] = []

    def run(self) -> None:
        """Serve until killed."""
        print(self._listener.getsockname()[1], flush=True)
        listener = self._listener.fileno()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == listener:
                    self._accept()
                elif ways := self._ways.get(descriptor):  # its other end may have closed it in this turn
                    self._turn(*ways)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        upstream = socket.create_connection(self._origin)
        ways = Way(client, upstream), Way(upstream, client)
        for sock in (client, upstream):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ways[sock.fileno()] = ways
            self._poll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)

    def _turn(self, up: Way, down: Way) -> None:
        """Move what there is, both ways, and close where both have ended or one was reset."""
        try:
            for way in (up, down):
                while not way.is_ended and self._move(way):
                    pass
        except OSError:  # a reset, or nobody left to tell of an end
            up.is_ended = down.is_ended = True
        if up.is_ended and down.is_ended:
            for way in (up, down):
                del self._ways[way.source.fileno()]
                way.source.close()
                if way.pipe is not None:  # what is in it goes nowhere
                    os.close(way.pipe[0])
                    os.close(way.pipe[1])

    def _move(self, way: Way) -> bool:
        """Move one piece; False when there is none, or the target takes no more."""
        if way.pipe is None:
            way.pipe = self._pipes.pop() if self._pipes else _new_pipe()
        try:
            if not way.held:
                way.held = os.splice(way.source.fileno(), way.pipe[1], _PIPE_BYTES, flags=_FLAGS)
                if not way.held:
                    way.is_ended = True
                    way.target.shutdown(socket.SHUT_WR)
            if way.held:
                way.held -= os.splice(way.pipe[0], way.target.fileno(), way.held, flags=_FLAGS)
        except BlockingIOError:
            return False
        finally:
            if not way.held:
                self._pipes.append(way.pipe)
                way.pipe = None
        return not way.is_ended


def _new_pipe() -> tuple[int, int]:
    pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return pipe


if __name__ == "__main__":
    Relay(*map(int, sys.argv[1:])).run()
