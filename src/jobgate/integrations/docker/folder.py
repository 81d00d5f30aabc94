"""The folder of a run, which does not outlive its launcher for long (edge).

The launcher holds a lock on it, which ends with the process however that ends. A name
that the next run looks for is given to it under the lock: whoever finds such a folder
without one finds it left behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "jobgate-docker-"
_NAME = re.compile(_PREFIX + "[0-9a-f]+")


@contextmanager
def private_folder(run_id: str) -> Iterator[Path]:
    """Make a folder that no other user can enter, and hold it while the context is entered.

    Removing it is left to whoever does that even after the end of this process.
    """
    new = tempfile.mkdtemp(prefix="jobgate-")
    held = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)  # NFS gives no other for what is open to be read
        yield Path(new).rename(Path(tempfile.gettempdir(), f"{_PREFIX}{run_id}"))
    finally:
        os.close(held)


def sweep_folders() -> None:
    """Remove the folders of launchers of the same user that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _NAME.fullmatch(folder.name) and _is_left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    """Whether it is ours, and held by nobody. In a place that everybody can write to it may be a link."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.fstat(opened).st_uid != os.geteuid():
            return False
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held
        return False
    finally:
        os.close(opened)
    return True
