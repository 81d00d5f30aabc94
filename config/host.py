"""The one canonical form of a host, of an address, and of an authority.

Requests, allow lists, deny lists and configuration all come through here, so that
two spellings of one host are equal afterwards. A name and an address are different
types and never compare equal: no name rule can match an address. Nothing here
decodes, folds or repairs what a client sent: what is not plainly a host is an error.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias

#: Octets of a name, without the final dot (RFC 1035 §2.3.4).
MAX_NAME_BYTES = 253
#: A longer authority is refused unread: 254 for a name, 6 for ":65535", some slack.
MAX_AUTHORITY_BYTES = 300
#: Longest IPv6 text with an embedded dotted quad.
_MAX_IPV6_CHARS = 45

# RFC 1035 §2.3.1 and RFC 1123 §2.1, with "_" allowed anywhere (service names, CDN hosts).
_LABEL = rb"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rb"%s(?:\.%s)*\.?" % (_LABEL, _LABEL))
# RFC 6943 §3.1.1: what inet_aton would read as a number must never be taken for a name.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x.*")
_DOTTED_QUAD = re.compile(rb"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_IPV6 = re.compile(rb"[0-9A-Fa-f:.]{2,%d}" % _MAX_IPV6_CHARS)
_PORT = re.compile(rb"[1-9][0-9]{0,4}")

_IPV4_FORM = "an IPv4 address is written as four decimal numbers without leading zeros"
_IPV6_FORM = 'an IPv6 address is written in brackets without a zone, as in "[2001:db8::1]"'
_PORT_FORM = "a port is a decimal number from 1 to 65535 without leading zeros"


class Name(str):
    """A DNS name in canonical form: lower-case ASCII, no final dot."""

    __slots__ = ()


Address: TypeAlias = IPv4Address | IPv6Address
Host: TypeAlias = Name | Address


class HostError(ValueError):
    """Not a host or an authority; the message says what is wrong. Of a request it never quotes the input."""


class Authority(NamedTuple):
    """A canonical host and a port, ``1 <= port <= 65535``."""

    host: Host
    port: int

    def __str__(self) -> str:
        return f"{host_text(self.host)}:{self.port}"


def parse_host(raw: bytes) -> Host:
    """Read the host of a request, of any length, in linear time.

    Names are lower-cased and lose one final dot. Brackets belong around IPv6
    addresses and nowhere else; an address has exactly one accepted notation apart
    from the compression of IPv6.

    Raises:
        HostError: Anything else, non-ASCII and percent-encoded text included.

    Source: RFC 3986 §3.2.2 without IPvFuture, zone and percent-encoding; RFC 6943 §3.1.
    """
    if raw[:1] == b"[":
        return _parse_bracketed(raw)
    if len(raw) > MAX_NAME_BYTES + 1:
        raise HostError(f"a host name has at most {MAX_NAME_BYTES} octets, got {len(raw)}")
    if not _NAME.fullmatch(raw):
        raise HostError(_name_problem(raw))
    text = raw.decode("ascii").lower()
    name = text.removesuffix(".")
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        return _parse_dotted_quad(raw)
    if len(name) > MAX_NAME_BYTES:
        raise HostError(f"a host name has at most {MAX_NAME_BYTES} octets, got {len(name)}")
    return Name(name)


def parse_authority(raw: bytes, default_port: int | None) -> Authority:
    """Split ``host:port`` or ``[v6]:port`` into a canonical host and a port.

    Args:
        raw: ASCII, at most ``MAX_AUTHORITY_BYTES``.
        default_port: Port when it is absent or empty; ``None`` makes it mandatory (CONNECT).

    Raises:
        HostError: Malformed host; port missing, out of range or not in decimal.

    Source: RFC 9112 §3.2.3, RFC 9110 §4.2.1 (empty port), §9.3.6 (CONNECT has no default).
    """
    if len(raw) > MAX_AUTHORITY_BYTES:
        raise HostError(f"an authority has at most {MAX_AUTHORITY_BYTES} octets, got {len(raw)}")
    return _parse_authority(raw, default_port)


# Jobs talk to few hosts again and again. 4096 entries of at most 300 bytes stay below 3 MB.
@lru_cache(maxsize=4096)
def _parse_authority(raw: bytes, default_port: int | None) -> Authority:
    if raw[:1] == b"[":
        end = raw.find(b"]") + 1
        host, rest = raw[:end], raw[end:]
        if end == 0 or rest[:1] not in (b"", b":"):
            raise HostError(_IPV6_FORM)
        port = rest[1:]
    else:
        host, _, port = raw.partition(b":")
        if b"@" in raw:
            raise HostError("credentials do not belong into the host: leave out everything up to the @")
        if b":" in port and not host:
            raise HostError(_IPV6_FORM)
    if not port:
        if default_port is None:
            raise HostError('the port is missing, as in "example.com:443"')
        return Authority(parse_host(host), default_port)
    return Authority(parse_host(host), parse_port(port))


def parse_port(raw: bytes) -> int:
    """Read a decimal port from 1 to 65535 without sign, space or leading zero.

    Raises:
        HostError: Anything else.
    """
    # The pattern bounds the length before int() sees the text.
    if not _PORT.fullmatch(raw) or (port := int(raw)) > 65535:
        raise HostError(_PORT_FORM)
    return port


def parse_rule_host(text: str) -> Host:
    """Read a host that an operator wrote: as ``parse_host``, and kinder.

    Outer blanks are ignored, IPv6 needs no brackets, and a name may be
    international. ASCII labels skip IDNA, so that ``foo_bar`` and
    ``r3---sn-abc`` stay possible.

    Raises:
        HostError: Not a host, or a name that IDNA refuses.

    Source: UTS 46, non-transitional; RFC 5891 for the labels.
    """
    text = text.strip(" \t")
    if len(text) > MAX_AUTHORITY_BYTES:
        raise HostError(f"a host name has at most {MAX_NAME_BYTES} octets")
    if not text.isascii():
        host = parse_host(_to_ascii(text).encode("ascii"))
        if not isinstance(host, Name):
            raise HostError(f"an address is written in ASCII, as {host_text(host)}")
        return host
    if ":" in text and not text.startswith("["):
        text = f"[{text}]"
    return parse_host(text.encode("ascii"))


def parse_address(text: str) -> Address:
    """Read an address that an operator wrote, with or without brackets around IPv6.

    Raises:
        HostError: Not an address; a name is not looked up.
    """
    host = parse_rule_host(text)
    if isinstance(host, Name):
        raise HostError('expected an address, as in "192.0.2.7" or "2001:db8::1", not a name')
    return host


def host_text(host: Host) -> str:
    """Write a host as it stands in an authority, IPv6 in brackets."""
    if isinstance(host, IPv6Address):
        return f"[{address_text(host)}]"
    return str(host)


def address_text(address: Address) -> str:
    """Write an address without brackets, alike on every Python version.

    IPv6 is always hexadecimal; ``str()`` writes mapped addresses differently from
    Python 3.13 on.

    Source: RFC 5952 §4.
    """
    if isinstance(address, IPv4Address):
        return str(address)
    packed = address.packed
    groups = [f"{packed[i] << 8 | packed[i + 1]:x}" for i in range(0, 16, 2)]
    start, length = _longest_zero_run(groups)
    if length < 2:
        return ":".join(groups)
    return f"{':'.join(groups[:start])}::{':'.join(groups[start + length :])}"


def _longest_zero_run(groups: list[str]) -> tuple[int, int]:
    """Find the first longest run of zero groups, as (start, length)."""
    best = (0, 0)
    start = 0
    for index, group in enumerate(groups):
        if group != "0":
            start = index + 1
        elif index + 1 - start > best[1]:
            best = (start, index + 1 - start)
    return best


def _parse_bracketed(raw: bytes) -> IPv6Address:
    # The alphabet has no "%" (zone, RFC 6874) and no "v" (IPvFuture).
    if raw[-1:] != b"]" or not _IPV6.fullmatch(raw, 1, len(raw) - 1):
        raise HostError(_IPV6_FORM)
    try:
        return IPv6Address(raw[1:-1].decode("ascii"))
    except AddressValueError:
        raise HostError(_IPV6_FORM) from None


def _parse_dotted_quad(raw: bytes) -> IPv4Address:
    if not _DOTTED_QUAD.fullmatch(raw):
        raise HostError(_IPV4_FORM)
    try:
        return IPv4Address(raw.decode("ascii"))
    except AddressValueError:
        raise HostError(_IPV4_FORM) from None


def _name_problem(raw: bytes) -> str:
    """Say why a short text is not a name."""
    if not raw:
        return "the host is empty"
    if b"[" in raw or b"]" in raw or b":" in raw:
        return _IPV6_FORM
    if not raw.isascii():
        return "a host is ASCII: write an international name as its A-label (xn--...)"
    labels = raw.removesuffix(b".").split(b".")
    if b"" in labels:
        return "a host name has no empty label: two dots in a row, or one in front"
    if max(map(len, labels)) > 63:
        return "a label of a host name has at most 63 octets"
    if re.fullmatch(rb"[A-Za-z0-9_.-]+", raw):
        return "a label of a host name neither begins nor ends with a hyphen"
    return "a host name consists of letters, digits, hyphens, underscores and dots"


def _to_ascii(text: str) -> str:
    """Convert an international name to A-labels."""
    import idna  # 10 ms and 1 MB that a configuration in ASCII does not pay

    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        labels = mapped.split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except idna.IDNAError as error:
        raise HostError(f"IDNA refuses the name ({error}), its A-label (xn--...) may be listed") from None
