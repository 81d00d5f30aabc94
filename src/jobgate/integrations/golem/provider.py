"""What a Golem provider has decided: ``rules.json``, its whitelist, the certificates it keeps.

Pure: texts in, values out. Defaults are Golem's own.

Source: yagna, agent/provider/src/rules/{outbound,store}.rs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from jobgate.config.rule import quoted
from jobgate.config.rules import RuleSet

from ..documents import DocumentError, read_json

if TYPE_CHECKING:
    from cryptography import x509


class Mode(StrEnum):
    """What a rule lets pass."""

    ALL = "all"  #: any URL
    WHITELIST = "whitelist"  #: URLs whose hosts are all in the whitelist
    NONE = "none"  #: nothing


@dataclass(frozen=True, slots=True)
class OutboundRules:
    """``outbound`` of ``rules.json``.

    Attributes:
        audited_payload: By the id of an X.509 certificate, for manifests signed below it.
        partner: By the fingerprint of a Golem certificate, for nodes described below it.
    """

    enabled: bool = True
    everyone: Mode = Mode.WHITELIST
    audited_payload: Mapping[str, Mode] = field(default_factory=dict)
    partner: Mapping[str, Mode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's decisions.

    Attributes:
        whitelist: ``None``: it has none of its own, and the node's allow list is taken.
        anchors: X.509 certificates that signatures are verified with.
    """

    rules: OutboundRules = field(default_factory=OutboundRules)
    whitelist: RuleSet | None = None
    anchors: tuple[x509.Certificate, ...] = ()


def read_rules(text: str, place: str) -> OutboundRules:
    """Read ``rules.json``; of its other parts nothing is used.

    Raises:
        DocumentError: It is not what Golem writes.
    """
    document = _table(read_json(text, place), place)
    outbound = _table(document.get("outbound", {}), f"{place}: outbound")
    unknown = set(outbound) - {"enabled", "everyone", "audited-payload", "partner"}
    if unknown:
        raise DocumentError(f"{place}: outbound: unknown key {quoted(min(unknown))}")
    enabled = outbound.get("enabled", True)
    if not isinstance(enabled, bool):
        raise DocumentError(f"{place}: outbound.enabled: expected true or false")
    return OutboundRules(
        enabled,
        _mode(outbound.get("everyone", Mode.WHITELIST.value), f"{place}: outbound.everyone"),
        _by_certificate(outbound, "audited-payload", place),
        _by_certificate(outbound, "partner", place),
    )


def _by_certificate(outbound: Mapping[str, object], key: str, place: str) -> Mapping[str, Mode]:
    where = f"{place}: outbound.{key}"
    rules = _table(outbound.get(key, {}), where).items()
    return {identity.lower(): _mode(_table(rule, where).get("mode"), where) for identity, rule in rules}


def _mode(value: object, place: str) -> Mode:
    if not isinstance(value, str) or value not in set(Mode):
        raise DocumentError(f"{place}: the mode is all, whitelist or none")
    return Mode(value)


def _table(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise DocumentError(f"{place}: expected an object")
    return value
