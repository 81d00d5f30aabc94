"""slowhttptest (a Debian package) in its four modes, at the gate and through it, beside a good client."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from support.client import Client
from support.gate_process import gate_process, job, node
from support.http_origin import HttpOrigin
from support.messages import absolute

PROGRAM = shutil.which("slowhttptest")
SECONDS = 2
CONNECTIONS = 200
TIMEOUTS = """
head_s = 1.0
upstream_response_s = 1.0
tunnel_idle_s = 1.0
keepalive_s = 1.0
"""
MODES = {
    "slow-heads": ["-H", "-i", "1"],
    "slow-content": ["-B", "-i", "1", "-s", "8192"],
    "many-ranges": ["-R", "-a", "10", "-b", "3000"],
    "slow-reading": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32"],
}


async def attack(mode: list[str], *target: str) -> None:
    """Run the program to its end."""
    general = ["-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", str(SECONDS), "-p", "1", "-v", "0"]
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *mode,
        *general,
        *target,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.wait()


async def served_meanwhile(
    attacks: asyncio.Future[tuple[None, None]], gate_port: int, origin_port: int
) -> int:
    """Ask again and again, each time over a new connection, while the attacks go on; return how often."""
    served = 0
    while not attacks.done():
        async with await Client.connect(gate_port) as client:
            response = await client.request(absolute(f"http://ok.test:{origin_port}/", "Connection: close"))
            assert response.status == 200
        served += 1
        await asyncio.wait({attacks}, timeout=0.01)
    return served


async def fight(mode: list[str], folder: Path) -> None:
    """Attack the gate itself, and at the same time an origin through it."""
    async with HttpOrigin(bytes(20_000)) as origin:
        with gate_process(node(timeouts=TIMEOUTS) + job("good") + job("bad"), folder, "uvloop") as gate:
            bad, url = f"127.0.0.1:{gate.ports['bad']}", f"http://ok.test:{origin.port}/"
            attacks = asyncio.gather(attack(mode, "-u", f"http://{bad}/"), attack(mode, "-d", bad, "-u", url))
            served = await served_meanwhile(attacks, gate.ports["good"], origin.port)
            report = await gate.until_later(lambda report: not report.held.connections)
    assert report.reasons["good"] == {"done": served}
    assert served > SECONDS
    assert sum(report.reasons["bad"].values()) > CONNECTIONS


@pytest.mark.skipif(PROGRAM is None, reason="slowhttptest is not installed")
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_good_client_is_served_during(mode: list[str], tmp_path: Path) -> None:
    asyncio.run(fight(mode, tmp_path))
