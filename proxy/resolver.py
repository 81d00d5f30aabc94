"""Names to addresses: configured hosts, ``/etc/hosts``, the cache, then the name servers.

The caller has decided that the name is allowed; nothing else may be resolved, and
addresses are never looked up backwards. Both families are asked together, once per
name however many wait for it. Search lists and ``ndots`` do not exist here.

Source: RFC 1035, RFC 2308, RFC 6761 §6.3 (``localhost``), RFC 8305 §3.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jobgate.config.endpoints import Endpoint
from jobgate.config.host import Address, Name
from jobgate.config.settings import DnsSettings

from .dnsanswer import Answer, Outcome, RecordType, Reply, combine
from .dnscache import DnsCache
from .dnsquery import ask
from .errors import ProxyError, Reason
from .hosts import parse_hosts, parse_nameservers
from .watch import WatchedFile

HOSTS_PATH = Path("/etc/hosts")
RESOLV_CONF_PATH = Path("/etc/resolv.conf")

# How long the other family is waited for once one has brought addresses, besides a whole
# first try: one lost datagram must not hide a family. RFC 8305 §3 says 50 ms after A;
# longer here, since the answer is cached, a host without IPv6 needs the A, and a host that
# has only NAT64 needs the AAAA, which its DNS64 makes from two queries of its own.
RESOLUTION_DELAY_S = 0.3

# Shares of the deadline for one try of one server: 1 s, later 2 s, of the default 5 s.
FIRST_TRY = 0.2
LATER_TRY = 0.4


class Resolution(NamedTuple):
    """Addresses of a name, not vetted, at least one; ``queried`` if name servers were waited for."""

    addresses: tuple[Address, ...]
    queried: bool


class _Flight:
    """One resolution under way, and how many wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[Answer]) -> None:
        self.task = task
        self.waiters = 0


class Resolver:
    """Resolves allowed names; belongs to one event loop.

    Args:
        settings: ``[dns]``; without ``servers`` those of ``resolv_conf_path`` are asked.
        clock: Seconds, monotonic; ages the cache and the files.
        hosts_path, resolv_conf_path: Read again when they change.
        resolution_delay_s: Seconds to wait for the second family; ``None``: a first try and
            ``RESOLUTION_DELAY_S``.
    """

    def __init__(
        self,
        settings: DnsSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        hosts_path: Path = HOSTS_PATH,
        resolv_conf_path: Path = RESOLV_CONF_PATH,
        resolution_delay_s: float | None = None,
    ) -> None:
        self._hosts = settings.hosts
        self._servers = settings.servers
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._hosts_file = WatchedFile(hosts_path, parse_hosts, clock)
        self._resolv_conf = WatchedFile(resolv_conf_path, parse_nameservers, clock)
        if resolution_delay_s is None:
            resolution_delay_s = settings.timeout_s * FIRST_TRY + RESOLUTION_DELAY_S
        self._resolution_delay_s = resolution_delay_s
        self._cache = DnsCache(settings.cache_entries)
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._closed = False

    def lookup(self, name: Name) -> tuple[Address, ...] | None:
        """Return the addresses that are known without waiting, ``None`` if there are none."""
        known = self._known(name)
        return None if known is None else known.addresses or None

    def cached(self, name: Name) -> bool:
        """Whether ``resolve`` would end without a query, well or not."""
        return self._known(name) is not None

    async def resolve(self, name: Name) -> Resolution:
        """Return the addresses of an allowed name.

        A call that is cancelled does not disturb others that wait for the same name.

        Raises:
            ProxyError: ``dns-nxdomain`` (no such name, or no address of it),
                ``dns-failure`` (every server refused or failed), ``dns-timeout``,
                ``draining`` (the resolver was closed).
        """
        answer = self._known(name)
        queried = answer is None
        if answer is None:
            answer = await self._flown(name)
        if answer.reason is not None:
            raise ProxyError(answer.reason, answer.detail)
        return Resolution(answer.addresses, queried)

    async def close(self) -> None:
        """Give up all resolutions under way; afterwards nothing is asked any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _known(self, name: Name) -> Answer | None:
        addresses = self._hosts.get(name)
        if addresses is None:
            addresses = self._hosts_file.value().get(name)
        if addresses:
            return Answer(addresses)
        if addresses is not None or name == "localhost" or name.endswith(".localhost"):
            return Answer((), 0.0, Reason.DNS_NXDOMAIN, f"The name {name} has no address in the hosts table.")
        return self._cache.get(name, self._clock())

    async def _flown(self, name: Name) -> Answer:
        """Wait for the one resolution of the name; the last who stops waiting ends it."""
        if self._closed:
            raise _closed()
        flight = self._flights.get(name) or self._start(name)
        flight.waiters += 1
        try:
            await asyncio.wait({flight.task})
        finally:
            flight.waiters -= 1
            if flight.waiters == 0:
                flight.task.cancel()
                del self._flights[name]
        if flight.task.cancelled():
            raise _closed()
        return flight.task.result()

    def _start(self, name: Name) -> _Flight:
        task = asyncio.create_task(self._query(name), name="jobgate-resolve")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        flight = self._flights[name] = _Flight(task)
        return flight

    async def _query(self, name: Name) -> Answer:
        servers = self._servers or self._resolv_conf.value()
        ipv4, ipv6 = await self._both_families(name, servers)
        answer = combine(name, ipv4, ipv6)
        self._cache.put(name, answer, self._clock())
        return answer

    async def _both_families(self, name: Name, servers: Sequence[Endpoint]) -> tuple[Reply, Reply]:
        tasks = [
            asyncio.create_task(ask_servers(name, kind, servers, self._timeout_s), name=f"jobgate-{kind}")
            for kind in (RecordType.A, RecordType.AAAA)
        ]
        try:
            done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if late:
                first = done.pop().result()
                await asyncio.wait(late, timeout=self._resolution_delay_s if first.addresses else None)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        ipv4, ipv6 = (Reply(Outcome.TIMED_OUT) if task.cancelled() else task.result() for task in tasks)
        return ipv4, ipv6


async def ask_servers(name: str, kind: RecordType, servers: Sequence[Endpoint], timeout_s: float) -> Reply:
    """Ask the servers in turn until one has an answer, again and again those that are silent.

    A server that failed is not asked again. When all have failed the reply is
    ``FAILED``, after ``timeout_s`` seconds it is ``TIMED_OUT``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _rounds(name, kind, servers, timeout_s)
    except TimeoutError:
        return Reply(Outcome.TIMED_OUT)


async def _rounds(name: str, kind: RecordType, servers: Sequence[Endpoint], timeout_s: float) -> Reply:
    silent = list(servers)
    try_s = timeout_s * FIRST_TRY
    while silent:
        for server in tuple(silent):
            try:
                async with asyncio.timeout(try_s):
                    reply = await ask(name, kind, server)
            except TimeoutError:
                continue
            if reply.outcome is not Outcome.FAILED:
                return reply
            silent.remove(server)
        try_s = timeout_s * LATER_TRY
    return Reply(Outcome.FAILED)


def _closed() -> ProxyError:
    return ProxyError(Reason.DRAINING, "The gate is shutting down.")
