"""A real gate for tests: real sockets, a recorded journal, names and dials under control."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address

from jobgate.config.host import Address, Name
from jobgate.config.load import load_text
from jobgate.config.settings import DnsSettings, Settings
from jobgate.proxy.dial import Dialer, dial
from jobgate.proxy.entrance import Entrance
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.gate import Gate
from jobgate.proxy.job import Job
from jobgate.proxy.journal import Journal
from jobgate.proxy.logwriter import LogWriter
from jobgate.proxy.resolver import Resolution, Resolver

from .client import Client
from .wait import Changes

Line = dict[str, object]


class RecordingWriter(LogWriter):
    """Keeps the lines of the real journal instead of writing them."""

    def __init__(self) -> None:
        super().__init__(os.devnull)
        self.changes = Changes()
        self.text = ""
        self.decisions: list[Line] = []
        self.closes: list[Line] = []

    def write(self, line: bytes) -> None:
        """Read a line as a log collector would."""
        self.text += line.decode("ascii")
        fields: Line = json.loads(line)
        lines = {"decision": self.decisions, "close": self.closes}
        if fields["event"] in lines:  # not "dropped": what a job logs beyond its share
            lines[str(fields["event"])].append(fields)
        self.changes.notify()

    def lines(self, event: str) -> list[Line]:
        """The lines of an event."""
        every: list[Line] = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in every if line["event"] == event]

    def check(self) -> None:
        """Assert that each decision has one close line."""
        decided = sorted(str(line["id"]) for line in self.decisions)
        closed = sorted(str(line["id"]) for line in self.closes)
        assert decided == closed
        assert len(decided) == len(set(decided))


class FakeResolver(Resolver):
    """The whole DNS of a test; counts the queries, remembers nothing.

    Args:
        answers: Name to addresses; none: the name has no address.
        others: What every other name leads to; ``None``: it does not exist.
        failure: Raised for every name.
    """

    def __init__(
        self,
        answers: Mapping[str, Sequence[str]],
        *,
        others: Sequence[str] | None = None,
        failure: ProxyError | None = None,
    ) -> None:
        super().__init__(DnsSettings())
        self._answers = answers
        self._others = others
        self._failure = failure
        self._sequences: dict[str, list[Sequence[str]]] = {}
        self.queries: list[str] = []

    @classmethod
    def everything(cls, *addresses: str) -> FakeResolver:
        """Lead every name to these addresses."""
        return cls({}, others=addresses)

    @classmethod
    def sequence(cls, name: str, answers: Sequence[Sequence[str]]) -> FakeResolver:
        """Give a name another answer each time it is asked for."""
        resolver = cls({})
        resolver._sequences[name] = list(answers)
        return resolver

    def lookup(self, name: Name) -> Resolution | None:
        """Know nothing without a query."""
        return None

    def cached(self, name: Name, *, whole: bool = False) -> bool:
        """Know nothing without a query."""
        return False

    async def resolve(self, name: Name, *, whole: bool = False) -> Resolution:
        """Count the query and answer it."""
        self.queries.append(str(name))
        if self._failure is not None:
            raise ProxyError(self._failure.reason, self._failure.detail)
        if self._sequences.get(name):
            found: Sequence[str] | None = self._sequences[name].pop(0)
        else:
            found = self._answers.get(name, self._others)
        if not found:
            raise ProxyError(Reason.DNS_NXDOMAIN, f"The name {name} has no address.")
        return Resolution(tuple(map(ip_address, found)), True)


class DialHook:
    """Sees every dial; leads it to loopback where a port is mapped, and dials for real elsewhere.

    Args:
        ports: Port asked for to the port dialled on 127.0.0.1.
    """

    def __init__(self, ports: Mapping[int, int] | None = None) -> None:
        self._ports = ports or {}
        self.dials: list[tuple[str, int]] = []

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        """Try the addresses in order if the port is mapped, else as ``dial`` does."""
        if port not in self._ports:
            self.dials += [(str(address), port) for address in addresses]
            return await dial(addresses, port, timeout_s=timeout_s, receive_buffer_bytes=receive_buffer_bytes)
        self.dials.append((str(addresses[0]), port))
        return await dial(
            [ip_address("127.0.0.1")],
            self._ports[port],
            timeout_s=timeout_s,
            receive_buffer_bytes=receive_buffer_bytes,
        )


class RunningGate:
    """A gate that serves, and what it did."""

    def __init__(
        self, gate: Gate, log: RecordingWriter, dialer: DialHook, ports: list[int], shared_ports: list[int]
    ) -> None:
        self.gate = gate
        self._log = log
        self.dials = dialer.dials
        self.ports = ports
        self.shared_ports = shared_ports

    @property
    def port(self) -> int:
        """Port of the first job."""
        return self.ports[0]

    @property
    def decisions(self) -> list[Line]:
        """Decision lines so far."""
        return self._log.decisions

    @property
    def closes(self) -> list[Line]:
        """Close lines so far."""
        return self._log.closes

    @property
    def journal_text(self) -> str:
        """All lines as they were written."""
        return self._log.text

    @asynccontextmanager
    async def client(self, job: int = 0) -> AsyncIterator[Client]:
        """Connect to a job's listener."""
        async with await Client.connect(self.ports[job]) as client:
            yield client

    async def until_closed(self, count: int) -> None:
        """Wait for that many close lines."""
        await self._log.changes.until(lambda: len(self.closes) >= count)

    async def close(self, drain_s: float = 0.0) -> None:
        """Close the gate."""
        await self.gate.close(drain_s)


