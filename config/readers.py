"""Readers of single configuration values: from what TOML gives to what the settings hold.

Each takes any value and returns the parsed one or raises ``ValueError``; nothing is
coerced: ``"1"`` is no number, ``true`` no integer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .address_rule import AddressRule
from .endpoints import Endpoint, parse_listen, parse_server
from .host import Address, Name, parse_address, parse_rule_host
from .members import bounded, entries_of, kind_of, members_of, text_of
from .pattern import HostPattern, is_pattern, parse_pattern
from .policy import Mode, Network, Tls
from .ports import Ports
from .rates import parse_rate
from .rule import Rule, parse_rule, quoted
from .rules import RuleSet

MAX_LABEL_CHARS = 200
#: Long enough for any wait, short enough for any timer.
MAX_SECONDS = 31_536_000.0

# RFC 9110 §5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_JOB_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOTE = re.compile(r"[\x20-\x7e]{0,200}")

#: Fields that the gate itself writes or that end at it (RFC 9110 §7.6.1).
_GATE_FIELDS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)


class Reader(NamedTuple):
    """Mark of a settings field: how its value in the file is read."""

    read: Callable[[object], object]


def integer(low: int, high: int) -> Callable[[object], int]:
    """Make a reader of whole numbers from ``low`` to ``high``."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected a whole number, got {kind_of(value)}")
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low} to {high}, got {bounded(value)}")
        return value

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    """Make a reader of numbers from ``low`` to ``high``."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected a number, got {kind_of(value)}")
        # NaN fails both comparisons.
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, got {bounded(value)}")
        return float(value)

    return read


def read_bool(value: object) -> bool:
    """Read ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {kind_of(value)}")
    return value


def read_seconds(value: object) -> float:
    """Read a time limit: seconds, above zero and finite."""
    limit = number(0.0, MAX_SECONDS)(value)
    if limit == 0:
        raise ValueError("a time limit is above 0 seconds")
    return limit


def read_rate(value: object) -> float:
    """Read a rate: bytes/s, ``math.inf`` for unlimited."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a rate, got {kind_of(value)}")
    return parse_rate(value)


def read_network(value: object) -> Network:
    """Read the name of a network."""
    try:
        return Network(text_of(value))
    except ValueError:
        raise ValueError(f"expected one of: {', '.join(Network)}") from None


def read_tls(value: object) -> Tls:
    """Read what a job's tunnels may carry."""
    try:
        return Tls(text_of(value))
    except ValueError:
        raise ValueError(f"expected one of: {', '.join(Tls)}") from None


def read_mode(value: object) -> Mode:
    """Read what becomes of requests that the lists refuse."""
    try:
        return Mode(text_of(value))
    except ValueError:
        raise ValueError(f"expected one of: {', '.join(Mode)}") from None


def read_networks(value: object) -> tuple[Network, ...]:
    """Read a list of networks."""
    return members_of(value, read_network)


def read_rules(value: object) -> RuleSet:
    """Read a list of domains."""

    def read(entry: object) -> Rule:
        return parse_rule(text_of(entry))

    return RuleSet(members_of(value, read))


def read_node_rules(value: object) -> RuleSet:
    """Read a list of domains that may have patterns, too: the node's allow list alone."""

    def read(entry: object) -> Rule | HostPattern:
        text = text_of(entry)
        return parse_pattern(text) if is_pattern(text) else parse_rule(text)

    entries = members_of(value, read)
    return RuleSet(
        (entry for entry in entries if isinstance(entry, Rule)),
        (entry for entry in entries if isinstance(entry, HostPattern)),
    )


def read_ports(value: object) -> Ports:
    """Read a list of ports and ranges."""

    def read(entry: object) -> Ports:
        if isinstance(entry, bool) or not isinstance(entry, str | int):
            raise ValueError(f"expected a port or a range, got {kind_of(entry)}")
        return Ports.parse([entry])

    ports = Ports()
    for entry in members_of(value, read):
        ports |= entry
    return ports


def read_addresses(value: object) -> tuple[AddressRule, ...]:
    """Read a list of addresses, ranges and single ports of them."""

    def read(entry: object) -> AddressRule:
        return AddressRule.parse(text_of(entry))

    return members_of(value, read)


