"""A process that serves: its event loop, and what it asks of the system. All that `run` has of a gateway."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open descriptors to the hard one: a connection takes up to four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
