"""Whether a request may go where it wants to: by name and port alone, before any DNS query.

Node deny, job deny, job allow, ports, node allow: the first that says no decides. The
wire, ``check`` and ``admit`` all ask here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from jobgate.config.host import Authority, Host, Name
from jobgate.config.pattern import HostPattern
from jobgate.config.policy import JobPolicy, NodePolicy, Policy
from jobgate.config.ports import DEFAULT_CONNECT_PORTS, DEFAULT_HTTP_PORTS, Ports
from jobgate.config.rules import Rule

from .errors import Reason

_HTTP_PORT = 80
#: Below 1024 only these are a job's to open.
_WEB_PORTS = (80, 443)
_LAST_PRIVILEGED_PORT = 1023
#: Second-level labels under which registries of two letters register names ("co.uk", "com.au").
_REGISTRY_LABELS = frozenset(("ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"))


class Kind(StrEnum):
    """How a destination is asked for."""

    CONNECT = "connect"
    HTTP = "http"


class Target(NamedTuple):
    """Where a request wants to go, and how."""

    kind: Kind
    host: Host
    port: int


class Decision(NamedTuple):
    """What was decided.

    Attributes:
        reason: Why not; ``None`` if allowed.
        rule: Text of the entry that decided; ``None`` if no entry did.
        by_node: The node's policy decided, not the job's own lists.
        needs_port: Only an entry that names the port would open it.
    """

    allowed: bool
    reason: Reason | None
    rule: str | None
    by_node: bool = False
    needs_port: bool = False


def decide(policy: Policy, target: Target) -> Decision:
    """Decide about one request.

    An entry with a port opens it for both kinds. One without opens ``connect_ports``
    for CONNECT and ``http_ports`` for plain HTTP; CONNECT to 80 counts as plain HTTP.
    A listed host on a port that is not open is refused with ``port``. Where the node has
    an allow list, its entries without a port open both sets of ports. A port below
    1024 that is in neither set needs an entry of the node's own with that port. What the
    job's mode only reports is bounded by the node all the same.
    """
    node = policy.node
    host, port = target.host, target.port
    rule = node.deny.match(host, port)
    if rule is not None:
        return Decision(False, Reason.DENIED, str(rule), by_node=True)
    rule = policy.job.deny.match(host, port)
    if rule is not None:
        return Decision(False, Reason.DENIED, str(rule))
    decision = _decide_by_job(policy.job, target, _is_open(target, node.connect_ports, node.http_ports))
    if decision.reason is not None and not policy.reports(decision.reason):
        return decision
    return _decide_by_node(node, target) or decision


class Decider:
    """Decides, and knows the last answers: a job asks for few origins again and again."""

    __slots__ = ("_decisions", "_policy")

    #: More are forgotten together.
    MOST = 32

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._decisions: dict[Target, Decision] = {}

    def decide(self, policy: Policy, target: Target) -> Decision:
        """Decide about one request, as ``decide`` does; a change of policy is another object."""
        if policy is not self._policy:
            self._policy = policy
            self._decisions.clear()
        decision = self._decisions.get(target)
        if decision is None:
            if len(self._decisions) >= self.MOST:
                self._decisions.clear()
            decision = self._decisions[target] = decide(policy, target)
        return decision


def is_plain_connect(policy: Policy, target: Target) -> bool:
    """Say whether an allowed CONNECT is read as plain HTTP instead of relayed.

    That is port 80 unless the node lists it in ``connect_ports``: some clients send
    CONNECT for ``http://``, too.
    """
    return (
        target.port == _HTTP_PORT
        and target.kind is Kind.CONNECT
        and _HTTP_PORT not in policy.node.connect_ports
    )


def suggestion(target: Target, *, needs_port: bool | None = None) -> str:
    """Write the narrowest entry that would list a target.

    Args:
        needs_port: Whether the entry must name the port; ``None``: by the default ports.
    """
    if needs_port is None:
        needs_port = not _is_open(target, DEFAULT_CONNECT_PORTS, DEFAULT_HTTP_PORTS)
    return str(Rule(target.host, suffix=False, port=target.port if needs_port else None))


def suggestions(target: Target, *, needs_port: bool) -> list[str]:
    """Write the narrowest entry that would list a target, and the usual one for its whole site."""
    entries = [suggestion(target, needs_port=needs_port)]
    if isinstance(target.host, Name) and "." in target.host:
        rule = Rule(_site(target.host), suffix=True, port=target.port if needs_port else None)
        entries.append(str(rule))
    return entries


def explain(decision: Decision, target: Target) -> str:
    """Say why a target was refused and what would allow it, in one or two sentences.

    Names only what the client sent, in canonical form, and the job's own entries.
    """
    authority = str(Authority(target.host, target.port))
    if decision.reason is Reason.DENIED:
        if decision.by_node:
            return f"{authority} is in this node's deny list, which no job can lift."
        return f'{authority} is denied by this job\'s own entry "{decision.rule}".'
    if decision.by_node:
        hint = f": port {target.port} needs an entry of the node's own" if _needs_node(target.port) else ""
        return f"{authority} is outside this node's policy, which bounds every job{hint}."
    place = " to the job's and to the node's lists" if _needs_node(target.port) else ""
    if decision.reason is Reason.PORT:
        kind = "CONNECT" if target.kind is Kind.CONNECT else "plain HTTP"
        return (
            f'"{decision.rule}" is in this job\'s domains, but port {target.port} is not open for {kind}. '
            f'Add "{suggestion(target, needs_port=True)}"{place}.'
        )
    entries = " or ".join(f'"{entry}"' for entry in suggestions(target, needs_port=decision.needs_port))
    return f"{authority} is not in this job's domains. Add {entries}{place}."


def _is_open(target: Target, connect_ports: Ports, http_ports: Ports) -> bool:
    """Say whether an entry without a port opens the target's port."""
    if target.kind is Kind.HTTP:
        return target.port in http_ports
    return target.port in connect_ports or (target.port == _HTTP_PORT and _HTTP_PORT in http_ports)


