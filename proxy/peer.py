"""The other end of a client connection, as the kernel knows it. Pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import NamedTuple, TypeAlias

from jobgate.config.host import Address

#: What one client has of IPv6: it may take any address of its link's network (RFC 4291 §2.5.4).
_IPV6_LINK_BITS = 64

#: What connections are counted by: an address, the network of a link, or the user behind a unix socket.
Origin: TypeAlias = Address | IPv6Network | int | None


class Peer(NamedTuple):
    """Where a connection comes from.

    Attributes:
        text: For the log: ``192.0.2.7:49152``, ``[2001:db8::1]:49152``, ``unix``.
        uid: Of the process at the other end of a unix socket; ``None``: another kind of socket.
    """

    text: str
    uid: int | None = None

    @property
    def source(self) -> Address | None:
        """The address; IPv4 in an IPv6 socket is IPv4. ``None``: a unix socket."""
        return _address(self.text.rpartition(":")[0]) if self.uid is None else None

    @property
    def origin(self) -> Origin:
        """Whom this connection is counted with."""
        source = self.source
        if isinstance(source, IPv6Address):
            return IPv6Network((int(source), _IPV6_LINK_BITS), strict=False)
        return self.uid if source is None else source


# Whoever comes once comes again, and is asked for three times by then: to parse an address is half of what
# it costs to know a job by its token.
@lru_cache(maxsize=1024)
def _address(host: str) -> Address:
    address = ip_address(host.strip("[]").partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
