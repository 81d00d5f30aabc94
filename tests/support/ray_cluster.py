"""A machine of its own for a Ray cluster: nothing but loopback, its own processes, gone at the end.

Ray listens on every address and stops whatever looks like Ray; here neither reaches anybody.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Of one command; a busy machine needs half a minute to start a worker.
COMMAND_S = 240.0
DEADLINE_S = 120.0
DASHBOARD = "http://127.0.0.1:8265"
PLUGINS = '[{"class": "jobgate.integrations.ray.plugin.EgressPlugin", "priority": 5}]'
#: Of a module with tests that use one.
MARKS = [
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0
        or not all(map(shutil.which, ("ip", "nsenter", "unshare")))
        or find_spec("ray") is None,
        reason="needs root, the tools of namespaces, and jobgate[ray]",
    ),
]
_PAUSE_S = 0.2
#: What an environment needs to run our own Python, and nothing that leads to the network.
_KEPT = ("PATH", "LANG", "HOME")


class Machine:
    """Namespaces for network and processes.

    Args:
        pid: Of the process that holds them.
        folder: For files.
    """

    def __init__(self, pid: int, folder: Path) -> None:
        self._enter = [
            "nsenter",
            f"--net=/proc/{pid}/ns/net",
            f"--mount=/proc/{pid}/ns/mnt",
            f"--pid=/proc/{pid}/ns/pid_for_children",
            "--",
        ]
        self.folder = folder
        self.environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.environ["PATH"] = f"{Path(sys.executable).parent}:{self.environ['PATH']}"
        self.environ |= {
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHONUNBUFFERED": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
        }

    def start(self, *argv: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a program that runs until the machine goes; its first line says that it is ready."""
        process = subprocess.Popen(
            [*self._enter, *argv],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**self.environ, **(environ or {})},
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    def run(
        self, *argv: str, environ: Mapping[str, str] | None = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program; its output and errors are one text.

        Args:
            argv: The command.
            environ: More variables.
            code: How it must end; ``None``: anyhow.
        """
        done = subprocess.run(
            [*self._enter, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env={**self.environ, **(environ or {})},
            timeout=COMMAND_S,
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout
        return done

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so.

        Raises:
            TimeoutError: It did not become so.
        """
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError
            subprocess.run(["sleep", str(_PAUSE_S)], check=True)


@contextmanager
def machine(folder: Path, *prepare: str) -> Iterator[Machine]:
    """Make a machine, and end all that runs on it.

    Args:
        folder: For files.
        prepare: Commands of a shell, before anything else runs on it.
    """
    holder = subprocess.Popen(
        [
            *("unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--"),
            *("sh", "-e", "-c", "\n".join(["ip link set lo up", *prepare, "echo ready", "exec cat"])),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"ready\n"
            yield Machine(holder.pid, folder)
        finally:
            holder.kill()


class Cluster:
    """A Ray cluster of one node, on a machine with a gateway.

    Attributes:
        environ: Of ``ray start``.
    """

    def __init__(self, machine: Machine, environ: Mapping[str, str]) -> None:
        self.machine = machine
        self.environ = environ

    def start(self) -> None:
        """Start the head."""
        self.machine.run(
            *("ray", "start", "--head", "--node-ip-address=127.0.0.1", "--port=6379"),
            *("--dashboard-host=127.0.0.1", "--num-cpus=4", "--object-store-memory=100000000"),
            f"--temp-dir={self.machine.folder}/ray",
            environ=self.environ,
        )

    def submit(
        self,
        runtime_env: Mapping[str, object],
        *argv: str,
        environ: Mapping[str, str] | None = None,
        code: int | None = 0,
    ) -> str:
        """Submit a job, wait for its end, and return what it and Ray printed."""
        text = json.dumps(runtime_env)
        command = ("ray", "job", "submit", "--address", DASHBOARD, "--runtime-env-json", text, "--", *argv)
        return self.machine.run(*command, environ=environ, code=code).stdout

    def submit_together(self, runtime_env: Mapping[str, object], commands: Sequence[Sequence[str]]) -> None:
        """Submit several jobs at once, and go on."""
        text = json.dumps(runtime_env)
        for argv in commands:
            self.machine.run(
                *("ray", "job", "submit", "--no-wait", "--address", DASHBOARD),
                *("--runtime-env-json", text, "--", *argv),
            )
