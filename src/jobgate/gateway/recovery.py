"""When a worker that died is started again, and how it is told of. Pure."""

from __future__ import annotations

import contextlib
import signal

MAX_PAUSE_S = 30.0


def pause_s(failures: int) -> float:
    """Say how long to wait before a start: not at all the first time, then 1 s, 2 s, 4 s … 30 s."""
    return 0.0 if failures <= 1 else min(MAX_PAUSE_S, 2.0 ** min(failures - 2, 10))


def ending(returncode: int) -> str:
    """Say how a process ended."""
    if returncode >= 0:
        return f"it ended with exit code {returncode}"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(-returncode).name}"
    return f"it was ended by signal {-returncode}"
