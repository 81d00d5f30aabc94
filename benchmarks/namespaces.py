"""Network namespaces of a benchmark: how they are made, joined and used."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_TUN = Path(__file__).resolve().parent.parent / "tests" / "support" / "tun.py"


class NetworkError(Exception):
    """The namespaces cannot be made here; the text says why."""


def check_rights() -> None:
    """Refuse to begin what cannot end.

    Raises:
        NetworkError: This is not root, or there is no ``/dev/net/tun``.
    """
    if os.geteuid() != 0:
        raise NetworkError("needs root, for network namespaces and TUN devices")
    if not Path("/dev/net/tun").exists():
        raise NetworkError("needs /dev/net/tun: modprobe tun")


def run(*command: str) -> None:
    """Run a command.

    Raises:
        NetworkError: It failed; what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """Return what runs a command in a namespace; the process keeps its id."""
    return ["ip", "netns", "exec", namespace, *command]


@contextlib.contextmanager
def made(name: str) -> Iterator[None]:
    """A namespace while the context is entered."""
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        run("ip", "netns", "del", name)


def raise_device(namespace: str, device: str, address: str) -> None:
    """Give a device its address, and let it work."""
    run("ip", "-n", namespace, "address", "add", f"{address}/30", "dev", device)
    run("ip", "-n", namespace, "link", "set", device, "up")


@contextlib.contextmanager
def links(namespace: str, descriptions: Sequence[str]) -> Iterator[None]:
    """Keep a process between pairs of TUN devices of a namespace; they may be put elsewhere then.

    Raises:
        NetworkError: It did not start.
    """
    command = inside(namespace, [sys.executable, str(_TUN), *descriptions])
    # The end of its input ends it, so that it does not outlive this process.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise NetworkError("the process of the links did not start")
        yield
    finally:
        process.communicate()
