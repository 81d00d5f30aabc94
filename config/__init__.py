"""What is allowed: hosts, rules, policies, settings.

Pure values and their parsers; nothing here opens a file or a socket except
``jobgate.config.load``, which is imported by its own name and only by those who have
a file.
"""

from __future__ import annotations

from .endpoints import Endpoint, UnixPath, parse_listen
from .gateway import ListenSettings, StateSettings, UpstreamSettings
from .host import Address, Authority, Host, HostError, Name, host_text, parse_authority, parse_host
from .policy import AddressRule, JobPolicy, Mode, Network, NodePolicy, Policy, PolicyError, Ports, Tls, narrow
from .rates import DEFAULT_RATE, format_rate, parse_rate
from .rules import Rule, RuleError, RuleErrors, RuleSet, parse_rule
from .settings import (
    DnsSettings,
    JobSettings,
    LimitSettings,
    LogSettings,
    NodeSettings,
    Settings,
    TimeoutSettings,
)
from .upstream import UpstreamProxy

__all__ = [
    "DEFAULT_RATE",
    "Address",
    "AddressRule",
    "Authority",
    "DnsSettings",
    "Endpoint",
    "Host",
    "HostError",
    "JobPolicy",
    "JobSettings",
    "LimitSettings",
    "ListenSettings",
    "LogSettings",
    "Mode",
    "Name",
    "Network",
    "NodePolicy",
    "NodeSettings",
    "Policy",
    "PolicyError",
    "Ports",
    "Rule",
    "RuleError",
    "RuleErrors",
    "RuleSet",
    "Settings",
    "StateSettings",
    "TimeoutSettings",
    "Tls",
    "UnixPath",
    "UpstreamProxy",
    "UpstreamSettings",
    "format_rate",
    "host_text",
    "narrow",
    "parse_authority",
    "parse_host",
    "parse_listen",
    "parse_rate",
    "parse_rule",
]
