"""jobgate as its users have it: with byte code, and without the hooks of an environment for development.

From a checkout, Python compiles every module at each start where it may not write byte code, as with
``PYTHONDONTWRITEBYTECODE``; and each Python of an editable install loads its import hook first.
"""

from __future__ import annotations

import compileall
import os
import shutil
import sysconfig
import venv
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
#: For a Python that has jobgate installed: nothing of the caller's Python.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def compile_checkout() -> None:
    """Write the byte code of this checkout."""
    for folder in ("config", "proxy", "ratelimit", "src"):
        compileall.compile_dir(_ROOT / folder, quiet=1)


def install(folder: Path) -> str:
    """Make an environment with a copy of this checkout, and with the libraries of this Python.

    Returns:
        The Python to start.
    """
    venv.create(folder)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    shutil.copytree(_ROOT / "src" / "jobgate", site / "jobgate", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(site, quiet=1)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(folder / "bin" / "python")
