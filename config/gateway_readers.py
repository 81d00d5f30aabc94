"""Readers of the values that only a gateway of many jobs has: ``[listen]``, ``[state]``, ``[upstream]``."""

from __future__ import annotations

import re

from .address_rule import AddressRule
from .endpoints import Endpoint, UnixPath, parse_listen
from .members import members_of, text_of
from .rule import Rule, parse_rule
from .rules import RuleSet
from .upstream import DirectHosts, UpstreamProxy

_MODE = re.compile(r"0?[0-7]{3}")
_OTHERS = 0o007


def read_control(value: object) -> Endpoint | UnixPath | None:
    """Read where the control API answers; ``""`` is nowhere, a path is a unix socket."""
    text = text_of(value)
    return read_optional_listen(f"unix:{text}" if text.startswith("/") else text)


def read_optional_listen(value: object) -> Endpoint | UnixPath | None:
    """Read where something listens; ``""`` is nowhere."""
    text = text_of(value)
    return parse_listen(text) if text else None


def read_listens(value: object) -> tuple[Endpoint | UnixPath, ...]:
    """Read a list of addresses and paths to listen on."""

    def read(entry: object) -> Endpoint | UnixPath:
        return parse_listen(text_of(entry))

    return members_of(value, read)


def read_socket_mode(value: object) -> int:
    """Read who may connect to a unix socket: octal digits, owner and group."""
    text = text_of(value)
    if not _MODE.fullmatch(text):
        raise ValueError('expected the mode of a file in octal digits, as in "0600" or "0660"')
    mode = int(text, 8)
    if mode & _OTHERS:
        raise ValueError(
            f'"{text}" lets everybody on the machine control every job: write "0600", or "0660" for a group'
        )
    return mode


def read_optional_path(value: object) -> str:
    """Read the path of a file; ``""`` is none."""
    text = text_of(value)
    if "\0" in text:
        raise ValueError("the path of a file has no NUL")
    return text


def read_upstream(value: object) -> UpstreamProxy | None:
    """Read the URL of the upstream proxy; ``""`` is none. No message shows any of it."""
    if not isinstance(value, str):
        raise ValueError("expected a text")
    return UpstreamProxy.parse(value) if value else None


def read_direct_hosts(value: object) -> DirectHosts:
    """Read what is reached without the upstream proxy: names, suffixes, addresses and ranges."""
    rules: list[Rule] = []
    networks: list[AddressRule] = []

    def read(entry: object) -> None:
        text = text_of(entry)
        if "/" in text:
            network = AddressRule.parse(text)
            port = network.port
            networks.append(network)
        else:
            rule = parse_rule(text)
            port = rule.port
            if isinstance(rule.host, str):
                rules.append(rule)
            else:
                networks.append(AddressRule.parse(text))
        if port is not None:
            raise ValueError("a port has no meaning in no_proxy: leave it out")

    members_of(value, read)
    return DirectHosts(RuleSet(rules), tuple(networks))
