"""Whether what is under way would still be allowed: the questions of the way in, asked again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from jobgate.config.host import Address, Host
from jobgate.config.policy import Policy

from .addresses import vet
from .decision import Target, decide
from .errors import ProxyError, Reason
from .replies import refusal


def refused_now(
    policy: Policy, targets: Iterable[Target], address: str | None, is_own: Callable[[Address, int], bool]
) -> ProxyError | None:
    """Decide once more.

    Args:
        targets: What was asked for: by the request, and by the ClientHello if there was one.
        address: Where the connection leads, if there is one.
        is_own: Says whether an endpoint is the gate's own.

    Returns:
        Why it may not go on; ``None``: it may.
    """
    host: Host | None = None
    for target in targets:
        host = host or target.host  # the request's led to the address, not the ClientHello's
        decision = decide(policy, target)
        if decision.reason is not None and not policy.reports(decision.reason, by_node=decision.by_node):
            return refusal(decision, target)
        if address is not None and (error := _refused_there(policy, address, target.port, host, is_own)):
            return error
    return None


def _refused_there(
    policy: Policy, text: str, port: int, host: Host, is_own: Callable[[Address, int], bool]
) -> ProxyError | None:
    address = ip_address(text)
    if is_own(address, port):
        return ProxyError(Reason.SELF, "This address is the gate itself.")
    if vet(address, port, policy.node, pinned=policy.pins(host, address)) is not None:
        return ProxyError(Reason.ADDRESS, "This name leads to an address that no job may reach.")
    return None
