"""A copy of the checkout, so that an installation from it leaves nothing in the one of the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from .docker_engine import ROOT


def checkout(folder: Path) -> Path:
    """Copy what jobgate is installed from into a folder that is there; return that."""
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in ("src", "config", "proxy", "ratelimit", "deploy"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=leave)
    for name in ("pyproject.toml", "requirements-test.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder
