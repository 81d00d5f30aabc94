"""The program, from its first line."""

from __future__ import annotations

import gc
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jobgate import __version__
from support.serve import ENVIRONMENT


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Undo what the program does to its process."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)
    gc.enable()


@pytest.mark.usefixtures("_as_before")
def test_module_runs_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["jobgate", "--version"])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_module("jobgate", run_name="__main__")
    assert exit_info.value.code == 0
    assert __version__ in capsys.readouterr().out


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout


def test_nothing_is_loaded_before_the_program_is_called() -> None:
    """What pip writes imports the function itself: before that, an interruption would be a traceback."""
    program = "import sys; from jobgate.__main__ import main; print('click' in sys.modules); main()"
    assert run(program, "--version").startswith("False\njobgate ")


def test_garbage_of_the_start_is_not_kept() -> None:
    """In Python 3.11, for one, the classes of datetime that those written in C take the place of."""
    program = (
        "import gc\n"
        "from jobgate.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: gc.unfreeze()\n"
        "classes = [found for found in gc.get_objects() if isinstance(found, type)]\n"
        "print('kept:', *(found for found in classes if found.__module__ == 'datetime'), gc.isenabled())"
    )
    assert run(program, "env", "--help").splitlines()[-1] == "kept: True"