@asynccontextmanager
async def running_gate(
    configuration: str | Settings,
    *,
    resolver: Resolver | None = None,
    dialer: DialHook | None = None,
    listening: str = "127.0.0.1",
) -> AsyncIterator[RunningGate]:
    """Serve the jobs of a configuration on ports of their own, or shared ones; check the journal at the end.

    Args:
        configuration: TOML, or what was made of it.
        resolver: By default the configured one.
        dialer: By default every dial is seen and made for real.
        listening: Address of the listeners.
    """
    settings = load_text(configuration) if isinstance(configuration, str) else configuration
    log = RecordingWriter()
    hook = dialer or DialHook()
    checked: Dialer = hook
    gate = Gate(settings, journal=Journal(log), resolver=resolver, dialer=checked)
    loop = asyncio.get_running_loop()
    failures: list[str] = []
    loop.set_exception_handler(lambda _, context: failures.append(repr(context)))
    ports: list[int] = []
    shared_ports: list[int] = []

    def listen(entrance: Job | Entrance, taken: list[int]) -> None:
        family = socket.AF_INET6 if ":" in listening else socket.AF_INET
        listener = socket.create_server((listening, 0), family=family, backlog=512)
        taken.append(listener.getsockname()[1])
        gate.listen(entrance, listener)

    for settings_of_job in settings.jobs:
        job = gate.add_job(settings_of_job)
        if settings_of_job.listen:
            listen(job, ports)
    for _ in settings.listen.proxy:
        listen(gate.shared, shared_ports)
    try:
        yield RunningGate(gate, log, hook, ports, shared_ports)
    finally:
        await gate.close()
        log.close()
    log.check()
    assert failures == []


def loopback_gate(
    *,
    domains: Sequence[str] = (".ok.test", "::1"),
    node: str = "",
    node_addresses: Sequence[str] = ("127.0.0.1", "::1"),
    job: str = "",
    tables: str = "",
    resolver: Resolver | None = None,
    dialer: DialHook | None = None,
    listening: str = "127.0.0.1",
    rate: str = '"unlimited"',
    tls: str = "any",
) -> AbstractAsyncContextManager[RunningGate]:
    """Serve one job, without a rate unless said, every port open; every name leads to 127.0.0.1.

    Its tunnels carry any bytes unless ``tls`` says otherwise: most tests are about other things than TLS.

    Args:
        domains: Of the job.
        node: Further lines of ``[node]``.
        node_addresses: Exceptions to the address guard.
        job: Further lines of the job.
        tables: Further tables.
        resolver: Another DNS.
        dialer: Another dialer.
        listening: Address of the listener.
        rate: In both directions, as TOML.
        tls: ``"require"`` or ``"any"``.
    """
    lines = ["[node]", f"allow_addresses = {json.dumps(list(node_addresses))}", node]
    if "connect_ports" not in node:
        lines.append('connect_ports = ["1-65535"]')
    lines += [
        'http_ports = ["1-65535"]',
        tables,
        "[[job]]",
        'id = "job"',
        'network = "http"',
        'listen = "127.0.0.1:0"',
    ]
    lines += [
        f"domains = {json.dumps(list(domains))}",
        f"rate_up = {rate}",
        f"rate_down = {rate}",
        f'tls = "{tls}"',
        job,
    ]
    return running_gate(
        "\n".join(lines),
        resolver=resolver or FakeResolver.everything("127.0.0.1"),
        dialer=dialer,
        listening=listening,
    )
