"""The name server of the soak: what stands before the first ``-`` of a name says what it answers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import dns.exception
import dns.message
from faulty_network import GATE_INSIDE, ORIGIN
from soak_content import Ended

from support.dns import Reply, error, nxdomain, records, silence, truncated

DOMAIN = "soak.test"
#: What begins so is a good name, too, but denied now and then.
REVOCABLE = "revocable"
#: Short, so that names are asked for again and again.
_TTL_S = 5
_REMEMBERED = 10_000

_GOOD = records(ORIGIN, ttl_s=_TTL_S)
_SCRIPTS: dict[str, Reply] = {
    "nx": nxdomain(),
    "servfail": error("SERVFAIL"),
    "refused": error("REFUSED"),
    "silent": silence(),
    "private": records("10.0.0.7", "fd00::7", ttl_s=_TTL_S),
    "metadata": records("169.254.169.254", ttl_s=_TTL_S),
    "gate": records(GATE_INSIDE, ttl_s=_TTL_S),
    "mixed": records("10.0.0.7", ORIGIN, "fd00::7", ttl_s=_TTL_S),
    "cut": truncated(_GOOD),
    "good": _GOOD,
    REVOCABLE: _GOOD,
}


class Names(asyncio.DatagramProtocol):
    """Answers over UDP, and over TCP by ``accept``."""

    _transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self._asked: OrderedDict[tuple[str, int], None] = OrderedDict()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for wire in self._answers(data, "udp"):
            self._transport.sendto(wire, addr)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question over TCP."""
        try:
            async with asyncio.timeout(10.0):
                size = int.from_bytes(await reader.readexactly(2), "big")
                for wire in self._answers(await reader.readexactly(size), "tcp"):
                    writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        except (OSError, Ended, EOFError, TimeoutError):
            writer.transport.abort()
        finally:
            writer.close()

    def _answers(self, wire: bytes, transport: str) -> Sequence[bytes]:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return []
        question = query.question[0]
        word = str(question.name).split("-")[0]
        if word == "deaf":  # to each question when it comes first
            if (key := (str(question.name), question.rdtype)) not in self._asked:
                self._asked[key] = None
                if len(self._asked) > _REMEMBERED:
                    self._asked.popitem(last=False)
                return []
            word = "good"
        return _SCRIPTS.get(word, nxdomain())(query, transport)


async def serve_names(address: str, port: int) -> None:
    """Answer on this endpoint from now on."""
    names = Names()
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: names, local_addr=(address, port))
    await asyncio.start_server(names.accept, address, port)
