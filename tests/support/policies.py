"""Policies and targets in one line."""

from __future__ import annotations

from dataclasses import replace

from jobgate.config.host import parse_authority
from jobgate.config.policy import JobPolicy, Mode, Network, NodePolicy, Policy
from jobgate.config.ports import Ports
from jobgate.config.readers import read_node_rules
from jobgate.config.rules import RuleSet
from jobgate.proxy.decision import Kind, Target


def policy(
    domains: str,
    *,
    deny: str = "",
    node_allow: str | None = None,
    node_deny: str = "",
    connect_ports: list[str | int] | None = None,
    http_ports: list[str | int] | None = None,
) -> Policy:
    """Make a policy of lists separated by spaces."""
    node = NodePolicy(
        allow=None if node_allow is None else read_node_rules(node_allow.split()),
        deny=RuleSet.parse(node_deny.split()),
        connect_ports=Ports.parse(connect_ports or [443]),
        http_ports=Ports.parse(http_ports or ["80", "1024-65535"]),
    )
    return Policy(JobPolicy(Network.HTTP, RuleSet.parse(domains.split()), RuleSet.parse(deny.split())), node)


def in_report_mode(enforced: Policy) -> Policy:
    """Make the same policy one that only reports."""
    return Policy(replace(enforced.job, mode=Mode.REPORT), replace(enforced.node, mode=Mode.REPORT))


def connect(authority: str) -> Target:
    return Target(Kind.CONNECT, *parse_authority(authority.encode(), None))


def http(authority: str) -> Target:
    return Target(Kind.HTTP, *parse_authority(authority.encode(), 80))
