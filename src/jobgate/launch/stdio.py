"""Standard streams that are sockets reach the job as pipes.

A socket belongs to the network namespace it was made in, and some can be
connected anew: a job that inherits one could reach a service of the host with
it. So a process of ours, outside, carries the bytes between the socket and a
pipe. Files, terminals and pipes are handed on as they are.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
from dataclasses import dataclass, field

from . import linux
from .errors import EXIT_FAILED
from .process import fork

_CHUNK_BYTES = 65536
_STANDARD_STREAMS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Link:
    """A standard stream that is a socket, and the pipe that stands in for it."""

    stream: int
    job_end: int
    our_end: int


@dataclass(slots=True)
class Relay:
    """One direction between a standard stream that is a socket and our end of a pipe.

    Attributes:
        stream: The standard stream.
        pipe: Our end: written if ``inward``, else read.
        inward: From the socket to the job.
    """

    stream: int
    pipe: int
    inward: bool
    sock: socket.socket = field(init=False)
    pending: bytes = b""

    def __post_init__(self) -> None:
        self.sock = socket.socket(fileno=self.stream)
        os.set_blocking(self.pipe, False)

    def interests(self) -> list[tuple[int, int]]:
        """What to wait for; a pipe whose reader has gone is always told."""
        source, sink = (self.sock.fileno(), self.pipe) if self.inward else (self.pipe, self.sock.fileno())
        if self.pending:
            return [(sink, select.POLLOUT)]
        return [(source, select.POLLIN), (sink, 0)] if self.inward else [(source, select.POLLIN)]

    def step(self) -> bool:
        """Move what can be moved now; false when this direction has ended."""
        try:
            if not self.pending:
                self.pending = self._read()
                if not self.pending:
                    return False
            self.pending = self.pending[self._write() :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _read(self) -> bytes:
        # A flag per call: O_NONBLOCK would be shared with everyone who holds this socket.
        if self.inward:
            return self.sock.recv(_CHUNK_BYTES, socket.MSG_DONTWAIT)
        return os.read(self.pipe, _CHUNK_BYTES)

    def _write(self) -> int:
        if self.inward:
            return os.write(self.pipe, self.pending)
        return self.sock.send(self.pending, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def close(self) -> None:
        """End this direction for the job; the socket stays open for its other users."""
        os.close(self.pipe)
        self.sock.detach()


def run_relays(relays: list[Relay]) -> None:
    """Carry bytes until every direction has ended."""
    active = list(relays)
    while active:
        poll = select.poll()
        owners: dict[int, Relay] = {}
        for relay in active:
            for descriptor, events in relay.interests():
                poll.register(descriptor, events)
                owners[descriptor] = relay
        for descriptor, events in poll.poll():
            relay = owners[descriptor]
            gone = relay.inward and descriptor == relay.pipe and events & select.POLLERR
            if relay in active and (gone or not relay.step()):
                relay.close()
                active.remove(relay)


class StandIns:
    """The pipes of one job and the process that serves them; empty if no stream is a socket."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self._twins: dict[int, int] = {}
        self._pid = 0

    def start(self) -> None:
        """Make the pipes and fork the process behind them."""
        seen: dict[tuple[int, int], int] = {}
        for stream in _STANDARD_STREAMS:
            status = os.fstat(stream)
            if not stat.S_ISSOCK(status.st_mode):
                continue
            # One pipe for output and errors that share a socket keeps their order.
            twin = seen.get((status.st_dev, status.st_ino))
            if twin is not None:
                self._twins[stream] = twin
                continue
            reader, writer = os.pipe()
            job_end, our_end = (reader, writer) if stream == 0 else (writer, reader)
            self.links.append(Link(stream, job_end, our_end))
            if stream != 0:
                seen[status.st_dev, status.st_ino] = job_end
        if self.links:
            self._fork()

    def _fork(self) -> None:
        launcher_pid = os.getpid()
        self._pid = fork(lambda: self._serve(launcher_pid))
        for link in self.links:
            os.close(link.our_end)

    def _serve(self, launcher_pid: int) -> int:
        linux.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != launcher_pid:
            return EXIT_FAILED
        for link in self.links:
            os.close(link.job_end)
        run_relays([Relay(link.stream, link.our_end, inward=link.stream == 0) for link in self.links])
        return 0

    def take_over(self) -> None:
        """In the child: put the pipes where the sockets are."""
        for link in self.links:
            os.dup2(link.job_end, link.stream)
        for stream, job_end in self._twins.items():
            os.dup2(job_end, stream)

    def release(self) -> None:
        """In the launcher: let go of the job's ends, so that their end can be seen."""
        for link in self.links:
            os.close(link.job_end)

    def finish(self) -> None:
        """Wait until what the job wrote has been carried out."""
        if self._pid:
            os.waitpid(self._pid, 0)
            self._pid = 0


def open_missing_streams() -> None:
    """Occupy standard streams that were closed, lest a descriptor of ours take their place."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > max(_STANDARD_STREAMS):
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)
