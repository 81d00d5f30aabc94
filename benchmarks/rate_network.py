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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import namespaces
from namespaces import NetworkError

#: Addresses of RFC 5737, so that nothing could be reached by mistake.
CLIENT, SHAPER = "192.0.2.1", "192.0.2.2"
_OUTSIDE = "198.51.100."
#: Names of the origin, by the round-trip time of the way to it in milliseconds.
ORIGINS = {0: "near.test", 20: "rtt20.test", 80: "rtt80.test", 200: "rtt200.test"}
ADDRESSES = {name: f"{_OUTSIDE}{4 * number + 2}" for number, name in enumerate(ORIGINS.values())}
INTERFACES = ("inside", "outside")
_QUEUE_PACKETS = 20_000
_NEW_NETWORK = 0x40000000  # linux/sched.h, CLONE_NEWNET


@dataclass(frozen=True, slots=True)
class Network:
    """The namespaces' names."""

    client: str
    shaper: str
    origin: str

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
            namespaces.run("tc", "-n", self.shaper, "qdisc", "add", "dev", device, "root", *discipline)
        try:
            yield
        finally:
            for device in INTERFACES:
                namespaces.run("tc", "-n", self.shaper, "qdisc", "del", "dev", device, "root")


@contextlib.contextmanager
def rate_network() -> Iterator[Network]:
    """Make the namespaces and the links.

    Raises:
        NetworkError: This is not root, or a program or ``/dev/net/tun`` is missing.
    """
    namespaces.check_rights()
    if shutil.which("ip") is None:
        raise NetworkError("needs ip: on Debian, apt install iproute2")
    prefix = f"jobgate-rate-{os.getpid()}"
    network = Network(f"{prefix}-client", f"{prefix}-shaper", f"{prefix}-origin")
    with contextlib.ExitStack() as stack:
        for name in (network.client, network.shaper, network.origin):
            stack.enter_context(namespaces.made(name))
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


def _veth(network: Network, device: str, address: str, peer: str, peer_address: str) -> None:
    pair = ("link", "add", device, "type", "veth", "peer", "eth0", "netns", peer)
    namespaces.run("ip", "-n", network.shaper, *pair)
    namespaces.raise_device(network.shaper, device, address)
    namespaces.raise_device(peer, "eth0", peer_address)


@contextlib.contextmanager
def _longer_ways(network: Network) -> Iterator[None]:
    """Start the process between the TUN devices, and put each device where it belongs."""
    ways = [(rtt_ms, name) for rtt_ms, name in ORIGINS.items() if rtt_ms]
    described = [
        json.dumps({"ends": [f"near{ms}", f"far{ms}"], "delay_s": ms / 2000, "queue_packets": _QUEUE_PACKETS})
        for ms, _ in ways
    ]
    with namespaces.links(network.shaper, described):
        for number, (rtt_ms, name) in enumerate(ways, 1):
            namespaces.run("ip", "-n", network.shaper, "link", "set", f"far{rtt_ms}", "netns", network.origin)
            namespaces.raise_device(network.shaper, f"near{rtt_ms}", f"{_OUTSIDE}{4 * number + 1}")
            namespaces.raise_device(network.origin, f"far{rtt_ms}", ADDRESSES[name])
        yield
