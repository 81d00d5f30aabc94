"""Ctrl-C while modules are imported: each of these sends it to its own process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobgate.interrupts import end_at_interrupt, raise_at_interrupt
from support.serve import COMMAND, ENVIRONMENT

INTERRUPTED = "import os, signal, sys; os.kill(os.getpid(), signal.SIGINT); sys.exit('not interrupted')"
SIDECAR = ["sidecar", "--domain", "a.test"]


def run(arguments: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Run ``jobgate`` with the modules of a folder before all others."""
    path = f"{folder}:{ENVIRONMENT['PYTHONPATH']}"
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**ENVIRONMENT, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["click", "aiolimiter"], ids=["of all commands", "of the command"])
def test_interrupt_amid_imports_ends_without_a_word(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(INTERRUPTED)
    assert run(SIDECAR, tmp_path) == (130, "", "")


def test_interrupt_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As in the background of a shell, or under nohup."""
    (tmp_path / "aiolimiter.py").write_text(INTERRUPTED)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(SIDECAR, tmp_path) == (1, "", "not interrupted\n")
    finally:
        signal.signal(signal.SIGINT, before)


def test_interrupt_is_an_exception_once_the_command_is_there() -> None:
    end_at_interrupt()
    raise_at_interrupt()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
