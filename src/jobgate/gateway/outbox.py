"""What is said to a worker and not sent yet (edge)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import TypeAlias

from .link import MAX_DESCRIPTORS

#: What is said, and a descriptor that goes along, owned by whoever has the message.
Message: TypeAlias = tuple[Mapping[str, object], int | None]


def next_of(messages: deque[Message]) -> tuple[Mapping[str, object], list[int]]:
    """Take the next message, or all connections that come next as one."""
    connections: list[object] = []
    descriptors: list[int] = []
    while messages and len(connections) < MAX_DESCRIPTORS and "connection" in messages[0][0]:
        body, descriptor = messages.popleft()
        connections.append(body["connection"])
        descriptors += [] if descriptor is None else [descriptor]
    if connections:
        return {"connections": connections}, descriptors
    body, descriptor = messages.popleft()
    return body, [] if descriptor is None else [descriptor]


def drop(messages: deque[Message]) -> None:
    """Forget messages; connections among them end."""
    for _, descriptor in messages:
        if descriptor is not None:
            os.close(descriptor)
    messages.clear()
