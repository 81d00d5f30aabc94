"""Whether a provider accepts what a requestor asks for: Golem's rules, within the node's policy. Pure.

Three kinds of rules: everyone, audited payload (the manifest's signature), partner (the
requestor's certificate). As in Golem, one that accepts is enough; unlike there, the node's
networks, allow list and deny list bound all of them, and every refusal names the hosts.

Source: yagna, agent/provider/src/rules/outbound.rs, whose words the reasons begin with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from jobgate.config.policy import Network, NodePolicy
from jobgate.config.rule import quoted
from jobgate.config.rules import RuleSet

from ..asking import Ask, node_problems
from ..documents import DocumentError
from .certificate import CertificateError, verify_descriptor
from .manifest import Demand, Outbound
from .provider import Mode, Provider
from .signature import SignatureError, verify

_REJECTED = "Outbound rejected because: "


def problems_of(demand: Demand, provider: Provider, node: NodePolicy, now: datetime) -> list[str]:
    """List why the demand is refused; empty: it is accepted."""
    outbound = demand.outbound
    if outbound.network is Network.NONE:  # outbound is not asked for
        return node_problems(Ask("", outbound.policy), node)
    if not provider.rules.enabled:
        return ["outbound is disabled"]
    bounds = node_problems(Ask("", outbound.policy), node)
    reasons = [
        _everyone(outbound, provider, node),
        _audited_payload(demand, provider, node, now),
        _partner(demand, provider, node, now),
    ]
    if None in reasons:
        return bounds
    return [*bounds, *(f"{_REJECTED}{reason}" for reason in reasons)]


def _everyone(outbound: Outbound, provider: Provider, node: NodePolicy) -> str | None:
    return _by_mode(provider.rules.everyone, "Everyone", outbound, provider, node)


def _audited_payload(demand: Demand, provider: Provider, node: NodePolicy, now: datetime) -> str | None:
    kind = "Audited-Payload"
    if demand.signed is None:
        return f"{kind} rule requires manifest signature"
    try:
        chain = verify(demand.signed, provider.anchors, now)
    except (SignatureError, DocumentError) as error:
        return f"{kind} rule: {error}"
    mode = _nearest(chain, provider.rules.audited_payload)
    if mode is None:
        return _untrusted(kind, chain)
    return _by_mode(mode, kind, demand.outbound, provider, node)


def _partner(demand: Demand, provider: Provider, node: NodePolicy, now: datetime) -> str | None:
    kind = "Partner"
    if demand.descriptor is None:
        return f"{kind} rule requires node descriptor"
    try:
        descriptor = verify_descriptor(demand.descriptor, now)
    except CertificateError as error:
        return f"{kind} rule: {error}"
    if not demand.requestor or demand.requestor != descriptor.node_id:
        sender = quoted(demand.requestor) if demand.requestor else "an unknown node"
        return f"{kind} rule nodes mismatch: the demand is of {sender}"
    problem = descriptor.permissions.problem(demand.outbound)
    if problem is not None:
        return f"{kind} {problem}"
    mode = _nearest(descriptor.fingerprints, provider.rules.partner)
    if mode is None:
        return _untrusted(kind, descriptor.fingerprints)
    return _by_mode(mode, kind, demand.outbound, provider, node)


def _nearest(chain: Iterable[str], rules: Mapping[str, Mode]) -> Mode | None:
    """The rule of the certificate that is nearest to whoever signed."""
    return next((rules[identity] for identity in chain if identity in rules), None)


def _untrusted(kind: str, chain: Iterable[str]) -> str:
    ids = ", ".join(identity[:16] for identity in chain)
    return f"{kind} rule whole chain of cert_ids is not trusted: {ids}"


def _by_mode(mode: Mode, kind: str, outbound: Outbound, provider: Provider, node: NodePolicy) -> str | None:
    """Say why a rule refuses; ``None`` if it accepts."""
    if mode is Mode.ALL:
        return None
    if mode is Mode.NONE:
        return f"{kind} rule is disabled"
    if outbound.network is Network.FULL:
        return f"{kind} rule didn't match whitelist: unrestricted"
    whitelist = provider.whitelist if provider.whitelist is not None else node.allow
    opened = node.connect_ports | node.http_ports
    outside = (whitelist or RuleSet()).uncovered(outbound.policy.domains, opened)
    return f"{kind} rule didn't match whitelist: {', '.join(map(str, outside))}" if outside else None
