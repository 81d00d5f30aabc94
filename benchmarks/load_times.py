"""How long a request takes: alone beside a direct one, and at a rate that does not wait for answers."""

from __future__ import annotations

import gc
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from load import Exchange, Exchanges
from load_target import SMALL, LoadError, Target, content, is_answer

#: More than this under way: the proxy does not keep up, and the rest is not begun.
_MOST_UNDER_WAY = 4000
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """What came of tunnels that begin at a fixed rate.

    Attributes:
        took_s: Of each, from when it was due to the last byte of its content, in order of size.
        per_s: How many were completed a second, from the first one due to the last one done.
        is_complete: All were begun.
    """

    took_s: list[float]
    per_s: float
    is_complete: bool


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def open_loop(target: Target, per_s: float, seconds: float) -> OpenLoop:
    """Begin tunnels with one small GET at even distances, whatever becomes of those before.

    A tunnel counts from when it was due, so that a pause of the proxy counts for all that it held up.

    Raises:
        LoadError: An answer was wrong, or none came.
    """
    exchanges, poll = Exchanges(target), select.epoll()
    under_way: dict[int, Exchange] = {}
    count, begun = int(per_s * seconds), 0
    took_s: list[float] = []
    gc.collect()
    gc.disable()
    began = last = time.perf_counter()
    try:
        while begun < count or under_way:
            now = time.perf_counter()
            while begun < count and (due := began + begun / per_s) <= now:
                exchange = exchanges.started(begun, due)
                under_way[exchange.sock.fileno()] = exchange
                poll.register(exchange.sock, select.EPOLLIN)
                begun += 1
            if len(under_way) > _MOST_UNDER_WAY:
                break
            # epoll's own time-out is in whole milliseconds
            wait_s = began + begun / per_s - time.perf_counter() if begun < count else _PATIENCE_S
            ready, _, _ = select.select([poll], [], [], max(0.0, wait_s))
            if not ready and begun == count:
                raise LoadError(f"{len(under_way)} tunnels got no answer")
            for descriptor, _ in poll.poll(0) if ready else ():
                exchange = under_way[descriptor]
                if exchanges.step(exchange):
                    under_way.pop(descriptor).sock.close()
                    took_s.append(exchange.took_s)
                    last = time.perf_counter()
    finally:
        gc.enable()
        for exchange in under_way.values():
            exchange.sock.close()
        poll.close()
    return OpenLoop(sorted(took_s), len(took_s) / (last - began), begun == count and not under_way)


@dataclass(frozen=True, slots=True)
class Alone:
    """Seconds that a request takes when it is the only one, in order of size."""

    connect_s: list[float]
    get_s: list[float]


def alone(targets: Sequence[Target], count: int) -> list[Alone]:
    """Send one request at a time, to each target in turn: tunnels with a GET, then GETs on kept connections.

    Raises:
        LoadError: An answer was wrong.
    """
    connect_s: list[list[float]] = [[] for _ in targets]
    get_s: list[list[float]] = [[] for _ in targets]
    for turn in range(count):
        for target, times in zip(targets, connect_s, strict=True):
            times.append(in_a_tunnel(target, turn))
    kept = [Kept(target) for target in targets]
    for _ in range(count):
        for one, times in zip(kept, get_s, strict=True):
            times.append(one.get())
    for one in kept:
        one.close()
    return [Alone(sorted(one), sorted(two)) for one, two in zip(connect_s, get_s, strict=True)]


def in_a_tunnel(target: Target, turn: int = 0) -> float:
    """Return the seconds that a new tunnel with a GET takes.

    Raises:
        LoadError: The answer was wrong.
    """
    began = time.perf_counter()
    with target.tunnel(turn) as sock:
        _exchange(sock, target.get_bytes(SMALL), SMALL)
        return time.perf_counter() - began


class Kept:
    """A connection, or a tunnel, for one GET after the other, opened anew where nobody keeps it."""

    def __init__(self, target: Target, path: str = SMALL, *, is_tunnel: bool = False) -> None:
        self._open = target.tunnel if is_tunnel else target.connection
        self._path = path
        self._request = target.get_bytes(path if is_tunnel else target.url(path), is_kept=True)
        self._sock = self._open()

    def get(self) -> float:
        """Return the seconds that a GET takes.

        Raises:
            LoadError: The answer was wrong.
        """
        began = time.perf_counter()
        try:
            _exchange(self._sock, self._request, self._path)
        except (_Ended, ConnectionError):
            self.close()
            self._sock = self._open()
            _exchange(self._sock, self._request, self._path)
        return time.perf_counter() - began

    def close(self) -> None:
        """Close it."""
        self._sock.close()


class _Ended(LoadError):
    """The connection ended before an answer: nothing says that a server keeps it."""


def _exchange(sock: socket.socket, request: bytes, path: str) -> None:
    """Send a request and read its answer."""
    wanted, answer = content(path), b""
    sock.sendall(request)
    while not answer.endswith(wanted):
        data = sock.recv(65536)
        if not data:
            raise LoadError(f"ended after {answer[:100]!r}") if answer else _Ended("ended")
        answer += data
    if not is_answer(answer):
        raise LoadError(f"wrong answer {answer[:100]!r}")