def read_no_proxy(value: object) -> tuple[str, ...]:
    """Read the hosts that a job's clients reach without the proxy: no wildcard, no port, no comma."""

    def read(entry: object) -> str:
        text = text_of(entry)
        kind = AddressRule if "/" in text else None
        rule = kind.parse(text) if kind else parse_rule(text)
        if rule.port is not None:
            raise ValueError("a port has no meaning in no_proxy: leave it out")
        return str(rule)

    return members_of(value, read)


def read_servers(value: object) -> tuple[Endpoint, ...]:
    """Read a list of name servers; the port is 53 where nothing is said."""

    def read(entry: object) -> Endpoint:
        return parse_server(text_of(entry), 53)

    return members_of(value, read)


def read_hosts(value: object) -> Mapping[Name, tuple[Address, ...]]:
    """Read a table of names and their addresses."""
    hosts: dict[Name, tuple[Address, ...]] = {}

    def read(key: str, entry: object) -> None:
        name = parse_rule_host(key)
        if not isinstance(name, Name):
            raise ValueError("expected a name, not an address")
        if name in hosts:
            raise ValueError(f"{quoted(name)} is there already, spelled another way")
        hosts[name] = members_of(entry, _read_address)
        if not hosts[name]:
            raise ValueError("a name needs at least one address")

    entries_of(value, read)
    return MappingProxyType(hosts)


def read_environment(value: object) -> Mapping[str, str]:
    """Read a table of environment variables."""
    variables: dict[str, str] = {}

    def read(key: str, entry: object) -> None:
        if not _ENV_NAME.fullmatch(key):
            raise ValueError("a variable's name has letters, digits and underscores, no digit in front")
        text = text_of(entry)
        if "\0" in text:
            raise ValueError("a variable's value has no NUL")
        variables[key] = text

    entries_of(value, read)
    return MappingProxyType(variables)


def read_labels(value: object) -> Mapping[str, str]:
    """Read a table of labels: texts by name, which tools write to terminals as they are."""
    labels: dict[str, str] = {}

    def read(key: str, entry: object) -> None:
        text = text_of(entry)
        if not key or any(len(part) > MAX_LABEL_CHARS or not part.isprintable() for part in (key, text)):
            raise ValueError(
                f"a label has at most {MAX_LABEL_CHARS} printable characters, its name at least one"
            )
        labels[key] = text

    entries_of(value, read)
    return MappingProxyType(labels)


def read_job_id(value: object) -> str:
    """Read the name of a job."""
    text = text_of(value)
    if not _JOB_ID.fullmatch(text):
        raise ValueError("a job's id has 1 to 128 letters, digits, dots, underscores and hyphens")
    return text


def read_listen(value: object) -> str:
    """Read where a job's listener is bound, in canonical text; ``""`` for nowhere."""
    text = text_of(value)
    return str(parse_listen(text)) if text else ""


def read_via(value: object) -> str:
    """Read the pseudonym in Via, or ``""`` for none."""
    text = text_of(value)
    if text and not _TOKEN.fullmatch(text):
        raise ValueError('expected one word (RFC 9110 token), as in "jobgate", or "" for no Via')
    return text


def read_note(value: object) -> str:
    """Read a sentence that is added to refusals."""
    text = text_of(value)
    if not _NOTE.fullmatch(text):
        raise ValueError("expected one line of at most 200 printable ASCII characters")
    return text


def read_job_header(value: object) -> str:
    """Read the name of the field that carries the job's id, or ``""`` for none."""
    text = text_of(value)
    if text and not _TOKEN.fullmatch(text):
        raise ValueError('expected the name of a field, as in "X-Job-ID"')
    if text.lower() in _GATE_FIELDS:
        raise ValueError(f"{text} is written or removed by the gate itself: take another field")
    return text


def read_path(value: object) -> str:
    """Read the path of a file; ``"-"`` is standard output."""
    text = text_of(value)
    if not text or "\0" in text:
        raise ValueError('expected the path of a file, or "-" for standard output')
    return text


def _read_address(value: object) -> Address:
    return parse_address(text_of(value))
