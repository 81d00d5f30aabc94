"""Every case of ``tests/data/requests.jsonl`` over the wire, against a real gate."""

from __future__ import annotations

import cattrs
import pytest

from jobgate.config.load import ConfigError
from support.cases import Case, Expect, Outcome, load, problems
from support.client import Client, Response
from support.gate import DialHook, FakeResolver, RunningGate, running_gate
from support.http_origin import HttpOrigin
from support.net import closed_port

#: Ports at which the origin is reached; on port 9 nothing listens.
ORIGIN_PORTS = (80, 443, 8080, 8443)
CLOSED_PORT = 9

#: Where the product's documented behaviour (``docs/behavior.md``) decides otherwise: the sentence, and
#: what is expected instead.
SUPERSEDED: dict[str, tuple[str, dict[str, object]]] = {
    "ap-lit4-listed-imds-connect": (
        "CONNECT to port 80 is answered without dialling and read as plain HTTP, each request decided anew.",
        {"status": [200], "upstream_connects": 0},
    ),
}


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
async def test_case(case: Case) -> None:
    _, changes = SUPERSEDED.get(case.id, ("", {}))
    expect = cattrs.structure({**cattrs.unstructure(case.expect), **changes}, Expect)
    try:
        outcome = await run(case)
    except ConfigError:
        assert case.policy_may_fail
        return
    assert problems(case, expect, outcome) == []


async def run(case: Case) -> Outcome:
    """Send the request, read all answers, and wait until both sides have ended."""
    async with HttpOrigin() as origin:
        ports = {**dict.fromkeys(ORIGIN_PORTS, origin.port), CLOSED_PORT: closed_port()}
        dialer = DialHook(ports)
        resolver = FakeResolver({name.lower(): addresses for name, addresses in case.dns.items()})
        async with running_gate(case.policy.toml(), resolver=resolver, dialer=dialer) as gate:
            responses, closed, leftover = await converse(case, gate)
        # The gate is closed: each of its upstream connections ends now, and the origin has read all.
        await origin.until_all_ended()
        return Outcome(
            responses=responses,
            closed_by_gate=closed,
            leftover=leftover,
            dials=dialer.dials,
            queries=resolver.queries,
            origin_connections=len(origin.peers),
            origin_requests=origin.requests,
            origin_raw=origin.raw,
        )


async def converse(case: Case, gate: RunningGate) -> tuple[list[Response], bool, bytes]:
    """Return the responses, whether the gate closed by itself, and what else came."""
    async with gate.client() as client:
        await client.send(case.request)
        if case.half_close:
            client.half_close()
        responses = await read_responses(client, case)
        tunnel = case.request.startswith(b"CONNECT") and [r.status for r in responses] == [200]
        if case.expect.closes and not tunnel:
            return responses, True, await client.read_to_end()
        closed = client.ended
        if not closed and not case.half_close:
            client.half_close()
        leftover = await client.read_to_end()
        return responses, closed, b"" if tunnel else leftover


async def read_responses(client: Client, case: Case) -> list[Response]:
    """Read as many responses as are expected, fewer if the gate closes before."""
    responses: list[Response] = []
    wanted = 1 + len(case.expect.then)
    methods = [*case.methods, *["GET"] * wanted][:wanted]
    for method in methods:
        try:
            responses.append(await client.response(method))
        except EOFError:
            break
    return responses
