"""Names to addresses: configured hosts, ``/etc/hosts``, the cache, then the name servers.

The caller has decided that the name is allowed; nothing else may be resolved, and
addresses are never looked up backwards. Both families are asked together, once per
name however many wait for it. When one is late, the other's addresses are handed out
as an incomplete answer; its query goes on and completes what is known. Search lists
and ``ndots`` do not exist here.

Source: RFC 1035, RFC 2308, RFC 6761 §6.3 (``localhost``), RFC 8305 §3.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
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
# first try: one lost datagram must not delay a family. RFC 8305 §3 says 50 ms after A;
# longer here, since the answer is cached, a host without IPv6 needs the A, and a host that
# has only NAT64 needs the AAAA, which its DNS64 makes from two queries of its own.
RESOLUTION_DELAY_S = 0.3

# Shares of the deadline for one try of one server: 1 s, later 2 s, of the default 5 s.
FIRST_TRY = 0.2
LATER_TRY = 0.4


class Resolution(NamedTuple):
    """Addresses of a name, not vetted, at least one.

    Args:
        queried: Name servers were waited for.
        missing: Why those of one family are not among them: it failed, or is late
            (``dns-timeout``); ``None``: these are all.
    """

    addresses: tuple[Address, ...]
    queried: bool
    missing: Reason | None = None


class _Flight:
    """One resolution under way.

    Attributes:
        early: The answer without the family that is late; stays open where none is.
        task: Ends with the whole answer.
        waiters: How many wait for either.
    """

    __slots__ = ("early", "task", "waiters")

    def __init__(self, early: asyncio.Future[Answer], task: asyncio.Task[Answer]) -> None:
        self.early = early
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
        #: Names asked for at name servers, by what came of it: ``answered`` or the reason.
        self.outcomes: Counter[str] = Counter()

    @property
    def asking(self) -> int:
        """Names that are being asked for."""
        return len(self._flights)

    @property
    def remembered(self) -> int:
        """Names whose answers are kept."""
        return len(self._cache)

    def lookup(self, name: Name) -> Resolution | None:
        """Return the addresses that are known without waiting, ``None`` if there are none."""
        known = self._known(name)
        if known is None or not known.addresses:
            return None
        return Resolution(known.addresses, False, known.reason)

    def cached(self, name: Name, *, whole: bool = False) -> bool:
        """Whether ``resolve`` would end without a query, well or not."""
        return self._known(name, whole=whole) is not None

    def pending(self, name: Name) -> bool:
        """Whether a query for the name is under way: a family that is missing may still come."""
        return name in self._flights

    async def resolve(self, name: Name, *, whole: bool = False) -> Resolution:
        """Return the addresses of an allowed name.

        A call that is cancelled does not disturb others that wait for the same name.

        Args:
            whole: Wait for a family that is late, too, until it has come or failed.

        Raises:
            ProxyError: ``dns-nxdomain`` (no such name, or no address of it),
                ``dns-failure`` (every server refused or failed), ``dns-timeout``,
                ``draining`` (the resolver was closed).
        """
        answer = self._known(name, whole=whole)
        queried = answer is None
        if answer is None:
            answer = await self._flown(name, whole)
        if answer.reason is not None and not answer.addresses:
            raise ProxyError(answer.reason, answer.detail)
        return Resolution(answer.addresses, queried, answer.reason)

    async def close(self) -> None:
        """Give up all resolutions under way; afterwards nothing is asked any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _known(self, name: Name, *, whole: bool = False) -> Answer | None:
        addresses = self._hosts.get(name)
        if addresses is None:
            addresses = self._hosts_file.value().get(name)
        if addresses:
            return Answer(addresses)
        if addresses is not None or name == "localhost" or name.endswith(".localhost"):
            return Answer((), 0.0, Reason.DNS_NXDOMAIN, f"The name {name} has no address in the hosts table.")
        known = self._cache.get(name, self._clock())
        return None if whole and known is not None and known.is_incomplete else known

    async def _flown(self, name: Name, whole: bool) -> Answer:
        """Wait for the one resolution of the name; the last who stops waiting for any answer ends it."""
        if self._closed:
            raise _closed()
        flight = self._flights.get(name) or self._start(name)
        flight.waiters += 1
        try:
            awaited = {flight.task} if whole else {flight.task, flight.early}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.early.done():
                flight.task.cancel()
                self._land(name, flight)
        if flight.task.cancelled():
            raise _closed()
        return flight.task.result() if flight.task.done() else flight.early.result()

    def _start(self, name: Name) -> _Flight:
        early: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._query(name, early), name="jobgate-resolve")
        flight = self._flights[name] = _Flight(early, task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._land(name, flight))
        return flight

    def _land(self, name: Name, flight: _Flight) -> None:
        """Forget a flight that is over; another one of the same name may have begun."""
        if self._flights.get(name) is flight:
            del self._flights[name]

    async def _query(self, name: Name, early: asyncio.Future[Answer]) -> Answer:
        """Ask for both families; give the addresses of one to ``early`` when the other is late."""
        servers = self._servers or self._resolv_conf.value()
        async with asyncio.TaskGroup() as group:
            ipv4, ipv6 = (
                group.create_task(ask_servers(name, kind, servers, self._timeout_s), name=f"jobgate-{kind}")
                for kind in (RecordType.A, RecordType.AAAA)
            )
            done, late = await asyncio.wait({ipv4, ipv6}, return_when=asyncio.FIRST_COMPLETED)
            if late and done.pop().result().addresses:
                _, late = await asyncio.wait(late, timeout=self._resolution_delay_s)
                if late:
                    early.set_result(self._learned(name, _so_far(ipv4), _so_far(ipv6)))
        answer = self._learned(name, ipv4.result(), ipv6.result())
        self.outcomes["answered" if answer.reason is None else answer.reason.token] += 1
        return answer

    def _learned(self, name: Name, ipv4: Reply, ipv6: Reply) -> Answer:
        answer = combine(name, ipv4, ipv6)
        self._cache.put(name, answer, self._clock())
        return answer


def _so_far(asking: asyncio.Task[Reply]) -> Reply:
    return asking.result() if asking.done() else Reply(Outcome.TIMED_OUT)


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
