"""One process or several: whoever serves takes the gate that is made here, and knows how it may fail."""

from __future__ import annotations

from jobgate.config.settings import Settings
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal


class WorkerError(Exception):
    """A worker cannot be started; the text says which and why."""


def make_gate(settings: Settings, journal: Journal, *, workers: int, log: str, loop: str) -> Gate:
    """Make the gate; it has no workers before ``start``.

    Args:
        settings: Of the node.
        journal: Of this process.
        workers: Processes that serve the jobs; 1: this one does.
        log: Where they write the log: a path, or ``-``.
        loop: ``uvloop`` or ``asyncio``.
    """
    if workers == 1:
        return Gate(settings, journal=journal)
    from .fleet import Fleet  # for those who want it

    return Fleet(settings, journal=journal, log=log, loop=loop)
