"""An interruption while the program is still being loaded."""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_at_interrupt() -> None:
    """End without a word at Ctrl-C, from now on: nothing has begun that could be left undone.

    As an exception it could come up in the middle of any import, and would be shown with all of that.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored: stay so
        signal.signal(signal.SIGINT, _end)


def raise_at_interrupt() -> None:
    """Let Ctrl-C be ``KeyboardInterrupt`` again: what follows may have something to put in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
