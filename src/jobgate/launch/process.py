"""Child processes that are forks of ours."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import NoReturn

from .errors import EXIT_FAILED, EXIT_SIGNAL


def fork(body: Callable[[], int]) -> int:
    """Run ``body`` in a child process, which ends with what it returns; returns the child's pid."""
    pid = os.fork()
    if pid == 0:
        _end_with(body)
    return pid


def _end_with(body: Callable[[], int]) -> NoReturn:
    """End this process without a word to what it was forked from (buffers, exit handlers)."""
    code = EXIT_FAILED
    try:
        code = body()
    except Exception:  # must not go on as the parent's code
        os.write(2, b"jobgate: " + traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(code)


def exit_code(status: int) -> int:
    """The exit code that a shell gives to a wait status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else EXIT_SIGNAL - code
