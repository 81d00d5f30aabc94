from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jobgate
from jobgate.config.load import load_text
from jobgate.gateway.fleet import Fleet
from jobgate.gateway.workers import make_gate
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal


async def test_gate_of_one_process_is_a_gate() -> None:
    gate = make_gate(load_text(""), Journal(), workers=1, log="-", loop="asyncio")
    assert type(gate) is Gate
    assert await gate.start() == []
    await gate.close()


async def test_gate_of_several_is_a_fleet_which_does_not_begin_by_itself() -> None:
    settings = load_text("[listen]\nworkers = 3\n")
    gate = make_gate(settings, Journal(), workers=3, log="-", loop="asyncio")
    assert isinstance(gate, Fleet)
    assert [hand.pid for hand in gate.crew] == [0, 0, 0]
    await gate.close()


def test_one_process_loads_nothing_of_several() -> None:
    program = (
        "import sys, jobgate.gateway.service\n"
        "print(*(name for name in ('fleet', 'crew') if f'jobgate.gateway.{name}' in sys.modules))\n"
    )
    environment = {"PYTHONPATH": str(Path(jobgate.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
