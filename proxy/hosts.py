"""The text of ``/etc/hosts`` and ``/etc/resolv.conf``: what the gate takes from them, no more.

From ``resolv.conf`` only the name servers count: search lists and ``ndots`` would
turn an allowed name into another one. A line that cannot be read is skipped, as
the C library does; a name that is no DNS name in ASCII is skipped too.

Source: hosts(5), resolv.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from jobgate.config.endpoints import Endpoint
from jobgate.config.host import Address

DNS_PORT = 53

# resolv.conf(5): MAXNS.
MAX_NAMESERVERS = 3

LOCAL_NAMESERVER = Endpoint(IPv4Address("127.0.0.1"), DNS_PORT)


def parse_hosts(text: str) -> Mapping[str, tuple[Address, ...]]:
    """Return the addresses of each name (lower case, no final dot), in the order of the lines."""
    found: dict[str, list[Address]] = {}
    for first, *names in _fields(text):
        address = _address(first)
        if address is None or (isinstance(address, IPv6Address) and address.scope_id is not None):
            continue
        for name in names:
            addresses = found.setdefault(name.lower().removesuffix("."), [])
            if name.isascii() and address not in addresses:
                addresses.append(address)
    return {name: tuple(addresses) for name, addresses in found.items() if name and addresses}


def parse_nameservers(text: str) -> tuple[Endpoint, ...]:
    """Return the name servers of a ``resolv.conf``; the local host if it lists none.

    An address may have a zone (``fe80::1%eth0``): routers announce themselves so.
    """
    addresses = [_address(fields[1]) for fields in _fields(text) if fields[0] == "nameserver" and fields[1:]]
    servers = tuple(Endpoint(address, DNS_PORT) for address in addresses if address is not None)
    return servers[:MAX_NAMESERVERS] or (LOCAL_NAMESERVER,)


def _fields(text: str) -> Iterator[list[str]]:
    for line in text.split("\n"):
        fields = line.split("#", 1)[0].split(";", 1)[0].split()
        if fields:
            yield fields


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
