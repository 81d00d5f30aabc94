from __future__ import annotations

import os
import signal
import subprocess
import sys

from jobgate import __version__
from jobgate.gateway.spawn import _PROGRAM, reap, spawn


async def test_process_says_who_it_is_and_ends_with_its_link(tmp_path: object) -> None:
    process, link = spawn(["asyncio", f"{tmp_path}/log"])
    assert (await link.receive()).body == {"worker": __version__}
    assert os.getsid(process.pid) == process.pid  # Ctrl-C is not for it
    link.close()
    assert await reap(process) == 1


async def test_process_that_does_not_end_is_killed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])  # noqa: ASYNC220
    assert await reap(process) == -signal.SIGKILL


def test_process_leaves_what_it_has_loaded_out_of_collections_and_loads_no_service() -> None:
    """Each look at everything holds all requests up; a registry, a store and take-overs are not for it."""
    program = _PROGRAM.format(path=sys.path).replace(
        "main(*sys.argv[1:])", "print(gc.isenabled(), gc.get_freeze_count() > 1000, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    is_enabled, is_frozen, *modules = done.stdout.split()
    assert (is_enabled, is_frozen) == ("True", "True")
    assert not {f"jobgate.gateway.{name}" for name in ("service", "registry", "store", "upgrade")} & {
        *modules
    }
