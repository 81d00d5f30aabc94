from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobgate.cli.run_gate import open_log
from jobgate.launch.errors import EXIT_FAILED, LaunchError


def test_log_that_cannot_be_opened_is_a_failure_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"cannot write the log to .*/absent/log: No such file") as caught:
        open_log(str(tmp_path / "absent" / "log"))
    assert caught.value.exit_code == EXIT_FAILED


def test_log_is_opened_for_appending(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    writer = open_log(str(path))
    writer.write(b"after\n")
    writer.close()
    assert path.read_text() == "before\nafter\n"


def test_run_loads_nothing_of_a_gateway_but_what_it_uses() -> None:
    program = (
        "import sys, jobgate.cli.run, jobgate.cli.run_gate\n"
        "print(*{name for name in sys.modules if name.startswith('jobgate.gateway.')})"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["jobgate.gateway.process"]
