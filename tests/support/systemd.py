"""A systemd of a test's own, in namespaces of its own, without any service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from .docker_engine import ADMIN_PATH, ROOT

BOOT = ROOT / "tests" / "data" / "systemd" / "boot.sh"
SECONDS_TO_START = 30
SECONDS_TO_END = 10
SECONDS_FOR_A_COMMAND = 100
TOOLS = ("systemctl", "systemd-sysusers", "systemd-tmpfiles", "unshare", "nsenter", "pivot_root", "ip")
_HYBRID, _UNIFIED = Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")


class SystemdError(Exception):
    """It cannot run here."""


class Systemd:
    """A running one.

    Args:
        init: Its process.
        folder: Which it sees, too.
    """

    def __init__(self, init: int, folder: Path) -> None:
        self.folder = folder
        self._enter = ("nsenter", f"--target={init}", "--all", "--root", "--wd", "--")

    def command(self, *argv: str) -> list[str]:
        """The command line that runs a command as its root."""
        return [*self._enter, *argv]

    def call(self, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as its root."""
        return subprocess.run(
            self.command(*argv),
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS_FOR_A_COMMAND,
            check=False,
        )

    def run(self, *argv: str, text: str = "") -> str:
        """The same, which must succeed; return what it printed."""
        done = self.call(*argv, text=text)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").strip()


@contextmanager
def systemd(folder: Path) -> Iterator[Systemd]:
    """Boot one, without any service; everything of it ends with the block.

    Args:
        folder: What it sees of this machine beside programs and a copy of all that is not mounted.

    Raises:
        SystemdError: A tool, a right or something of the kernel is missing.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool, path=ADMIN_PATH) is None]
    if missing or os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
        raise SystemdError(f"needs root, systemd and {', '.join(missing or TOOLS)}")
    seen = sorted({sys.prefix, sys.base_prefix, str(folder)})
    namespaces = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--kill-child=SIGKILL"]
    with TemporaryDirectory(prefix="jobgate-systemd-") as root:
        boot = [str(BOOT), root, *seen]
        process = subprocess.Popen(
            ["unshare", *namespaces, *boot],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": ADMIN_PATH},
        )
        try:
            yield _running(process, folder)
        finally:
            process.kill()
            process.communicate()
            _remove_cgroups()


def _running(process: subprocess.Popen[str], folder: Path) -> Systemd:
    """Wait until it answers."""
    deadline = time.monotonic() + SECONDS_TO_START
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and time.monotonic() < deadline:
        found = children.read_text().split()
        if found:
            made = Systemd(int(found[0]), folder)
            if made.call("systemctl", "is-system-running").stdout == "running\n":
                return made
    process.kill()
    raise SystemdError(process.communicate()[1][-500:] or "it did not start in time")


def _remove_cgroups() -> None:
    """Remove the control groups that it has left below our own, as soon as its processes have ended."""
    root = _HYBRID if _HYBRID.exists() else _UNIFIED
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    folder = root / own.removeprefix("0::/")
    left = [folder / name for name in ("init.scope", "system.slice")]
    deadline = time.monotonic() + SECONDS_TO_END
    while any(path.exists() for path in left) and time.monotonic() < deadline:
        for path in left:
            for inner in sorted(path.rglob("*/"), reverse=True):
                with suppress(OSError):
                    inner.rmdir()
            with suppress(OSError):
                path.rmdir()
