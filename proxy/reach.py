"""From an allowed target to a connected socket: resolve once, vet every answer, dial (edge)."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from jobgate.config.host import Address, Name

from .addresses import vet
from .errors import ProxyError, Reason

if TYPE_CHECKING:
    from .decision import Target
    from .exchange import Exchange
    from .gate import Gate
    from .job import Job


async def reach(gate: Gate, job: Job, target: Target, exchange: Exchange) -> socket.socket:
    """Connect to an address of the target that may be dialled; write the decision line on the way.

    Raises:
        ProxyError: ``dns-*``, ``rate``, ``address``, ``self``, ``connect-*``, ``overloaded``.
    """
    addresses = await _addresses(gate, job, target, exchange)
    started = time.monotonic()
    try:
        sock = await gate.dialer(
            addresses,
            target.port,
            timeout_s=gate.settings.timeouts.dial_s,
            receive_buffer_bytes=job.down.receive_buffer_bytes,
        )
    finally:
        exchange.connect_s = time.monotonic() - started
    exchange.address = _peer_address(sock)
    return sock


async def _addresses(gate: Gate, job: Job, target: Target, exchange: Exchange) -> list[Address]:
    """Look the name up once and keep the addresses that may be dialled."""
    if isinstance(target.host, Name):
        found = await _resolve(gate, job, target.host, exchange)
    else:
        found = (target.host,)
    dropped: list[Address] = []
    good: list[Address] = []
    own = False
    for address in found:
        is_own = gate.is_own(address, target.port)
        own = own or is_own
        bad = is_own or vet(address, target.port, job.policy.node) is not None
        (dropped if bad else good).append(address)
    exchange.dropped = tuple(map(str, dropped))
    if good:
        exchange.allow()
        return good
    if own:
        raise ProxyError(Reason.SELF, "This address is the gate itself.")
    raise ProxyError(Reason.ADDRESS, "This name leads only to addresses that no job may reach.")


async def _resolve(gate: Gate, job: Job, name: Name, exchange: Exchange) -> tuple[Address, ...]:
    known = gate.resolver.lookup(name)
    if known is not None:
        return known
    wait_s = 0.0 if gate.resolver.cached(name) else job.dns_names.take()
    if wait_s:
        raise ProxyError(
            Reason.RATE, "This job asks for too many new names per second.", retry_after_s=wait_s
        )
    started = time.monotonic()
    try:
        return (await gate.resolver.resolve(name)).addresses
    except ProxyError:
        exchange.allow()  # by name it was
        raise
    finally:
        exchange.dns_s = time.monotonic() - started


def _peer_address(sock: socket.socket) -> str:
    try:
        address: str = sock.getpeername()[0]
    except OSError:  # reset as soon as it was accepted
        sock.close()
        raise ProxyError(Reason.UPSTREAM_CLOSED, "The origin closed the connection at once.") from None
    return address
