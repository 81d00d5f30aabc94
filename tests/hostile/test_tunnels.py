"""Short tunnels that end in every order of FIN and RST, many at once, with much still to be written.

Ending the sending side of a transport by its ``write_eof`` has corrupted memory on uvloop when short tunnels
closed meanwhile (``test_layering`` forbids it). Here the gate runs in a process of its own, whose exit code
is checked: an abort is seen, as are a byte too few, a wrong ending and anything left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.endings import FIN, RESET, Ending, EndingOrigin, Seen, all_endings, run_tunnel
from support.gate_process import gate_process, job, loop_name, node
from support.scale import SCALE, TIMEOUT_S

TUNNELS = 2000 * SCALE
AT_ONCE = 32


async def run_all(port: int, origin: EndingOrigin, endings: list[Ending]) -> dict[int, Seen]:
    """Run so many tunnels, some at once."""
    seen: dict[int, Seen] = {}
    numbers = iter(range(TUNNELS))

    async def work(numbers: Iterable[int]) -> None:
        for number in numbers:
            seen[number] = await run_tunnel(port, origin, number, endings[number % len(endings)])

    await asyncio.gather(*(work(numbers) for _ in range(AT_ONCE)))
    return seen


def check(number: int, ending: Ending, client: Seen, origin: Seen | None) -> None:
    """Assert what both ends of a tunnel must have seen."""
    assert client.is_prefix, number
    if origin is None:
        assert ending.client == RESET, number
        return
    assert origin.is_prefix, number
    if ending.is_clean:
        assert (client.end, origin.end) == (FIN, FIN), number
        assert client.is_whole, number
        assert origin.is_whole, number
    if ending.client == FIN and ending.first == "client":
        assert (origin.end, origin.is_whole) == (FIN, True), number
    if ending.origin == FIN and ending.first == "origin":
        assert (client.end, client.is_whole) == (FIN, True), number
    if ending.client == FIN and ending.origin == RESET and ending.first != "client":
        assert client.end == RESET, number
    if ending.origin == FIN and ending.client == RESET and ending.first != "origin":
        assert origin.end == RESET, number


@pytest.mark.timeout(TIMEOUT_S)
async def test_short_tunnels_in_every_order_of_fin_and_reset(tmp_path: Path) -> None:
    endings = all_endings()
    async with EndingOrigin(endings) as origin:
        with gate_process(node() + job(), tmp_path, loop_name()) as gate:
            before = gate.report("collect").held
            clients = await run_all(gate.port, origin, endings)
            report = await gate.until_later(lambda report: not report.held.connections)
            await origin.until_over()
            assert (await gate.until_later(lambda r: r.held == before, command="collect")).errors == []
    for number, client in clients.items():
        check(number, endings[number % len(endings)], client, origin.seen.get(number))
    clean = sum(endings[number % len(endings)].is_clean for number in range(TUNNELS))
    reasons = report.reasons["job"]
    assert sum(reasons.values()) == TUNNELS
    assert reasons["done"] == clean
    assert set(reasons) == {"done", "client-reset", "upstream-reset"}
