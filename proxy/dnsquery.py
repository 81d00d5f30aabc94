"""One question to one name server: over UDP, and over TCP where that answer was cut off.

Edge: sockets, and dnspython for the messages. It is imported when the first
question is really sent: a gate that serves addresses and known hosts never loads it.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from jobgate.config.endpoints import Endpoint
from jobgate.config.host import Address

from .dial import SocketAddress, connect_socket
from .dnsanswer import MAX_ADDRESSES, Outcome, RecordType, Reply

if TYPE_CHECKING:
    import dns.message

# Fits one Ethernet frame over IPv6 (DNS flag day 2020): no fragments.
UDP_PAYLOAD_BYTES = 1232

# About 200 address records. Reading a message costs 26 us a record, so 64 KiB would
# stop the loop for 0.1 s; no name needs so many.
MAX_ANSWER_BYTES = 4096

_HEADER_BYTES = 12
_QR_AND_OPCODE = 0xF8
_RESPONSE = 0x80
_TRUNCATED = 0x02
_RCODE = 0x0F


async def ask(name: str, record_type: RecordType, server: Endpoint) -> Reply:
    """Ask one name server for the addresses of one family; the caller sets the deadline.

    CNAMEs are followed inside the answer, by owner name. A server that refuses,
    cannot be reached, or talks nonsense has ``FAILED``; datagrams that do not
    belong to the question are ignored.

    Args:
        name: Canonical name (ASCII, no final dot); asked as it is, without search list.

    Source: RFC 1035 §4, RFC 5452 §9.1 (what an answer must match), RFC 6891, RFC 7766 §5.
    """
    query = _query(name, record_type)
    try:
        answer = await _ask_udp(query, server)
        if answer[2] & _TRUNCATED:
            answer = await _ask_tcp(query, server)
    except OSError:
        return Reply(Outcome.FAILED)
    return read_answer(answer) if answers(query, answer) else Reply(Outcome.FAILED)


def answers(query: bytes, wire: bytes) -> bool:
    """Whether a message is a response to the query: same id, same question, response bit.

    Letter case of the question may differ. An error may come without a question.
    """
    if len(wire) < _HEADER_BYTES or wire[:2] != query[:2] or wire[2] & _QR_AND_OPCODE != _RESPONSE:
        return False
    if wire[4:6] == b"\0\0":
        return wire[3] & _RCODE != 0
    end = query.index(b"\0", _HEADER_BYTES) + 5
    return wire[4:6] == b"\0\1" and wire[_HEADER_BYTES:end].lower() == query[_HEADER_BYTES:end].lower()


def read_answer(wire: bytes) -> Reply:
    """Read a response that belongs to its query; anything malformed has ``FAILED``."""
    import dns.exception
    import dns.message
    import dns.rcode

    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
        if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return Reply(Outcome.FAILED)
        if not isinstance(message, dns.message.QueryMessage):
            return Reply(Outcome.FAILED)
        chain = message.resolve_chaining()
    except dns.exception.DNSException:
        return Reply(Outcome.FAILED)
    if chain.answer is not None:
        texts = [record.to_text() for record in chain.answer][:MAX_ADDRESSES]
        return Reply(Outcome.ADDRESSES, tuple(map(_address, texts)), chain.minimum_ttl)
    outcome = Outcome.NXDOMAIN if message.rcode() == dns.rcode.NXDOMAIN else Outcome.NODATA
    return Reply(outcome, ttl_s=chain.minimum_ttl if _has_soa(message) else 0.0)


def _address(text: str) -> Address:
    return ip_address(text)


def _has_soa(message: dns.message.Message) -> bool:
    """Without an SOA a negative answer says nothing about its life (RFC 2308 §5)."""
    import dns.rdatatype

    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)


def _query(name: str, record_type: RecordType) -> bytes:
    import dns.message
    import dns.name

    owner = dns.name.from_text(name, dns.name.root)
    return dns.message.make_query(
        owner, record_type.value, use_edns=0, payload=UDP_PAYLOAD_BYTES, ednsflags=0
    ).to_wire()


def _socket_address(server: Endpoint) -> SocketAddress:
    address = server.address
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        plain = str(address).partition("%")[0]
        return plain, server.port, 0, socket.if_nametoindex(address.scope_id)
    return str(address), server.port


def _socket(server: Endpoint, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if isinstance(server.address, IPv6Address) else socket.AF_INET
    return socket.socket(family, kind | socket.SOCK_NONBLOCK)


async def _ask_udp(query: bytes, server: Endpoint) -> bytes:
    """Send from a new socket, so from a random port, connected, so that others are not heard."""
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_DGRAM) as sock:
        sock.connect(_socket_address(server))
        sock.send(query)
        while True:
            wire = await loop.sock_recv(sock, MAX_ANSWER_BYTES)
            if answers(query, wire):
                return wire


async def _ask_tcp(query: bytes, server: Endpoint) -> bytes:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_STREAM) as sock:
        await connect_socket(sock, _socket_address(server))
        await loop.sock_sendall(sock, len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await _receive(sock, 2), "big")
        if size > MAX_ANSWER_BYTES:
            raise ConnectionAbortedError(f"answer of {size} bytes, at most {MAX_ANSWER_BYTES}")
        return await _receive(sock, size)


async def _receive(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < size:
        piece = await loop.sock_recv(sock, size - len(received))
        if not piece:
            raise ConnectionResetError("answer cut off")
        received += piece
    return bytes(received)
