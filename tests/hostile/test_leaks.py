"""Connections that end in every possible way: each has its reason, and none leaves anything behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.client import Client
from support.departures import DEPARTURES, Origins, running_origins
from support.gate_child import LOOPS, Held, Report
from support.gate_process import GateProcess, gate_process, job, node
from support.scale import SCALE, TIMEOUT_S

CONNECTIONS = 1000 * SCALE
AT_ONCE = 100
#: Short, for what waits for them, yet long enough for a loaded machine; more under more load.
DEADLINE_S = 3.0 if SCALE == 1 else 5.0
TIMEOUTS = "\n".join(
    f"{name} = {DEADLINE_S}"
    for name in ("head_s", "keepalive_s", "dial_s", "hello_s", "upstream_response_s", "half_closed_s")
)
#: Each way to end has a job of its own: so the reasons can be told apart.
CONFIGURATION = node(timeouts=TIMEOUTS) + "".join(
    job(name, rate=departure.rate, tls=departure.tls) for name, departure in DEPARTURES.items()
)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is left and what was logged once all connections had ended; ``ways`` counts them."""

    ways: Counter[str]
    before: Held
    after: Held
    reasons: dict[str, dict[str, int]]
    closed: Held


async def depart_all(gate: GateProcess, origins: Origins, count: int) -> Counter[str]:
    """Let so many connections end, some at once, in each way in turn."""
    names = list(DEPARTURES)
    ways = [names[number % len(names)] for number in range(count)]
    waiting = iter(ways)

    async def work() -> None:
        for name in waiting:
            async with await Client.connect(gate.ports[name]) as client:
                await DEPARTURES[name].play(client, origins)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return Counter(ways)


async def watch(folder: Path, loop: str) -> Aftermath:
    """Let connections end until everything has, and look at what is left: then again of a closed gate."""
    async with running_origins() as origins:
        with gate_process(CONFIGURATION, folder, loop) as gate:
            ways = await depart_all(gate, origins, len(DEPARTURES))  # opens what is opened late
            before = (await settled(gate)).held
            ways += await depart_all(gate, origins, CONNECTIONS)
            report = await settled(gate)
            closing = asyncio.ensure_future(depart_all(gate, origins, AT_ONCE))
            # The silent ones, at least, are there until their deadlines.
            await gate.until_later(lambda report: report.held.connections > AT_ONCE // 16)
            await asyncio.to_thread(gate.report, "close")
            listeners = len(DEPARTURES)
            closed = await gate.until_later(
                lambda report: report.held.descriptors <= before.descriptors - listeners, command="collect"
            )
            await asyncio.gather(closing, return_exceptions=True)
            return Aftermath(ways, before, report.held, report.reasons, closed.held)


async def settled(gate: GateProcess) -> Report:
    """Report once nothing changes any more: what a turn of the loop closes is gone in a later one."""
    last = await gate.until_later(is_quiet, command="collect")
    while True:
        report = await gate.until_later(is_quiet, command="collect")
        if report.held == last.held:
            return report
        last = report


def is_quiet(report: Report) -> bool:
    """Say whether every connection has gone, and every idle one to an origin."""
    return not report.held.connections and not report.held.pooled


@pytest.fixture(scope="module", params=LOOPS)
def aftermath(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    loop = str(request.param)
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(watch(tmp_path_factory.mktemp(loop), loop))


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("name", DEPARTURES)
def test_connection_ends_with_its_reason(aftermath: Aftermath, name: str) -> None:
    departure = DEPARTURES[name]
    lines = {} if departure.reason is None else {departure.reason: departure.lines * aftermath.ways[name]}
    assert aftermath.reasons.get(name, {}) == lines


def test_nothing_is_left_of_connections_that_ended_in_every_way(aftermath: Aftermath) -> None:
    assert aftermath.after == aftermath.before
    assert (aftermath.after.objects, aftermath.after.unclosed) == (0, 0)


def test_nothing_is_left_of_connections_that_a_stop_cuts_off(aftermath: Aftermath) -> None:
    assert aftermath.closed == Held(descriptors=aftermath.closed.descriptors, tasks=1)
