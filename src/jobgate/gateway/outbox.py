"""What is said to a worker and not sent yet (edge)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from itertools import filterfalse, islice, takewhile
from typing import NamedTuple, TypeAlias

from .link import MAX_DESCRIPTORS


class Connection(NamedTuple):
    """A connection that is given away.

    Attributes:
        text: The peer's address.
        family: Of the socket.
        job_id: Whose it seems to be.
    """

    text: str
    family: int
    job_id: str


#: What is said, and a descriptor that goes along, owned by whoever has the message.
Message: TypeAlias = tuple[Mapping[str, object] | Connection, int | None]


class Batch(NamedTuple):
    """So many messages as one of the link."""

    size: int
    body: Mapping[str, object]
    descriptors: list[int]


def next_of(messages: deque[Message]) -> Batch:
    """Look at the next message, or at all connections that come next as one."""
    body, descriptor = messages[0]
    if not isinstance(body, Connection):
        return Batch(1, body, [] if descriptor is None else [descriptor])
    row = list(islice(takewhile(_is_connection, messages), MAX_DESCRIPTORS))
    descriptors = [descriptor for _, descriptor in row if descriptor is not None]
    return Batch(len(row), {"connections": [body for body, _ in row]}, descriptors)


def drop(messages: deque[Message]) -> None:
    """Forget messages; connections among them end."""
    for _, descriptor in messages:
        if descriptor is not None:
            os.close(descriptor)
    messages.clear()


def forget(messages: deque[Message], count: int) -> None:
    """Take away as many as were sent: whoever got them has duplicates of their descriptors."""
    for _ in range(count):
        _, descriptor = messages.popleft()
        if descriptor is not None:
            os.close(descriptor)


def keep_connections(messages: deque[Message]) -> list[Message]:
    """Forget messages but for connections, which are given back."""
    kept = list(filter(_is_connection, messages))
    drop(deque(filterfalse(_is_connection, messages)))
    messages.clear()
    return kept


def _is_connection(message: Message) -> bool:
    return isinstance(message[0], Connection)
