"""What a job may do, within what its node allows.

The node bounds every job: its deny lists beat all, its allow list and its networks
are the most a job can ask for, its rates are the most a job can get. ``narrow``
checks a job against the node once, when it is loaded or admitted; each request is
judged again by both lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from .address_rule import AddressRule
from .host import Address, Host, Name
from .ports import DEFAULT_CONNECT_PORTS, DEFAULT_HTTP_PORTS, Ports
from .rates import DEFAULT_RATE
from .rules import NO_RULES, RuleSet, quoted

__all__ = [
    "AddressRule",
    "JobPolicy",
    "Mode",
    "Network",
    "NodePolicy",
    "Policy",
    "PolicyError",
    "PolicyProblem",
    "Ports",
    "Tls",
    "bound",
    "job_problems",
    "narrow",
]


class Network(StrEnum):
    """The network a job gets."""

    NONE = "none"
    HTTP = "http"
    FULL = "full"


class Tls(StrEnum):
    """What a job's tunnels may carry."""

    REQUIRE = "require"  #: TLS to a server name that the job may reach
    ANY = "any"  #: any bytes


class Mode(StrEnum):
    """What becomes of a request that the lists refuse."""

    ENFORCE = "enforce"  #: it is refused
    REPORT = "report"  #: it goes on, and the log says what would have been


#: Refusals by list or by protocol, which report mode turns into lines of the log. What guards
#: addresses, credentials and budgets is enforced in every mode.
_REPORTED = frozenset(("not-listed", "port", "sni", "not-tls"))


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """What the node allows any job.

    Attributes:
        networks: Networks that jobs may ask for.
        allow: Domains that jobs may ask for; ``None``: the jobs' own lists decide.
        deny: Domains that no job reaches.
        connect_ports: Opened for CONNECT by a rule without a port.
        http_ports: Opened for plain HTTP by a rule without a port.
        max_rate_up: Bytes/s; ``math.inf``: no bound.
        max_rate_down: Bytes/s; ``math.inf``: no bound.
        deny_addresses: Never dialled, whatever name led there.
        allow_addresses: Exceptions to the guard against special-purpose addresses.
        mode: Of the node's own lists, and of jobs that say nothing.
    """

    networks: tuple[Network, ...] = (Network.NONE, Network.HTTP)
    allow: RuleSet | None = None
    deny: RuleSet = NO_RULES
    connect_ports: Ports = DEFAULT_CONNECT_PORTS
    http_ports: Ports = DEFAULT_HTTP_PORTS
    max_rate_up: float = math.inf
    max_rate_down: float = math.inf
    deny_addresses: tuple[AddressRule, ...] = ()
    allow_addresses: tuple[AddressRule, ...] = ()
    mode: Mode = Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """What one job asks for.

    Attributes:
        network: Nothing said means no network.
        domains: What it may reach; needed for ``http`` and for nothing else.
        deny: What it may not reach, of these.
        rate_up: Bytes/s; ``math.inf``: unlimited.
        rate_down: Bytes/s; ``math.inf``: unlimited.
        tls: Whether the first bytes of a tunnel are looked at.
        mode: Of the job's lists; ``None``: as the node.
        pinned: Private addresses that one name each may lead to. No table of a job says this: whoever
            serves the job does, and sees to it that no name server is asked for these names.
    """

    network: Network = Network.NONE
    domains: RuleSet = NO_RULES
    deny: RuleSet = NO_RULES
    rate_up: float = DEFAULT_RATE
    rate_down: float = DEFAULT_RATE
    tls: Tls = Tls.REQUIRE
    mode: Mode | None = None
    pinned: frozenset[tuple[Name, Address]] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """A job within its node: what a decision is made with."""

    job: JobPolicy
    node: NodePolicy

    def pins(self, host: Host, address: Address) -> bool:
        """Say whether the host may lead to the address although that is private."""
        pinned = self.job.pinned
        return bool(pinned) and (host, address) in pinned  # hashing an address is dear

    def reports(self, reason: str, *, by_node: bool = False) -> bool:
        """Say whether a refusal is only logged.

        Args:
            reason: Why it would be refused.
            by_node: The node's own policy refuses. It bounds every job: a job's mode can
                tighten that, never lift it.
        """
        if reason not in _REPORTED:
            return False
        mode = self.job.mode or self.node.mode
        return mode is Mode.REPORT and not (by_node and self.node.mode is Mode.ENFORCE)


class PolicyProblem(NamedTuple):
    """Why a job is not accepted.

    Attributes:
        keys: The keys of the job that the problem depends on; it shows at the first.
        message: What is wrong and what to do.
    """

    keys: tuple[str, ...]
    message: str


class PolicyError(ValueError):
    """A job that contradicts itself or asks for more than its node allows."""

    def __init__(self, problems: Iterable[PolicyProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{problem.keys[0]}: {problem.message}" for problem in self.problems))


def narrow(job: JobPolicy, node: NodePolicy) -> JobPolicy:
    """Accept a job on a node, with its rates bounded by the node's.

    Raises:
        PolicyError: All the reasons why not; each domain outside the node's list is named.
    """
    problems = job_problems(job, node)
    if problems:
        raise PolicyError(problems)
    return bound(job, node)


def bound(job: JobPolicy, node: NodePolicy) -> JobPolicy:
    """Bound the rates of a job that runs already; its lists are judged together with the node's anyway."""
    return replace(
        job,
        rate_up=min(job.rate_up, node.max_rate_up),
        rate_down=min(job.rate_down, node.max_rate_down),
    )


def job_problems(job: JobPolicy, node: NodePolicy) -> list[PolicyProblem]:
    """List all reasons why the node does not accept the job."""
    problems: list[PolicyProblem] = []
    if job.network not in node.networks:
        accepted = ", ".join(node.networks) or "nothing"
        problems.append(
            PolicyProblem(("network",), f'the node does not accept "{job.network}", only: {accepted}')
        )
    if job.network is not Network.HTTP:
        problems += [
            PolicyProblem((key, "network"), f'only for network "http", not for "{job.network}": leave it out')
            for key, rules in (("domains", job.domains), ("deny", job.deny))
            if rules
        ]
    elif not job.domains and job.mode is not Mode.REPORT:  # who learns what a job needs has no list yet
        problems.append(PolicyProblem(("domains", "network"), 'network "http" needs at least one domain'))
    elif node.allow is not None:
        opened = node.connect_ports | node.http_ports
        problems += [
            PolicyProblem(
                ("domains", "network"), f"{quoted(str(rule))} is not covered by the node's allow list"
            )
            for rule in node.allow.uncovered(job.domains, opened)
        ]
    return problems
