"""Start a worker process, and see it off (edge)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Sequence

from .link import Link

#: For a process whose link has broken: the rest is a moment.
END_S = 2.0
_LOOK_S = 0.01
#: It looks for modules where this process does, and nowhere else; the collector leaves alone what was loaded,
#: as ``cli/loading.py`` has it for commands.
_PROGRAM = """\
import gc, sys
sys.path[:] = {path!r}
gc.disable()
from jobgate.without_tls import load_event_loop
load_event_loop()
from jobgate.gateway.worker import main
gc.freeze()
gc.enable()
main(*sys.argv[1:])
"""


def spawn(arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], Link]:
    """Start a process that serves jobs.

    Args:
        arguments: Of the worker's ``main``, behind the descriptor of its link.

    Raises:
        OSError: It cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        command = [
            sys.executable,
            "-P",
            "-c",
            _PROGRAM.format(path=sys.path),
            str(theirs.fileno()),
            *arguments,
        ]
        try:
            # A session of its own: Ctrl-C at a terminal is for the main process alone.
            process = subprocess.Popen(  # noqa: S603 (our own program)
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        except OSError:
            ours.close()
            raise
    return process, Link(ours)


async def reap(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process that is about to end, kill it if it does not; its return code."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await _ended(process)
    process.kill()
    await _ended(process)
    return int(process.returncode)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(_LOOK_S)
