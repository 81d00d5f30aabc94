"""Runs a gate until it is told to stop.

The first SIGTERM or SIGINT closes the listeners and lets open connections finish
within ``drain_s``; a second one ends them. SIGHUP opens the log file anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from jobgate.config.endpoints import parse_listen
from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.gate import Gate
from jobgate.proxy.job import receive_buffer_bytes
from jobgate.proxy.journal import Journal

from .listeners import ListenError, bound_to, open_listener, remove_path


class JobListener(NamedTuple):
    """A job and its listening socket."""

    job: JobSettings
    sock: socket.socket


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open descriptors to the hard one: a connection takes up to four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_listeners(jobs: Iterable[JobSettings]) -> list[JobListener]:
    """Open the listener of every job, or none of them.

    Raises:
        ListenError: The first one that cannot be opened, with the id of its job.
    """
    opened: list[JobListener] = []
    for job in jobs:
        try:
            sock = open_listener(
                parse_listen(job.listen), receive_buffer_bytes=receive_buffer_bytes(job.policy.rate_up)
            )
        except ListenError as error:
            close_listeners(opened)
            raise ListenError(f"job {job.id}: {error}") from error
        opened.append(JobListener(job, sock))
    return opened


def close_listeners(listeners: Iterable[JobListener]) -> None:
    """Close those listeners that no gate has closed, and remove their paths."""
    for listener in listeners:
        if listener.sock.fileno() < 0:
            continue
        where = bound_to(listener.sock)
        listener.sock.close()
        remove_path(where)


class Stop:
    """What the signals have asked for so far."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.insisted = asyncio.Event()

    def on_signal(self) -> None:
        """Count a request to stop."""
        (self.insisted if self.requested.is_set() else self.requested).set()


async def serve(
    settings: Settings,
    listeners: Collection[JobListener],
    *,
    journal: Journal,
    on_hangup: Callable[[], None],
    on_state: Callable[[str, Mapping[str, str]], None],
) -> None:
    """Serve the listeners until a signal says stop, then drain.

    Args:
        settings: What the gate enforces.
        listeners: Owned by the gate from now on.
        journal: Takes the decision log.
        on_hangup: Called on SIGHUP.
        on_state: Called with ``ready`` and where each job listens once all accept, and with
            ``stopping`` when a signal came.
    """
    stop = Stop()
    gate = Gate(settings, journal=journal)
    listening = {listener.job.id: bound_to(listener.sock) for listener in listeners}
    for listener in listeners:
        gate.listen(gate.add_job(listener.job), listener.sock)
    with signal_handlers(
        {signal.SIGTERM: stop.on_signal, signal.SIGINT: stop.on_signal, signal.SIGHUP: on_hangup}
    ):
        on_state("ready", {job_id: str(where) for job_id, where in listening.items()})
        await stop.requested.wait()
        on_state("stopping", {})
        for where in listening.values():
            remove_path(where)
        await drain(gate, settings.timeouts.drain_s, stop.insisted)


async def drain(gate: Gate, drain_s: float, insisted: asyncio.Event) -> None:
    """Let the connections of a gate finish; end them when the time is over or somebody insists."""
    loop = asyncio.get_running_loop()
    draining = loop.create_task(gate.close(drain_s))
    waiting = loop.create_task(insisted.wait())
    await asyncio.wait({draining, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not draining.done():
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        draining = loop.create_task(gate.close())
    await draining


@contextlib.contextmanager
def signal_handlers(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Have the running loop call these on signals, inside the block."""
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
