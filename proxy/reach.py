"""From an allowed target to a connected socket: resolve once, vet every answer, dial (edge).

An answer that lacks a family is used where it helps and never refuses: when none of its addresses
may be dialled, or none connects while the missing ones are under way, those are waited for.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobgate.config.host import Address, Name

from .dnsanswer import incomplete
from .errors import ProxyError, Reason
from .resolver import Resolution

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
    name = target.host
    if not isinstance(name, Name):
        itself = Resolution((name,), queried=False)
        return await _dial(gate, job, target, _vetted(gate, job, target, itself, exchange), exchange)
    found = gate.resolver.lookup(name) or await _resolve(gate, job, name, exchange)
    good = _vetted(gate, job, target, found, exchange)
    failure: ProxyError | None = None
    if good:
        try:
            return await _dial(gate, job, target, good, exchange)
        except ProxyError as error:
            if found.missing is None or not gate.resolver.pending(name):
                raise
            failure = error
    whole = await _resolve(gate, job, name, exchange, whole=True)
    late = [address for address in _vetted(gate, job, target, whole, exchange) if address not in good]
    if late:
        return await _dial(gate, job, target, late, exchange)
    exchange.allow()  # by name it was
    raise failure or incomplete(name, whole.missing or Reason.DNS_TIMEOUT)


async def _dial(
    gate: Gate, job: Job, target: Target, addresses: Sequence[Address], exchange: Exchange
) -> socket.socket:
    """Connect directly, or through the node's upstream proxy, to exactly one of the vetted addresses."""
    exchange.allow(gate.soon)
    timeout_s, buffer_bytes = gate.settings.timeouts.dial_s, job.down.receive_buffer_bytes
    upstream = gate.upstream
    started = time.monotonic()
    try:
        if upstream is not None and upstream.serves(target.host, addresses):
            tunnel = await upstream.open(
                addresses, target.port, timeout_s=timeout_s, receive_buffer_bytes=buffer_bytes
            )
            exchange.address = str(tunnel.address)
            return tunnel.sock
        sock = await gate.dialer(
            addresses, target.port, timeout_s=timeout_s, receive_buffer_bytes=buffer_bytes
        )
    finally:
        exchange.connect_s += time.monotonic() - started
    exchange.address = _peer_address(sock)
    return sock


def _vetted(gate: Gate, job: Job, target: Target, found: Resolution, exchange: Exchange) -> Sequence[Address]:
    """Keep the addresses that may be dialled, of a complete answer at least one.

    Raises:
        ProxyError: ``address``, ``self``.
    """
    addresses = found.addresses
    good = job.vetter.good(job.policy, target, addresses)
    own = gate.own.among(addresses, target.port)
    if own:
        good = tuple(address for address in good if address not in own)
    exchange.dropped = (
        () if len(good) == len(addresses) else tuple(str(each) for each in addresses if each not in good)
    )
    if good or found.missing is not None:
        return good
    if own:
        raise ProxyError(Reason.SELF, "This address is the gate itself.")
    raise ProxyError(Reason.ADDRESS, "This name leads only to addresses that no job may reach.")


async def _resolve(
    gate: Gate, job: Job, name: Name, exchange: Exchange, *, whole: bool = False
) -> Resolution:
    """Look the name up; a query that nobody else has asked for counts against the job's names per second."""
    resolver = gate.resolver
    asked = resolver.cached(name, whole=whole) or (whole and resolver.pending(name))
    wait_s = 0.0 if asked else job.dns_names.take()
    if wait_s:
        raise ProxyError(
            Reason.RATE, "This job asks for too many new names per second.", retry_after_s=wait_s
        )
    started = time.monotonic()
    try:
        return await resolver.resolve(name, whole=whole)
    except ProxyError:
        exchange.allow()  # by name it was
        raise
    finally:
        exchange.dns_s += time.monotonic() - started


def _peer_address(sock: socket.socket) -> str:
    try:
        address: str = sock.getpeername()[0]
    except OSError:  # reset as soon as it was accepted
        sock.close()
        raise ProxyError(Reason.UPSTREAM_CLOSED, "The origin closed the connection at once.") from None
    return address
