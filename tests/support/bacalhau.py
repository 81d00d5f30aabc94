"""The gate as Bacalhau's executor gets it: made of three variables, with the guard of addresses on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from jobgate.config.load import load_text
from jobgate.config.settings import Settings
from jobgate.integrations.bacalhau.settings import gateway_settings
from jobgate.integrations.bacalhau.variables import CLIENTS, DOMAINS, JOB_ID, read_variables
from jobgate.proxy.hosts import parse_hosts
from jobgate.proxy.resolver import Resolver

from .client import Client, Response
from .gate import DialHook, FakeResolver, RunningGate, running_gate
from .messages import absolute, connect, head

#: What every name leads to in these tests; ``DialHook`` brings mapped ports to an origin on loopback.
PUBLIC = "93.184.215.14"
JOB = "job-123"
SQUID_TEXT = b"ERROR: The requested URL could not be retrieved"


def variables(
    domains: Sequence[str] = ("example.com",), clients: Sequence[str] = ("127.0.0.0/8",), job: str = JOB
) -> dict[str, str]:
    """What the executor sets."""
    return {DOMAINS: json.dumps(list(domains)), CLIENTS: json.dumps(list(clients)), JOB_ID: job}


def bacalhau_settings(environ: Mapping[str, str], *, hosts: str = "", config: str = "") -> Settings:
    """Make the settings of a gate.

    Args:
        environ: As ``variables``.
        hosts: Text of ``/etc/hosts``.
        config: TOML, of the operator.
    """
    return gateway_settings(load_text(config), read_variables(environ), parse_hosts(hosts))


def bacalhau_gate(
    *domains: str,
    clients: Sequence[str] = ("127.0.0.0/8",),
    ports: Mapping[int, int] | None = None,
    hosts: str = "",
    config: str = "",
    resolver: Resolver | None = None,
    listening: str = "127.0.0.1",
) -> AbstractAsyncContextManager[RunningGate]:
    """Serve one job.

    Args:
        domains: Of the job; ``example.com`` unless said.
        clients: Of the job.
        ports: Of the job's destinations, to ports of origins on loopback.
        hosts: Text of ``/etc/hosts``.
        config: TOML, of the operator.
        resolver: By default every name leads to ``PUBLIC``.
        listening: Address of the listeners.
    """
    return running_gate(
        bacalhau_settings(variables(domains or ("example.com",), clients), hosts=hosts, config=config),
        resolver=resolver or FakeResolver.everything(PUBLIC),
        dialer=DialHook(ports),
        listening=listening,
    )


async def asked(gate: RunningGate, request: bytes, *, source: str = "") -> Response:
    """Send one request on a connection of its own."""
    async with await Client.connect(gate.port, source=source) as client:
        return await client.request(request, request.partition(b" ")[0].decode())


def request_for(text: str) -> bytes:
    """Write ``GET http://example.com/``, ``GET /`` or ``CONNECT example.com:443`` as a request."""
    method, _, target = text.partition(" ")
    if method == "CONNECT":
        return connect(target)
    if target.startswith("http"):
        return absolute(target, method=method)
    return head(f"{method} {target} HTTP/1.1", "Host: example.com")
