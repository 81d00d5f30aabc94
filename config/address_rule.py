"""Addresses and ranges of the node's ``deny_addresses`` and ``allow_addresses``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from .host import Address, HostError, address_text, host_text, parse_address, parse_port

# address[/prefix], brackets around IPv6 when a port follows.
_FORM = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)(?P<v6_prefix>/[^\]]*)?\]|(?P<bare6>[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)"
    r"(?P<bare6_prefix>/[^:]*)?|(?P<v4>[0-9.]+)(?P<v4_prefix>/[^:]*)?)(?P<port>:.*)?"
)
_HOW = 'write an address ("192.0.2.7", "::1"), a range ("10.0.0.0/8") or one port ("192.0.2.7:1234")'


@dataclass(frozen=True, slots=True)
class AddressRule:
    """An address or a range, on every port or on one."""

    network: IPv4Network | IPv6Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> AddressRule:
        """Read ``10.0.0.0/8``, ``192.0.2.7:1234``, ``[::1]:80`` or ``::1``.

        Raises:
            ValueError: Anything else; a range whose host bits are not zero.
        """
        match = _FORM.fullmatch(text.strip(" \t"))
        if match is None:
            raise ValueError(_HOW)
        parts = match.groupdict()
        try:
            address = parse_address(parts["v6"] or parts["bare6"] or parts["v4"])
            port = parse_port(parts["port"][1:].encode()) if parts["port"] else None
        except HostError as error:
            raise ValueError(f"{error}: {_HOW}") from None
        prefix = parts["v6_prefix"] or parts["bare6_prefix"] or parts["v4_prefix"]
        return cls(_network(address, prefix), port)

    @property
    def single(self) -> bool:
        """Whether this is one address and no range."""
        return self.network.prefixlen == self.network.max_prefixlen

    def contains(self, address: Address, port: int) -> bool:
        """Say whether the rule means this address on this port."""
        return (self.port is None or self.port == port) and address in self.network

    def __str__(self) -> str:
        base = self.network.network_address
        if self.single:
            return address_text(base) if self.port is None else f"{host_text(base)}:{self.port}"
        if self.port is None:
            return f"{address_text(base)}/{self.network.prefixlen}"
        text = f"{address_text(base)}/{self.network.prefixlen}"
        return f"{text if self.network.version == 4 else f'[{text}]'}:{self.port}"


def _network(address: Address, prefix: str | None) -> IPv4Network | IPv6Network:
    kind = IPv4Network if isinstance(address, IPv4Address) else IPv6Network
    length: int = address.max_prefixlen
    if prefix is not None:
        if not re.fullmatch(r"/(?:0|[1-9][0-9]{0,2})", prefix, re.ASCII) or int(prefix[1:]) > length:
            raise ValueError(f"a prefix length is a number from 0 to {length}")
        length = int(prefix[1:])
    network = kind((int(address), length), strict=False)
    if network.network_address != address:
        fix = f"{address_text(network.network_address)}/{length}"
        raise ValueError(f'the address has host bits beyond the prefix: write "{fix}"')
    return network
