"""The commands of a page, run in one shell as a reader would type them, and what it says that they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "==== end of step"


class Step(NamedTuple):
    """One command, of several lines perhaps, and the lines that it prints on either output."""

    command: str
    output: list[str]


def steps_of(page: Path) -> list[Step]:
    """All commands of a page, in order: lines behind ``$``, continued behind ``>``."""
    steps: list[Step] = []
    for block in _BLOCK.findall(page.read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Step(line[2:], []))
            elif line.startswith("> "):
                steps[-1] = steps[-1]._replace(command=f"{steps[-1].command}\n{line[2:]}")
            else:
                steps[-1].output.append(line)
    return steps


def run_steps(steps: list[Step], folder: Path) -> list[list[str]]:
    """Run all of them in one shell, in a folder, with ``jobgate`` and little else in the environment."""
    (folder / "bin").mkdir()
    (folder / "work").mkdir()
    program = folder / "bin" / "jobgate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jobgate "$@"\n')
    program.chmod(0o755)
    script = "".join(f"{step.command}\necho '{_MARK}'\n" for step in steps)
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HOME": str(folder),
    }
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        cwd=folder / "work",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    *outputs, rest = done.stdout.split(f"{_MARK}\n")
    assert (rest, done.stderr) == ("", "")
    return [output.splitlines() for output in outputs]
