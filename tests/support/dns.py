"""A DNS server on the loopback that says what its script says, over UDP and TCP.

A zone maps names to replies; a name that is missing does not exist. A reply is used
for every question about the name, or a list of replies is used up one question
after the other, the last one again and again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from jobgate.config.endpoints import Endpoint

from .wait import Changes

SOA_TTL_S = 30

#: From the query to the messages that go back, over this transport ("udp" or "tcp").
Reply = Callable[[dns.message.Message, str], Sequence[bytes]]


class Query(NamedTuple):
    """One question that the server was asked."""

    name: str
    record_type: str
    transport: str


def records(*addresses: str, ttl_s: int = 60) -> Reply:
    """Answer with those addresses that are of the family asked for; NODATA for the other."""

    def reply(query: dns.message.Message, transport: str) -> Sequence[bytes]:
        return [_answer(query, _owner(query), addresses, ttl_s).to_wire(max_size=65535)]

    return reply


def chain(*names: str, addresses: Sequence[str] = (), ttl_s: int = 60) -> Reply:
    """Answer with CNAMEs from the name asked for to each of ``names``, then addresses of the last."""

    def reply(query: dns.message.Message, transport: str) -> Sequence[bytes]:
        owners = [_owner(query), *(dns.name.from_text(name) for name in names)]
        message = _answer(query, owners[-1], addresses, ttl_s)
        for owner, target in pairwise(owners):
            message.answer.append(dns.rrset.from_text(owner, ttl_s, "IN", "CNAME", str(target)))
        return [message.to_wire()]

    return reply


def other(name: str, *addresses: str) -> Reply:
    """Answer with addresses that belong to another name than the one asked for."""

    def reply(query: dns.message.Message, transport: str) -> Sequence[bytes]:
        return [_answer(query, dns.name.from_text(name), addresses, 60).to_wire()]

    return reply


def error(rcode: str, *, soa: bool = False, question: bool = True) -> Reply:
    """Answer with an error, such as ``NXDOMAIN`` or ``SERVFAIL``."""

    def reply(query: dns.message.Message, transport: str) -> Sequence[bytes]:
        message = _response(query)
        message.set_rcode(dns.rcode.from_text(rcode))
        if soa:
            _add_soa(message)
        if not question:
            message.question = []
        return [message.to_wire()]

    return reply


def nxdomain() -> Reply:
    """Say that the name does not exist, for ``SOA_TTL_S`` seconds."""
    return error("NXDOMAIN", soa=True)


def silence() -> Reply:
    """Say nothing."""
    return lambda query, transport: []


def hangs() -> Reply:
    """Over TCP, say nothing and keep the connection."""
    return lambda query, transport: [b""]


def messages(*wires: bytes) -> Reply:
    """Send exactly these bytes, each in a message, but with the query's id in front."""
    return lambda query, transport: [query.to_wire()[:2] + wire for wire in wires]


def truncated(then: Reply) -> Reply:
    """Over UDP only say that the answer is too long; over TCP give it."""

    def reply(query: dns.message.Message, transport: str) -> Sequence[bytes]:
        if transport == "tcp":
            return then(query, transport)
        message = _response(query)
        message.flags |= dns.flags.TC
        return [message.to_wire()]

    return reply


def altered(then: Reply, alter: Callable[[bytes], bytes]) -> Reply:
    """Change each message of a reply on its way."""
    return lambda query, transport: [alter(wire) for wire in then(query, transport)]


def both(*replies: Reply) -> Reply:
    """Send the messages of all replies to one question."""
    return lambda query, transport: [wire for reply in replies for wire in reply(query, transport)]


def by_type(**replies: Reply) -> Reply:
    """Reply by record type: ``by_type(A=..., AAAA=...)``."""
    return lambda query, transport: replies[_record_type(query)](query, transport)


@dataclass
class DnsServer:
    """``async with DnsServer({"ok.test": "192.0.2.7"}) as server``.

    Attributes:
        zone: Name to a reply, a list of replies used in turn (each family has its own
            turn), or addresses separated by spaces (``""`` is NODATA).
        queries: All questions in the order they came.
        on_datagram: Called with each datagram and its sender, before the reply.
    """

    zone: Mapping[str, Reply | list[Reply] | str]
    queries: list[Query] = field(default_factory=list)
    on_datagram: Callable[[bytes, tuple[str, int]], object] = lambda wire, sender: None
    port: int = 0
    _turns: dict[tuple[str, str], int] = field(default_factory=dict)
    _changes: Changes = field(default_factory=Changes)
    _serving: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers; its text is ``127.0.0.1:5353``."""
        return Endpoint(ip_address("127.0.0.1"), self.port)

    async def __aenter__(self) -> DnsServer:
        udp, tcp = _sockets()
        self.port = udp.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        self._tcp = await asyncio.start_server(self._accept, sock=tcp)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._udp.close()
        self._tcp.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._tcp.wait_closed()
        await asyncio.sleep(0)

    async def until_asked(self, count: int) -> None:
        """Return once there were so many questions."""
        await self._changes.until(lambda: len(self.queries) >= count)

    def reply_to(self, datagram: bytes, sender: tuple[str, int]) -> None:
        """Send what the script says."""
        self.on_datagram(datagram, sender)
        for wire in self._messages(datagram, "udp"):
            self._udp.sendto(wire, sender)

    def _messages(self, wire: bytes, transport: str) -> Sequence[bytes]:
        query = dns.message.from_wire(wire)
        name = str(_owner(query)).rstrip(".")
        self.queries.append(Query(name, _record_type(query), transport))
        self._changes.notify()
        return self._reply(name, _record_type(query), transport)(query, transport)

    def _reply(self, name: str, record_type: str, transport: str) -> Reply:
        script = self.zone.get(name, nxdomain())
        if isinstance(script, str):
            return records(*script.split())
        if not isinstance(script, list):
            return script
        turn = self._turns.get((name, record_type), 0)
        if transport == "udp":
            self._turns[name, record_type] = turn + 1
        return script[min(turn, len(script) - 1)]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            wires = self._messages(await reader.readexactly(size), "tcp")
            for wire in filter(None, wires):
                writer.write(len(wire).to_bytes(2, "big") + wire)
            if wires:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.reply_to(data, addr)


def _sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same free port."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()


def _owner(query: dns.message.Message) -> dns.name.Name:
    return query.question[0].name


def _record_type(query: dns.message.Message) -> str:
    return dns.rdatatype.to_text(query.question[0].rdtype)


def _response(query: dns.message.Message) -> dns.message.Message:
    return dns.message.make_response(query, recursion_available=True)


def _add_soa(message: dns.message.Message) -> None:
    text = f"ns.test. host.test. 1 3600 600 86400 {SOA_TTL_S}"
    message.authority.append(dns.rrset.from_text("test.", SOA_TTL_S, "IN", "SOA", text))


def _answer(
    query: dns.message.Message, owner: dns.name.Name, addresses: Sequence[str], ttl_s: int
) -> dns.message.Message:
    message = _response(query)
    record_type = _record_type(query)
    version = {"A": 4, "AAAA": 6}.get(record_type)
    matching = [text for text in addresses if ip_address(text).version == version]
    if matching:
        message.answer.append(dns.rrset.from_text_list(owner, ttl_s, "IN", record_type, matching))
    else:
        _add_soa(message)
    return message
