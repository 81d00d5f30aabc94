"""Where jobs listen: sockets that are opened before anything changes, then kept, handed over or closed."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TypeAlias

from jobgate.config.endpoints import Endpoint, parse_listen
from jobgate.config.policy import Network
from jobgate.config.settings import JobSettings
from jobgate.proxy.buffers import bound_receive_buffer
from jobgate.proxy.direction import receive_buffer_bytes
from jobgate.proxy.listener import Listener

from .inherited import Inheritance
from .listeners import ListenError, bound_to, open_listener, remove_path

#: Network namespace, and address or path, as a job's settings name them.
Key: TypeAlias = tuple[str, str]


class Place:
    """The listening socket of one job.

    Attributes:
        key: What the settings say.
        where: What it became: with the port that the kernel picked.
        listener: What the gate made of the socket; ``None`` until then.
    """

    def __init__(self, key: Key, sock: socket.socket, rate_up: float, *, handed_over: bool = False) -> None:
        self.key = key
        self.sock = sock
        self.where = bound_to(sock)
        self.listener: Listener | None = None
        self._handed_over = handed_over
        self._rate_up = math.nan if handed_over else rate_up
        self.fit(rate_up)

    @property
    def elsewhere(self) -> bool:
        """Whether the address is one of another network namespace."""
        return bool(self.key[0])

    @property
    def exclusive(self) -> bool:
        """Whether the key names one socket: port 0 is another one each time."""
        return not self.key[1].endswith(":0")

    def fit(self, rate_up: float) -> None:
        """Bound what the kernel holds of new connections as a rate asks for."""
        if rate_up != self._rate_up:
            bound_receive_buffer(self.sock, receive_buffer_bytes(rate_up))
            self._rate_up = rate_up

    def discard(self) -> None:
        """Close what no gate has taken; a socket that was handed over goes on where it came from."""
        self.sock.close()
        if not self._handed_over:
            remove_path(self.where)


def key_of(job: JobSettings) -> Key | None:
    """Say where a job is to listen; ``None``: it has no listener of its own."""
    return (job.netns, job.listen) if job.listen and job.policy.network is Network.HTTP else None


@contextmanager
def opened(
    jobs: Iterable[JobSettings],
    given_up: Mapping[Key, Place] | None = None,
    *,
    wished: str = "",
    inheritance: Inheritance | None = None,
) -> Iterator[dict[str, Place]]:
    """Open the places of jobs by id, all or none; an error inside the block closes them again.

    Args:
        jobs: Those without a listener of their own are skipped.
        given_up: Their sockets go on where they fit, with what waits in the backlog.
        wished: Where a job was whose port the kernel picks; taken if it is free.
        inheritance: Listening sockets that were there before this process.

    Raises:
        ListenError: The first one that cannot be opened, with the id of its job.
    """
    inherited = inheritance or Inheritance()
    places: dict[str, Place] = {}
    with ExitStack() as undo:
        for job in jobs:
            key = key_of(job)
            if key is None:
                continue
            holder = (given_up or {}).get(key)
            there = inherited.take(parse_listen(job.listen), netns=job.netns, name=job.id)
            if holder is not None:
                there = holder.sock.dup()
            handed_over = there is not None
            place = Place(key, there or _open(job, wished), job.policy.rate_up, handed_over=handed_over)
            undo.callback(place.discard)
            places[job.id] = place
        yield places
        undo.pop_all()


def _open(job: JobSettings, wished: str) -> socket.socket:
    where = parse_listen(job.listen)
    open_at = partial(
        open_listener, receive_buffer_bytes=receive_buffer_bytes(job.policy.rate_up), netns=job.netns
    )
    if wished and isinstance(where, Endpoint) and where.port == 0:
        with suppress(ListenError):
            return open_at(parse_listen(wished))
    try:
        return open_at(where)
    except ListenError as error:
        raise ListenError(f"job {job.id}: {error}") from error
