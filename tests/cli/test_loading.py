"""Imports without the garbage collector."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """\
import gc
from jobgate.cli.loading import load

gc.callbacks.append(lambda phase, info: print(phase))
module = load("fractions")
gc.callbacks.clear()
print(module.__name__, gc.isenabled(), gc.get_freeze_count() > 1000, load("fractions") is module)
"""


def run(program: str) -> str:
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_load_collects_no_garbage_and_leaves_alone_what_is_there() -> None:
    assert run(PROGRAM) == "fractions True True True\n"


def test_collector_is_at_work_again_after_an_import_that_failed() -> None:
    program = (
        "import gc\nfrom jobgate.cli.loading import load\n"
        "try: load('jobgate.absent')\nexcept ImportError: print(gc.isenabled())"
    )
    assert run(program) == "True\n"
