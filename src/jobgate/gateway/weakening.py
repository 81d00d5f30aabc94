"""What a new configuration lets through that the old one did not. Pure.

An operator who reads the log must see at a glance that a guard was lowered, whoever
lowered it. Rates, limits and quotas are no guard and are not listed here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

from jobgate.config.address_rule import AddressRule
from jobgate.config.policy import Mode, Network, NodePolicy, Tls
from jobgate.config.ports import Ports
from jobgate.config.rule import quoted
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, NodeSettings, Settings

#: A deny entry without a port denies every port.
EVERY_PORT = Ports(((1, 65535),))

_WIDTH = (Network.NONE, Network.HTTP, Network.FULL)


def weakenings(old: Settings, new: Settings) -> list[str]:
    """List what the new settings open, one sentence each; a job that is new opens nothing by itself."""
    found = list(_node(old.node, new.node))
    before = {job.id: job for job in old.jobs}
    for job in new.jobs:
        if job.id in before and job != before[job.id]:
            found += job_weakenings(before[job.id], job, new.node.policy)
    return found


def job_weakenings(old: JobSettings, new: JobSettings, node: NodePolicy) -> list[str]:
    """The same for one job, on a node that stays as it is."""
    was, now = old.policy, new.policy
    place = f"job {new.id}:"
    found = []
    if _WIDTH.index(now.network) > _WIDTH.index(was.network):
        found.append(f'{place} network: "{now.network}" instead of "{was.network}"')
    elif now.network is Network.HTTP:
        found += _opened(f"{place} domains", was.domains, now.domains, node.connect_ports | node.http_ports)
    found += _no_longer_denied(f"{place} deny", was.deny, now.deny)
    if now.tls is Tls.ANY and was.tls is Tls.REQUIRE:
        found.append(f'{place} tls: tunnels may carry anything ("any")')
    if (now.mode or node.mode) is Mode.REPORT and (was.mode or node.mode) is not Mode.REPORT:
        found.append(f'{place} mode: refusals by list are only logged ("report")')
    return found + list(_identity(place, old, new))


def _node(old: NodeSettings, new: NodeSettings) -> Iterator[str]:
    for network in new.networks:
        if network not in old.networks:
            yield f'node.networks: jobs may ask for "{network}"'
    if old.allow is not None and new.allow is None:
        yield "node.allow: the list is gone, the jobs' own lists decide"
    elif old.allow is not None and new.allow is not None:
        yield from _opened("node.allow", old.allow, new.allow, old.connect_ports | old.http_ports)
    yield from _no_longer_denied("node.deny", old.deny, new.deny)
    for rule in _outside(old.deny_addresses, new.deny_addresses):
        yield f"node.deny_addresses: {quoted(str(rule))} is no longer denied"
    for rule in _outside(new.allow_addresses, old.allow_addresses):
        yield f"node.allow_addresses: {quoted(str(rule))} is no longer guarded"
    for key, was, now in (
        ("connect_ports", old.connect_ports, new.connect_ports),
        ("http_ports", old.http_ports, new.http_ports),
    ):
        if was | now != was:
            yield f"node.{key}: {now} instead of {was}"
    if new.mode is Mode.REPORT and old.mode is not Mode.REPORT:
        yield 'node.mode: refusals by list are only logged ("report")'
    if old.close_revoked and not new.close_revoked:
        yield "node.close_revoked: tunnels that a new policy refuses go on"


def _identity(place: str, old: JobSettings, new: JobSettings) -> Iterator[str]:
    """What makes it easier to be taken for the job."""
    if new.max_members > old.max_members:
        yield f"{place} max_members: {new.max_members} instead of {old.max_members}"
    if old.token_hash is not None and new.token_hash is None:
        yield f"{place} token: none is asked for any more"
    if old.clients and not new.clients:
        yield f"{place} clients: any source network will do"
    elif old.clients:
        for network in new.clients:
            if not any(_within(network, other) for other in old.clients):
                yield f'{place} clients: "{network}" is taken for the job'
    if old.peer_uids and not new.peer_uids:
        yield f"{place} peer_uids: any user may connect"
    elif old.peer_uids and (added := new.peer_uids - old.peer_uids):
        yield f"{place} peer_uids: {', '.join(map(str, sorted(added)))} may connect"


def _opened(place: str, old: RuleSet, new: RuleSet, ports: Container[int]) -> Iterator[str]:
    for rule in old.uncovered(new, ports):
        yield f"{place}: {quoted(str(rule))} may be reached"


def _no_longer_denied(place: str, old: RuleSet, new: RuleSet) -> Iterator[str]:
    for rule in new.uncovered(old, EVERY_PORT):
        yield f"{place}: {quoted(str(rule))} is no longer denied"


def _outside(rules: Iterable[AddressRule], others: tuple[AddressRule, ...]) -> Iterator[AddressRule]:
    """The rules that none of the others contains."""
    for rule in rules:
        if not any(
            _within(rule.network, other.network) and other.port in (None, rule.port) for other in others
        ):
            yield rule


def _within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)
