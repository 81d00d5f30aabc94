"""Run ``jobgate`` with a sampler in its event loop: how late is a timer of 10 ms?

    python rate_lag.py FILE serve --config CONFIGURATION

Writes one line per sample to FILE, in milliseconds. A late timer is what every other connection of the
process waits for, too. uvloop's clock has steps of 1 ms, so this uses its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TextIO

import uvloop

EVERY_S = 0.01
_new_event_loop = uvloop.new_event_loop


def _sample(loop: asyncio.AbstractEventLoop, out: TextIO, due_at: float) -> None:
    now = time.monotonic()
    out.write(f"{(now - due_at) * 1e3:.3f}\n")
    loop.call_later(EVERY_S, _sample, loop, out, now + EVERY_S)


def main() -> None:
    """Put the sampler into the loop, then be ``jobgate`` with the rest of the arguments."""
    out = open(sys.argv.pop(1), "w", buffering=1)  # noqa: SIM115 (as long as the process)

    def sampled_loop() -> uvloop.Loop:
        loop = _new_event_loop()
        loop.call_soon(_sample, loop, out, time.monotonic())
        return loop

    uvloop.new_event_loop = sampled_loop
    from jobgate.__main__ import main as jobgate  # takes the function above when it is called

    jobgate()


if __name__ == "__main__":
    main()
