"""Single keys from a terminal, without waiting for Enter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pressed_keys(descriptor: int, on_key: Callable[[str], None]) -> Iterator[None]:
    """Call a function with each key pressed, inside the block; without a terminal there are none.

    The terminal's own keys (Ctrl+C, Ctrl+Z) go on working, and it is left as it was found.
    """
    if not os.isatty(descriptor):
        yield
        return
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        pressed = os.read(descriptor, 64)
        if not pressed:
            loop.remove_reader(descriptor)
        for key in pressed.decode("ascii", "replace"):
            on_key(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
