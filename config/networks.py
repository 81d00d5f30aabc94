"""Values by the network that an address is in: longest prefix first."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeAlias, TypeVar

from .host import Address

Network: TypeAlias = IPv4Network | IPv6Network

_T = TypeVar("_T")


class NetworkMap(Generic[_T]):
    """A changing map from networks to values; a network may have several.

    A look-up costs one dictionary access for each length of prefix in use, however
    many networks there are.
    """

    def __init__(self) -> None:
        # By IP version: length of prefix, longest first -> leading bits -> values.
        self._tables: dict[int, dict[int, dict[int, list[_T]]]] = {4: {}, 6: {}}

    def add(self, network: Network, value: _T) -> None:
        """Put a value at a network."""
        tables = self._tables[network.version]
        length = network.prefixlen
        if length not in tables:
            tables = {**tables, length: {}}
            self._tables[network.version] = dict(sorted(tables.items(), reverse=True))
            tables = self._tables[network.version]
        tables[length].setdefault(_leading_bits(network.network_address, length), []).append(value)

    def remove(self, network: Network, value: _T) -> None:
        """Take one occurrence of a value away.

        Raises:
            KeyError: It is not there.
        """
        tables = self._tables[network.version]
        length = network.prefixlen
        bits = _leading_bits(network.network_address, length)
        values = tables.get(length, {}).get(bits, [])
        if value not in values:
            raise KeyError(network)
        values.remove(value)
        if not values:
            del tables[length][bits]
        if not tables[length]:
            del tables[length]

    def find(self, address: Address) -> Iterator[_T]:
        """Give the values of all networks that hold an address, the longest prefix first."""
        return self._covering(address, address.max_prefixlen)

    def covering(self, network: Network) -> Iterator[_T]:
        """Give the values of a network and of all around it, the longest prefix first."""
        return self._covering(network.network_address, network.prefixlen)

    def _covering(self, address: Address, longest: int) -> Iterator[_T]:
        for length, table in self._tables[address.version].items():
            if length <= longest:
                yield from table.get(_leading_bits(address, length), ())


def _leading_bits(address: Address, length: int) -> int:
    return int(address) >> (address.max_prefixlen - length)