def _decide_by_job(job: JobPolicy, target: Target, is_open: bool) -> Decision:
    """Ask the job's own list."""
    rule = job.domains.match(target.host, target.port)
    if rule is None:
        near = job.domains.match_any_port(target.host)
        return _miss(near, by_node=False, needs_port=not is_open)
    if rule.port is None and not is_open:
        return _miss(rule, by_node=False, needs_port=True)
    return Decision(True, None, str(rule))


def _decide_by_node(node: NodePolicy, target: Target) -> Decision | None:
    """Refuse what the job's list opens beyond the node's; ``None`` if nothing."""
    if node.allow is None and not _needs_node(target.port):
        return None
    host, port = target.host, target.port
    in_sets = port in node.connect_ports or port in node.http_ports
    if node.allow is None:
        return None if in_sets else Decision(False, Reason.PORT, None, by_node=True, needs_port=True)
    rule = node.allow.match(host, port)
    if rule is None:
        return _miss(node.allow.match_any_port(host), by_node=True, needs_port=not in_sets)
    if rule.port is None and not in_sets:
        return _miss(rule, by_node=True, needs_port=True)
    return None


def _needs_node(port: int) -> bool:
    """Say whether only the node may open a port."""
    return port <= _LAST_PRIVILEGED_PORT and port not in _WEB_PORTS


def _miss(near: Rule | HostPattern | None, *, by_node: bool, needs_port: bool) -> Decision:
    """Refuse: with ``port`` if a rule lists the host on another port, else as not listed."""
    if near is not None:
        return Decision(False, Reason.PORT, str(near), by_node, needs_port)
    return Decision(False, Reason.NOT_LISTED, None, by_node, needs_port)


def _site(name: Name) -> Name:
    """Drop the first label, unless what is left looks like a registry's ("com", "co.uk")."""
    parent = name.partition(".")[2]
    second, _, top = parent.rpartition(".")
    if not second or (len(top) == 2 and second in _REGISTRY_LABELS):
        return name
    return Name(parent)
