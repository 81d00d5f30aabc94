"""No way leads back into the gate: no form of an address, no name, nothing that the operator lifts."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from support.gate import RunningGate, running_gate
from support.messages import absolute, connect

#: Everything that the configuration can lift, lifted.
LIFTED = ["0.0.0.0/0", "::/0", "127.0.0.0/8", "127.0.0.1", "::1", "64:ff9b::/96", "::ffff:0:0/96"]
NAMES = {
    "own.test": ["127.0.0.1"],
    "own6.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "any.test": ["0.0.0.0"],
    "any6.test": ["::"],
    "other.test": ["127.0.0.2"],
    "several.test": ["127.0.0.1", "::1", "64:ff9b::7f00:1"],
}
LITERALS = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "[::]", "127.0.0.2"]
#: These lead to a listener only if it is bound to every address.
OTHERS = {"other.test", "127.0.0.2"}
#: Where these lead to, nothing can be lifted: so they may be refused for what they are.
NEVER = {"any.test", "any6.test", "0.0.0.0", "[::]", "mapped.test", "[::ffff:127.0.0.1]"}
HOSTS = [*NAMES, "localhost", *LITERALS]
CASES = [
    (host, bound)
    for host in HOSTS
    for bound in ("127.0.0.1", "0.0.0.0")
    if host not in OTHERS or bound == "0.0.0.0"
]
LINES: dict[str, Callable[[str, int], bytes]] = {
    "connect": lambda host, port: connect(f"{host}:{port}"),
    "get": lambda host, port: absolute(f"http://{host}:{port}/"),
}


@asynccontextmanager
async def two_jobs(listening: str) -> AsyncIterator[RunningGate]:
    """Serve two jobs that may go anywhere, on an address and on IPv6 loopback."""
    domains = json.dumps(HOSTS)
    configuration = f"""
        [node]
        allow_addresses = {json.dumps(LIFTED)}
        connect_ports = ["1-65535"]
        http_ports = ["1-65535"]
        [dns]
        hosts = {json.dumps(NAMES).replace(": ", " = ")}
    """
    for name in ("first", "second"):
        configuration += f"""
            [[job]]
            id = "{name}"
            network = "http"
            listen = "127.0.0.1:0"
            domains = {domains}
        """
    async with running_gate(configuration, listening=listening) as gate:
        for name, port in zip(("first", "second"), gate.ports, strict=True):
            listener = socket.create_server(("::1", port), family=socket.AF_INET6)
            gate.gate.listen(gate.gate.jobs[name], listener)
        yield gate


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize(("host", "listening"), CASES)
async def test_listener_is_no_destination_by_any_name_or_address(
    host: str, listening: str, line: Callable[[str, int], bytes]
) -> None:
    async with two_jobs(listening) as gate:
        for port in gate.ports:
            async with gate.client() as client:
                response = await client.request(line(host, port))
                reason = response.value("x-jobgate-reason")
                reasons = {"self", "address"} if host in NEVER else {"self"}
                assert response.status == 403
                assert reason in reasons
        assert gate.dials == []
