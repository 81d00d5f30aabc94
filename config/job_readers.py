"""Readers of the values that only a ``[[job]]`` has: who it is, how long and how much."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import IPv6Network

from .address_rule import AddressRule
from .host import address_text
from .members import kind_of, members_of, text_of
from .networks import Network
from .policy import Mode
from .readers import integer, read_mode

#: More than any generator of tokens makes; what a client sends is bounded by its head.
MAX_TOKEN_CHARS = 256
#: uid_t is 32 bits wide and its last value means "unchanged" (chown(2)).
MAX_UID = 2**32 - 2

_TOKEN = re.compile(rf"[!-~]{{1,{MAX_TOKEN_CHARS}}}")
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"
    r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EXPIRES_FORM = 'expected a time with its offset (RFC 3339), as in "2026-11-20T13:25:07Z"'
_YEAR_10000 = 253_402_300_800
# A name as "ip netns add" takes it: one component of a path.
_NETNS = re.compile(r"[A-Za-z0-9._-]{1,255}|/[ -~]{1,4095}")


def read_job_mode(value: object) -> Mode | None:
    """Read the mode of a job; ``""`` is the node's."""
    return None if value == "" else read_mode(value)


def read_token(value: object) -> str:
    """Read a job's token; ``""`` is none. No message shows any of it."""
    if not isinstance(value, str):
        raise ValueError("expected a text")
    if value and not _TOKEN.fullmatch(value):
        raise ValueError(f"a token has 1 to {MAX_TOKEN_CHARS} visible ASCII characters and no space")
    return value


def read_clients(value: object) -> tuple[Network, ...]:
    """Read the networks that a job's connections come from."""

    def read(entry: object) -> Network:
        rule = AddressRule.parse(text_of(entry))
        if rule.port is not None:
            raise ValueError("a client's port has no meaning: leave it out")
        if isinstance(rule.network, IPv6Network) and rule.network.network_address.ipv4_mapped is not None:
            raise ValueError("a connection over IPv4 is known by its IPv4 address: write that network")
        return rule.network

    return tuple(dict.fromkeys(members_of(value, read)))


def network_text(network: Network) -> str:
    """Write a network as ``read_clients`` reads it."""
    return f"{address_text(network.network_address)}/{network.prefixlen}"


def read_expires(value: object) -> float | None:
    """Read when a job ends, as seconds since the epoch; ``""`` is never. TOML's own times are fine."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        if not value:
            return None
        moment = _moment(value)
    else:
        raise ValueError(f"{_EXPIRES_FORM}, got {kind_of(value)}")
    if moment.tzinfo is None:
        raise ValueError(f"{_EXPIRES_FORM}: this one has no offset")
    expires_at = moment.timestamp()
    if not 0 <= expires_at < _YEAR_10000:
        raise ValueError(f"{_EXPIRES_FORM}, of the years 1970 to 9999")
    return expires_at


def expires_text(expires_at: float) -> str:
    """Write a time as ``read_expires`` reads it."""
    return datetime.fromtimestamp(expires_at, UTC).isoformat().replace("+00:00", "Z")


def read_netns(value: object) -> str:
    """Read a network namespace, a path or a name of ``ip netns``; ``""`` is the gateway's own."""
    text = text_of(value)
    if text and (not _NETNS.fullmatch(text) or text in (".", "..")):
        raise ValueError('expected a path ("/proc/4242/ns/net") or a name of "ip netns", as in "job-42"')
    return text


def read_peer_uids(value: object) -> frozenset[int]:
    """Read the users whose processes may connect; empty: whoever can open the socket."""
    return frozenset(members_of(value, integer(0, MAX_UID)))


def _moment(text: str) -> datetime:
    if not _RFC_3339.fullmatch(text):
        raise ValueError(_EXPIRES_FORM)
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise ValueError(f"{_EXPIRES_FORM}: {error}") from None
