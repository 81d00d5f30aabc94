"""Installations by the lines of README.md and docs/ray.md; docs/systemd.md has its own.

Played is the index: pip leaves what jobgate needs to the environment of the tests.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from support.checkout import checkout
from support.docker_engine import ROOT
from support.netns import needs_namespaces
from support.pages import steps_of


def said(folder: Path, *lines: str) -> str:
    """Type them in a copy of the checkout; what they print."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # as pip reads it: none
    }
    python = f'{{ {shlex.quote(sys.executable)} "$@"; }}'
    script = "\n".join([f"python3() {python}", f"python3.11() {python}", *lines])
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=checkout(folder),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_namespaces
def test_line_of_the_readme_installs_and_shows_the_demo(tmp_path: Path) -> None:
    (line,) = (
        step.command for step in steps_of(ROOT / "README.md") if step.command.startswith("python3 -m ")
    )
    shown = said(tmp_path, line)
    assert "-> 200 Hello from the origin." in shown
    assert "(jobgate: not-listed)" in shown


def test_lines_of_the_ray_page_put_its_programs_in_the_path(tmp_path: Path) -> None:
    place = tmp_path / "opt"
    lines = [step.command.replace("/opt/ray", str(place)) for step in steps_of(ROOT / "docs/ray.md")[:2]]
    shown = said(tmp_path, *lines, "command -v jobgate", "jobgate ray check --help > /dev/null")
    assert shown.endswith(f"\n{place}/bin/jobgate\n")
