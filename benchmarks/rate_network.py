"""Three network namespaces in a row: clients, shaper, origin.

They are joined by veth: the shaper's namespace has two interfaces, as the container of a gateway has,
``inside`` to the clients and ``outside`` to the origin. Longer ways to the origin, for their
round-trip times, are links of ``tests/support/tun.py``. Nothing leads out of the namespaces; they are
removed when the context is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_TUN = _ROOT / "tests" / "support" / "tun.py"

#: Addresses of RFC 5737, so that nothing could be reached by mistake.
CLIENT, SHAPER = "192.0.2.1", "192.0.2.2"
_OUTSIDE = "198.51.100."
#: Names of the origin, by the round-trip time of the way to it in milliseconds.
ORIGINS = {0: "near.test", 20: "rtt20.test", 80: "rtt80.test", 200: "rtt200.test"}
ADDRESSES = {name: f"{_OUTSIDE}{4 * number + 2}" for number, name in enumerate(ORIGINS.values())}
INTERFACES = ("inside", "outside")
_QUEUE_PACKETS = 20_000
_NEW_NETWORK = 0x40000000  # linux/sched.h, CLONE_NEWNET


class NetworkError(Exception):
    """The namespaces cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """The namespaces' names."""

    client: str
    shaper: str
    origin: str

    def command(self, namespace: str, command: Sequence[str]) -> list[str]:
        """Return what runs a command in a namespace; the process keeps its id."""
        return ["ip", "netns", "exec", namespace, *command]

    @contextlib.contextmanager
    def inside(self, namespace: str) -> Iterator[None]:
        """Let sockets that this thread makes be the namespace's; they stay so for good."""
        with open("/proc/thread-self/ns/net") as before:
            _enter(Path("/run/netns") / namespace)
            try:
                yield
            finally:
                _enter(Path(f"/proc/self/fd/{before.fileno()}"))

    @contextlib.contextmanager
    def shaped(self, discipline: Sequence[str]) -> Iterator[None]:
        """Put a queueing discipline (``tc``) on both interfaces of the shaper."""
        for device in INTERFACES:
            _run("tc", "-n", self.shaper, "qdisc", "add", "dev", device, "root", *discipline)
        try:
            yield
        finally:
            for device in INTERFACES:
                _run("tc", "-n", self.shaper, "qdisc", "del", "dev", device, "root")


@contextlib.contextmanager
def rate_network() -> Iterator[Network]:
    """Make the namespaces and the links.

    Raises:
        NetworkError: This is not root, or a program or ``/dev/net/tun`` is missing.
    """
    if os.geteuid() != 0:
        raise NetworkError("needs root, for network namespaces")
    if shutil.which("ip") is None or not Path("/dev/net/tun").exists():
        raise NetworkError("needs ip (Debian: apt install iproute2) and /dev/net/tun")
    prefix = f"jobgate-rate-{os.getpid()}"
    network = Network(f"{prefix}-client", f"{prefix}-shaper", f"{prefix}-origin")
    with contextlib.ExitStack() as stack:
        for namespace in (network.client, network.shaper, network.origin):
            stack.enter_context(_namespace(namespace))
        _veth(network, "inside", SHAPER, network.client, CLIENT)
        _veth(network, "outside", f"{_OUTSIDE}1", network.origin, ADDRESSES[ORIGINS[0]])
        stack.enter_context(_longer_ways(network))
        yield network


def _enter(path: Path) -> None:
    """Move this thread to a namespace (``os.setns`` exists since Python 3.12)."""
    with path.open() as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")


@contextlib.contextmanager
def _namespace(name: str) -> Iterator[None]:
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _run("ip", "netns", "del", name)


def _veth(network: Network, device: str, address: str, peer: str, peer_address: str) -> None:
    _run("ip", "-n", network.shaper, "link", "add", device, "type", "veth", "peer", "eth0", "netns", peer)
    _raise(network.shaper, device, address)
    _raise(peer, "eth0", peer_address)


def _raise(namespace: str, device: str, address: str) -> None:
    _run("ip", "-n", namespace, "address", "add", f"{address}/30", "dev", device)
    _run("ip", "-n", namespace, "link", "set", device, "up")


@contextlib.contextmanager
def _longer_ways(network: Network) -> Iterator[None]:
    """Start the process between the TUN devices, and put each device where it belongs."""
    ways = [(rtt_ms, name) for rtt_ms, name in ORIGINS.items() if rtt_ms]
    links = [
        json.dumps({"ends": [f"near{ms}", f"far{ms}"], "delay_s": ms / 2000, "queue_packets": _QUEUE_PACKETS})
        for ms, _ in ways
    ]
    command = network.command(network.shaper, [sys.executable, str(_TUN), *links])
    # The end of its input ends it, so that it does not outlive this process.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise NetworkError("the process of the longer ways did not start")
        for number, (rtt_ms, name) in enumerate(ways, 1):
            _run("ip", "-n", network.shaper, "link", "set", f"far{rtt_ms}", "netns", network.origin)
            _raise(network.shaper, f"near{rtt_ms}", f"{_OUTSIDE}{4 * number + 1}")
            _raise(network.origin, f"far{rtt_ms}", ADDRESSES[name])
        yield
    finally:
        process.communicate()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
