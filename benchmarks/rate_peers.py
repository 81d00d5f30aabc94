"""What shapes: the gate, Squid behind ``tc tbf``, Squid with ``delay_pools``; each with the same policy.

Every one may reach the names of the origin on its two ports and nothing else, and logs each
request. ``rate.py --show`` prints the configurations.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import namespaces
import processes
from peer_configurations import SQUID_COMMON
from peers import find, give_to_proxy_user
from rate_network import ADDRESSES, SHAPER, Network
from rate_streams import ORIGIN_PORT

ROOT = Path(__file__).resolve().parent.parent
TLS_PORT = 8443
FIRST_PORT = 20_000
MBIT = 125_000.0
TEN_MBIT = 10 * MBIT
#: As Bacalhau's gateway has it on every interface of its container.
TBF = ("tbf", "rate", "10mbit", "burst", "32kbit", "latency", "10sec")

NODE = """\
[node]
allow_addresses = [{addresses}]
[listen]
control = ""
[log]
path = "{folder}/decisions.log"
[dns]
hosts = {{ {hosts} }}
[limits]
requests_per_s_per_job = 0
[timeouts]
drain_s = 0
"""
JOB = """\
[[job]]
id = "{id}"
listen = "{address}:{port}"
network = "http"
domains = [{domains}]
rate_up = {rate:.0f}
rate_down = {rate:.0f}
tls = "any"                          # the streams are bytes without meaning
"""

SQUID = (
    """\
http_port {address}:{port}
hosts_file {folder}/hosts
acl origin_ports port {origin} {tls}
acl origin_names dstdomain {names}
"""
    + SQUID_COMMON
)
#: One bucket for the whole job: class 1. Downloads; ``client_delay_pools`` is what Squid has besides.
DELAY_POOLS = """\
delay_pools 1
delay_class 1 1
delay_parameters 1 1250000/1250000
delay_access 1 allow all
client_delay_pools 1
client_delay_parameters 1 1250000 1250000
client_delay_access 1 allow all
"""


class PeerError(Exception):
    """A shaper did not start; the text says which."""


@dataclass(frozen=True, slots=True)
class GateJob:
    """A job of the gate; ``rate`` in bytes/s both ways."""

    id: str
    port: int
    rate: float = TEN_MBIT


@dataclass(frozen=True, slots=True)
class Peer:
    """One shaper.

    Attributes:
        name: For the tables.
        programs: What must be installed.
        discipline: For ``tc``; none: the proxy shapes by itself.
        configuration: Of Squid; ``""``: this is the gate.
    """

    name: str
    programs: tuple[str, ...] = ()
    discipline: tuple[str, ...] = ()
    configuration: str = ""

    @property
    def missing(self) -> list[str]:
        """Programs that are not installed."""
        return [program for program in self.programs if find(program) is None]


GATE = Peer("gate")
PEERS = [
    GATE,
    Peer("Squid + tc tbf", ("squid", "tc"), TBF, SQUID),
    Peer("Squid delay_pools", ("squid",), (), SQUID + DELAY_POOLS),
]


def gate_configuration(
    folder: Path, jobs: Sequence[GateJob], *, address: str, hosts: Mapping[str, str], ports: Sequence[int]
) -> str:
    """Write what ``jobgate serve`` reads.

    Args:
        folder: For the log.
        jobs: All alike but for their rates.
        address: Where they listen.
        hosts: The names that they may reach, and where those are.
        ports: The ports that they may reach.
    """
    names = ", ".join(f'"{name}" = ["{where}"]' for name, where in hosts.items())
    addresses = ", ".join(f'"{where}"' for where in hosts.values())
    domains = ", ".join(f'"{name}:{port}"' for name in hosts for port in ports)
    blocks = [JOB.format(id=j.id, address=address, port=j.port, rate=j.rate, domains=domains) for j in jobs]
    return NODE.format(folder=folder, hosts=names, addresses=addresses) + "".join(blocks)


def gate_command(file: Path, *wrapper: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves a configuration, and its environment.

    Args:
        file: The configuration.
        wrapper: Runs ``jobgate`` instead of ``-m jobgate``.
    """
    start = wrapper or ("-m", "jobgate")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return [sys.executable, *start, "serve", "--config", str(file)], environment


def squid_configuration(peer: Peer, folder: Path, address: str) -> str:
    """Write what Squid reads."""
    return peer.configuration.format(
        folder=folder,
        address=address,
        port=FIRST_PORT,
        origin=ORIGIN_PORT,
        tls=TLS_PORT,
        names=" ".join(ADDRESSES),
    )


@contextlib.contextmanager
def shaping(
    peer: Peer, network: Network, folder: Path, core: int, jobs: Sequence[GateJob] = ()
) -> Iterator[None]:
    """Run a shaper while the context is entered.

    Args:
        peer: Which one.
        network: Where.
        folder: For its files; made.
        core: For the proxy alone.
        jobs: Of the gate; the others have one, at ``FIRST_PORT``.

    Raises:
        PeerError: It did not start.
    """
    folder.mkdir(parents=True)
    file = folder / "configuration"
    if peer is GATE:
        ports = (ORIGIN_PORT, TLS_PORT)
        file.write_text(gate_configuration(folder, jobs, address=SHAPER, hosts=ADDRESSES, ports=ports))
        command, environment = gate_command(file)
    else:
        file.write_text(squid_configuration(peer, folder, SHAPER))
        (folder / "hosts").write_text("".join(f"{where} {name}\n" for name, where in ADDRESSES.items()))
        give_to_proxy_user(folder)
        command = [find("squid") or "squid", "-N", "-f", str(file)]
        environment = dict(os.environ)
    shaped = network.shaped(peer.discipline) if peer.discipline else contextlib.nullcontext()
    with (
        shaped,
        processes.running(namespaces.inside(network.shaper, command), core, environment=environment),
    ):
        _until_accepting(network, max((job.port for job in jobs), default=FIRST_PORT), peer.name)
        yield


def _until_accepting(network: Network, port: int, name: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with network.inside(network.client), socket.socket() as sock:
            if sock.connect_ex((SHAPER, port)) == 0:
                return
        time.sleep(0.05)
    raise PeerError(f"{name} does not listen on port {port}")
