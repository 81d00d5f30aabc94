"""Run the cases of ``requests.jsonl`` where every address is this machine: each dial is real and seen.

``python -m support.local_everywhere``, started inside a network namespace of its own by a user who may
configure it, writes one line of JSON: for each case its problems, or ``null`` if its policy is refused.
No dial is led elsewhere here: the gate connects to the very addresses it vetted, all of which are routed to
``lo``. A packet socket on ``lo`` sees every SYN, also to a port on which nothing listens.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address

import uvloop

from jobgate.config.load import ConfigError

from .cases import Case, Outcome, load, problems
from .conversation import converse, expected
from .gate import FakeResolver, running_gate
from .http_origin import HttpOrigin

_ORIGIN_PORTS = (80, 443, 8080, 8443)
_ETH_P_IP, _ETH_P_IPV6, _ETH_P_ALL = 0x0800, 0x86DD, 0x0003
_SYN, _ACK = 0x02, 0x10
_TCP = 6
_SETUP = ("link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo")


class Dials:
    """Every connection that anybody has tried to open in this namespace."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._sock.bind(("lo", _ETH_P_ALL))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._sock.setblocking(False)

    def take(self) -> list[tuple[str, int]]:
        """Return address and port of each since the last call."""
        return list(self._read())

    def close(self) -> None:
        """Look no more."""
        self._sock.close()

    def _read(self) -> Iterator[tuple[str, int]]:
        while True:
            try:
                packet, (_, protocol, direction, *_) = self._sock.recvfrom(65536)
            except BlockingIOError:
                return
            dial = _syn(packet, protocol) if direction != socket.PACKET_OUTGOING else None
            if dial is not None:
                yield dial


def _syn(packet: bytes, protocol: int) -> tuple[str, int] | None:
    """Return where a packet opens a connection to, if it does."""
    if protocol == _ETH_P_IP and packet[9] == _TCP:
        address, segment = packet[16:20], packet[4 * (packet[0] & 15) :]
    elif protocol == _ETH_P_IPV6 and packet[6] == _TCP:
        address, segment = packet[24:40], packet[40:]
    else:
        return None
    if segment[13] & (_SYN | _ACK) != _SYN:
        return None
    return str(ip_address(address)), int.from_bytes(segment[2:4])


@asynccontextmanager
async def _origins() -> AsyncIterator[list[HttpOrigin]]:
    """Listen at the origin's ports of every address there is."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(HttpOrigin(address=address, port=port))
            for address in ("0.0.0.0", "::")
            for port in _ORIGIN_PORTS
        ]


async def _run(case: Case, dials: Dials) -> Outcome:
    """Have one case's conversation, and gather what both sides saw."""
    resolver = FakeResolver({name.lower(): addresses for name, addresses in case.dns.items()})
    async with _origins() as origins:
        dials.take()
        async with running_gate(case.policy.toml(), resolver=resolver) as gate:
            responses, closed, leftover = await converse(case, gate)
            own = ("127.0.0.1", gate.port)
        for origin in origins:
            await origin.until_all_ended()
        return Outcome(
            responses=responses,
            closed_by_gate=closed,
            leftover=leftover,
            dials=[dial for dial in dials.take() if dial != own],
            queries=resolver.queries,
            origin_connections=sum(len(origin.peers) for origin in origins),
            origin_requests=[request for origin in origins for request in origin.requests],
            origin_raw=b"".join(origin.raw for origin in origins),
        )


async def _run_all() -> dict[str, list[str] | None]:
    dials = Dials()
    found: dict[str, list[str] | None] = {}
    for case in load():
        try:
            found[case.id] = problems(case, expected(case), await _run(case, dials))
        except ConfigError:
            found[case.id] = None
    dials.close()
    return found


def main() -> None:
    """Make every address local, and run the cases."""
    for command in _SETUP:
        subprocess.run(["ip", *command.split()], check=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(_run_all())))


if __name__ == "__main__":
    main()
