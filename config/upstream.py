"""The node's own way out: an upstream proxy, and what is reached without it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .address_rule import AddressRule
from .host import Address, Host, HostError, Name, host_text, parse_authority
from .rules import NO_RULES, RuleSet

_URL = re.compile(r"http://(?:(?P<userinfo>[^/?#]*)@)?(?P<authority>[^/?#@]+)/?", re.ASCII)
# RFC 7617 §2: neither part has control characters.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_HOW = 'write "http://proxy.example:3128" or "http://user:password@proxy.example:3128"'


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """An HTTP proxy that takes CONNECT.

    Attributes:
        authorization: Value of ``Proxy-Authorization``; empty: none is asked for. Never shown.
    """

    host: Host
    port: int
    authorization: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, text: str) -> UpstreamProxy:
        """Read the URL of a proxy; user and password may be percent-encoded (RFC 3986 §3.2.1).

        Raises:
            ValueError: Anything else. The message quotes nothing of the text.
        """
        match = _URL.fullmatch(text)
        if match is None:
            raise ValueError(f"not the URL of a proxy: {_HOW}")
        try:
            host, port = parse_authority(match["authority"].encode("ascii", "replace"), None)
        except HostError as error:
            raise ValueError(f"{error}: {_HOW}") from None
        return cls(host, port, _basic(match["userinfo"] or ""))

    def __str__(self) -> str:
        return f"http://{host_text(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class DirectHosts:
    """What is reached without the upstream proxy.

    Attributes:
        rules: Names, and names with all below them; no ports.
        networks: Addresses and ranges.
    """

    rules: RuleSet = NO_RULES
    networks: tuple[AddressRule, ...] = ()

    def __contains__(self, host: Host) -> bool:
        """Say whether a name, or an address that it was resolved to, is reached directly."""
        if isinstance(host, Name):
            return self.rules.match_any_port(host) is not None
        return self._holds(host)

    def _holds(self, address: Address) -> bool:
        return any(address in rule.network for rule in self.networks)


def _basic(userinfo: str) -> bytes:
    """Write credentials as RFC 7617 §2 has them; empty for none."""
    if not userinfo:
        return b""
    from base64 import b64encode  # for files with credentials only
    from urllib.parse import unquote_to_bytes

    user, _, password = userinfo.partition(":")
    parts = unquote_to_bytes(user), unquote_to_bytes(password)
    if b":" in parts[0] or any(_CONTROL.search(part) for part in parts):
        raise ValueError("a user name has no colon, and neither it nor a password control characters")
    return b"Basic " + b64encode(b":".join(parts))


#: Everything goes through the upstream proxy.
DIRECT_NOTHING = DirectHosts()
