from __future__ import annotations

import os
import signal
import subprocess
import sys

from jobgate import __version__
from jobgate.gateway.spawn import reap, spawn


async def test_process_says_who_it_is_and_ends_with_its_link(tmp_path: object) -> None:
    process, link = spawn(["asyncio", f"{tmp_path}/log"])
    assert (await link.receive()).body == {"worker": __version__}
    assert os.getsid(process.pid) == process.pid  # Ctrl-C is not for it
    link.close()
    assert await reap(process) == 1


async def test_process_that_does_not_end_is_killed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])  # noqa: ASYNC220
    assert await reap(process) == -signal.SIGKILL
