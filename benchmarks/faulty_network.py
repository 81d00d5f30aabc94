"""Three network namespaces in a row, with bad links between them: client, gate, origin.

The links are those of ``tests/support/tun.py``, also on kernels that have netem: so a
soak is the same everywhere. The namespaces have no way to the host or to each other
but these links; they are removed when the context is left, whatever happened inside.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import namespaces
from namespaces import NetworkError

from support.tun import Faults

#: Addresses of RFC 5737, so that nothing could be reached by mistake.
CLIENT, GATE_INSIDE = "192.0.2.1", "192.0.2.2"
GATE_OUTSIDE, ORIGIN = "198.51.100.1", "198.51.100.2"

#: A job's container beside its gate, on a bad day.
INSIDE = Faults(
    delay_s=0.002,
    jitter_s=0.001,
    loss=0.005,
    late=0.002,
    late_s=0.003,
    rate_bytes_per_s=5e6,
    queue_packets=300,
)
#: The way to an origin: 80 ms there and back, a loss in a hundred, some packets overtaken.
OUTSIDE = Faults(
    delay_s=0.04, jitter_s=0.008, loss=0.01, late=0.01, late_s=0.01, rate_bytes_per_s=4e6, queue_packets=400
)

#: The one that every kernel lets a namespace choose; those that ignore loss would fill the links.
_CONGESTION_CONTROL = "reno"
_TABLE = "soak"


@dataclass(frozen=True, slots=True)
class Network:
    """The namespaces' names."""

    client: str
    gate: str
    origin: str

    def start_resets(self, port: int) -> None:
        """Answer every packet to this port of the origin with a reset, open connections included."""
        rule = f"add rule inet {_TABLE} in tcp dport {port} reject with tcp reset"
        namespaces.run(*namespaces.inside(self.origin, ["nft", rule]))

    def stop_resets(self) -> None:
        """Let packets to the origin through again."""
        namespaces.run(*namespaces.inside(self.origin, ["nft", f"flush chain inet {_TABLE} in"]))


@contextlib.contextmanager
def faulty_network() -> Iterator[Network]:
    """Make the namespaces and the links.

    Raises:
        NetworkError: This is not root, a program or ``/dev/net/tun`` is missing.
    """
    _check()
    prefix = f"jobgate-soak-{os.getpid()}"
    network = Network(f"{prefix}-client", f"{prefix}-gate", f"{prefix}-origin")
    with contextlib.ExitStack() as stack:
        for name in (network.client, network.gate, network.origin):
            stack.enter_context(namespaces.made(name))
            setting = f"net.ipv4.tcp_congestion_control={_CONGESTION_CONTROL}"
            namespaces.run(*namespaces.inside(name, ["sysctl", "-qw", setting]))
        stack.enter_context(_links(network))
        chain = "{ type filter hook input priority filter; }"
        rules = f"add table inet {_TABLE}; add chain inet {_TABLE} in {chain}"
        namespaces.run(*namespaces.inside(network.origin, ["nft", rules]))
        yield network


def _check() -> None:
    namespaces.check_rights()
    for program in ("ip", "nft", "sysctl"):
        if shutil.which(program) is None:
            raise NetworkError(f"needs {program}: on Debian, apt install iproute2 nftables procps")


@contextlib.contextmanager
def _links(network: Network) -> Iterator[None]:
    """Start the process between the devices, and put each device where it belongs."""
    inside = json.dumps({"ends": ["inside0", "client0"], **_described(INSIDE)})
    outside = json.dumps({"ends": ["outside0", "origin0"], **_described(OUTSIDE)})
    with namespaces.links(network.gate, [inside, outside]):
        namespaces.run("ip", "-n", network.gate, "link", "set", "client0", "netns", network.client)
        namespaces.run("ip", "-n", network.gate, "link", "set", "origin0", "netns", network.origin)
        for namespace, device, address in (
            (network.client, "client0", CLIENT),
            (network.gate, "inside0", GATE_INSIDE),
            (network.gate, "outside0", GATE_OUTSIDE),
            (network.origin, "origin0", ORIGIN),
        ):
            namespaces.raise_device(namespace, device, address)
        yield


def _described(faults: Faults) -> dict[str, float]:
    described: dict[str, float] = asdict(faults)
    return described
