"""Network namespaces for tests, which end with the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))),
    reason="needs root and the tools of network namespaces",
)


class Namespace:
    """A network namespace that a process holds open.

    Attributes:
        pid: Of that process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def path(self) -> str:
        """Where it is found."""
        return f"/proc/{self.pid}/ns/net"

    def command(self, *argv: str) -> list[str]:
        """The command line that runs a command inside."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(self, *argv: str) -> str:
        """Run a command inside and return what it printed."""
        done = subprocess.run(self.command(*argv), check=True, capture_output=True, text=True, timeout=30)
        return done.stdout


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace with a loopback interface that is up."""
    holder = subprocess.Popen(
        ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"ready\n"
            yield Namespace(holder.pid)
        finally:
            holder.kill()


def connect(first: Namespace, first_address: str, second: Namespace, second_address: str, name: str) -> None:
    """Put a cable between two namespaces; addresses are ``192.0.2.1/24``, the interfaces have the name."""
    first.run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", str(second.pid))
    for end, address in ((first, first_address), (second, second_address)):
        end.run("ip", "address", "add", address, "dev", name, "nodad")
        end.run("ip", "link", "set", name, "up")
