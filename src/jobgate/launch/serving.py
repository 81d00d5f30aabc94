"""A job behind its gate: one event loop that moves its bytes and waits for its end (edge).

Imported only once the job is on its way: the loop and the gate take longer to
load than the namespaces to make.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.buffers import bound_receive_buffer
from jobgate.proxy.direction import receive_buffer_bytes
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.proxy.usage import Usage

from .launcher import Ending
from .namespaces import PROXY_ADDRESS, PROXY_PORT
from .report import summarize
from .summary import Summary


class Account(NamedTuple):
    """What a job did: in short, and in full."""

    summary: Summary
    usage: Usage


class Served(Ending, Protocol):
    """What a gate needs of the job that it serves."""

    def begin(self) -> None:
        """Let the job run, now that the gate is there."""


LoopFactory = Callable[[], asyncio.AbstractEventLoop]
DRAIN_S = 1.0
"""How long what the job had sent, and did not wait for, may go on after its end."""
BACKLOG = 1024
"""Connections that wait while the loop is busy; the kernel caps it at ``somaxconn``."""


def serve(
    job: Served, proxy: socket.socket, settings: Settings, journal: Journal, loop_factory: LoopFactory
) -> Account:
    """Serve the proxy's socket from the job's first moment to its last.

    Args:
        job: Isolated, and not begun.
        proxy: Bound inside the job's namespace; owned by the gate from now on.
        settings: With the one job whose connections these are.
        journal: Takes the decision log.
        loop_factory: Makes the event loop.

    Returns:
        What the job did; its exit code is with ``job``.
    """
    (served,) = settings.jobs
    listen(proxy, served)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_serve(job, proxy, settings, journal))


def listen(proxy: socket.socket, served: JobSettings) -> None:
    """Open the bound socket to the job.

    TCP settles its window at the handshake: the buffer comes before the listening.
    """
    bound_receive_buffer(proxy, receive_buffer_bytes(served.policy.rate_up))
    proxy.listen(BACKLOG)


async def _serve(job: Served, proxy: socket.socket, settings: Settings, journal: Journal) -> Account:
    (served,) = settings.jobs
    gate = Gate(settings, journal=journal)
    try:
        client = gate.add_job(served)
        gate.listen(client, proxy, elsewhere=True)
        journal.ready({served.id: f"{PROXY_ADDRESS}:{PROXY_PORT}"})
        started = time.monotonic()
        job.begin()
        await until_ended(job)
        duration_s = time.monotonic() - started
    finally:
        await gate.close(DRAIN_S)
    summary = summarize(
        client.usage,
        client.policy,
        counters=client.counters(),
        duration_s=duration_s,
        note=settings.node.refusal_note,
    )
    return Account(summary, client.usage)


async def until_ended(job: Ending) -> None:
    """Wait for the job's end on the running loop, passing on signals meanwhile."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    sources = job.sources()

    def call(source: Callable[[], None]) -> None:
        source()
        if job.exit_code is not None and not ended.done():
            ended.set_result(None)

    for descriptor, source in sources.items():
        loop.add_reader(descriptor, call, source)
    try:
        await ended
    finally:
        for descriptor in sources:
            loop.remove_reader(descriptor)
