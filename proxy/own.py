"""The gate's own endpoints, which are never a destination (edge)."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address

from jobgate.config.host import Address

from .addresses import embedded_ipv4


class OwnEndpoints:
    """Where this process accepts connections, in its own network namespace.

    An endpoint that is added twice is there until it is discarded twice.
    """

    def __init__(self) -> None:
        self._endpoints: Counter[tuple[Address, int]] = Counter()
        self._ports: set[int] = set()  # of all of them
        self._wildcard_ports: Counter[int] = Counter()

    def add(self, host: str, port: int) -> None:
        """Add an endpoint by its address, which may be unspecified."""
        address = ip_address(host)
        self._endpoints[address, port] += 1
        self._ports.add(port)
        if address.is_unspecified:
            self._wildcard_ports[port] += 1

    def discard(self, host: str, port: int) -> None:
        """Take back one ``add``."""
        address = ip_address(host)
        self._endpoints -= Counter([(address, port)])
        self._ports = {port for _, port in self._endpoints}
        if address.is_unspecified:
            self._wildcard_ports -= Counter([port])

    def places(self) -> list[tuple[str, int]]:
        """List what was added and not discarded, each as often as it was added."""
        return [(str(address), port) for address, port in self._endpoints.elements()]

    def among(self, addresses: Sequence[Address], port: int) -> Sequence[Address]:
        """Keep those by which a connection would end here."""
        if port not in self._ports:  # nearly always
            return ()
        return [address for address in addresses if self.leads_to(address, port)]

    def leads_to(self, address: Address, port: int) -> bool:
        """Say whether a connection would end here, by whatever form of the address."""
        if port not in self._ports:  # hashing an address is dear
            return False
        if (address, port) in self._endpoints:
            return True
        inner = embedded_ipv4(address)
        if inner is not None and self.leads_to(inner, port):
            return True
        return port in self._wildcard_ports and _is_local(address)


def _is_local(address: Address) -> bool:
    """Say whether an address is one of this network namespace's own: only those can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
