"""One rule of an allow or deny list, and how an operator writes it.

A rule is a name (``example.com``), a suffix (``.example.com``: the name and all
below it) or an address, each with or without a port. What is not a rule is refused
with the way to write it: a list that silently means something else is worse than none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .host import Host, HostError, Name, address_text, host_text, parse_port, parse_rule_host


class RuleError(ValueError):
    """Not a rule; the message says how to write it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of a list, in canonical form.

    Attributes:
        host: The name or the address.
        suffix: Also covers every name below ``host``; never true for an address.
        port: The only port meant, or ``None`` for an entry without one.
    """

    host: Host
    suffix: bool = False
    port: int | None = None

    def __str__(self) -> str:
        if self.port is None:
            if isinstance(self.host, Name):
                return f".{self.host}" if self.suffix else str(self.host)
            return address_text(self.host)
        return f"{'.' if self.suffix else ''}{host_text(self.host)}:{self.port}"


def parse_rule(text: str) -> Rule:
    """Read one entry of a list.

    Raises:
        RuleError: Not a rule; wildcards, URLs, paths and address ranges are told
            how a rule is written instead.
    """
    entry = text.strip(" \t")
    try:
        return _parse(entry)
    except HostError as error:
        raise RuleError(f"{_problem(entry, str(error))}{_suggestion(entry)}") from None


def quoted(text: str) -> str:
    """Quote what an operator wrote, on one line, safe for a terminal and of bounded length."""
    shown = text if len(text) <= 100 else f"{text[:100]}..."
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def _parse(entry: str) -> Rule:
    """Read a stripped entry.

    Raises:
        HostError: Not a rule.
    """
    if " " in entry or "\t" in entry:
        raise HostError("spaces inside")
    host_part, port = _split_port(entry)
    suffix = host_part.startswith(".")
    host = parse_rule_host(host_part[1:] if suffix else host_part)
    if suffix and not isinstance(host, Name):
        raise HostError("an address takes no leading dot")
    if suffix and isinstance(host, Name) and "." not in host:
        raise HostError("a suffix has at least two labels")
    return Rule(host, suffix, port)


def _split_port(entry: str) -> tuple[str, int | None]:
    """Split off ``:port``; several colons without brackets are an IPv6 address."""
    if entry.startswith("["):
        host, bracket, rest = entry.partition("]")
        host += bracket
        if rest and not rest.startswith(":"):
            raise HostError("only a port may follow the closing bracket")
        colon, port = rest[:1], rest[1:]
    elif entry.count(":") > 1:
        return entry, None
    else:
        host, colon, port = entry.partition(":")
    return host, parse_port(port.encode("utf-8", "replace")) if colon else None


_WILDCARD = re.compile(r"\*\.[^*]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOW = 'write a name ("example.com"), a suffix (".example.com") or an address, and ":port" if need be'


def _problem(entry: str, problem: str) -> str:
    """Name the usual mistakes; ``problem`` is what the grammar says of the others."""
    if not entry:
        return "empty: "
    if any(ord(char) < 0x20 or char in "\x7f\x85\u2028\u2029" for char in entry):
        return "line break or control character inside: "
    if _WILDCARD.fullmatch(entry):
        return ""
    if entry.startswith("regex:"):
        return "a regular expression, which only the node's own allow list may have: "
    if _SCHEME.match(entry):
        return "a URL, not a domain: "
    if "/" in entry:
        is_range = re.fullmatch(r"[0-9A-Fa-f:.\[\]]+/[0-9.]+", entry)
        return "an address range, only single addresses can be listed: " if is_range else "a path inside: "
    if "*" in entry:
        return "a wildcard inside: "
    if any(char.isspace() for char in entry):
        return "spaces inside: "
    return f"{problem}: "


def _suggestion(entry: str) -> str:
    """Say how to write what was probably meant."""
    candidate = _SCHEME.sub("", entry, count=1)
    if not re.search(r"/[0-9.]+$", candidate):  # the first address of a range was not meant
        candidate = re.split(r"[/?#]", candidate, maxsplit=1)[0]
    candidate = candidate.rpartition("@")[2]
    candidate = re.sub(r"^[*.]*\.", ".", candidate)
    candidate = re.sub(r":0*([1-9][0-9]*)?$", r":\1", candidate).removesuffix(":")
    if candidate == entry or any(char.isspace() for char in candidate):
        return _HOW
    try:
        return f"write {quoted(str(_parse(candidate)))}"
    except HostError:
        return _HOW
