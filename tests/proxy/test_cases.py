"""Every case of ``tests/data/requests.jsonl`` over the wire, against a real gate."""

from __future__ import annotations

import pytest

from jobgate.config.load import ConfigError
from support.cases import Case, Outcome, load, problems
from support.conversation import converse, expected
from support.gate import DialHook, FakeResolver, running_gate
from support.http_origin import HttpOrigin
from support.net import closed_port

#: Ports at which the origin is reached; on port 9 nothing listens.
ORIGIN_PORTS = (80, 443, 8080, 8443)
CLOSED_PORT = 9


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
async def test_case(case: Case) -> None:
    try:
        outcome = await run(case)
    except ConfigError:
        assert case.policy_may_fail
        return
    assert problems(case, expected(case), outcome) == []


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
