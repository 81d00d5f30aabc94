"""What would allow what was refused: entries for a job's domains, as it stands now. Pure."""

from __future__ import annotations

from jobgate.config.host import Name, parse_authority
from jobgate.config.policy import Policy
from jobgate.proxy.addresses import vet
from jobgate.proxy.decision import Kind, Target, decide, suggestions
from jobgate.proxy.errors import Reason

#: What an entry of the job can lift.
_LIFTED = (Reason.NOT_LISTED, Reason.PORT)


def proposals(authority: str, kind: str, policy: Policy) -> list[str]:
    """List the entries that would open a destination, the narrowest first.

    Args:
        authority: As the counters of refusals have it.
        kind: Likewise.
        policy: Of the job now: what it allows meanwhile needs no entry, what its node refuses
            is lifted by none, an address that may not be dialled included.
    """
    host, port = parse_authority(authority.encode("ascii"), None)
    if not isinstance(host, Name) and vet(host, port, policy.node) is not None:
        return []
    target = Target(Kind(kind), host, port)
    decision = decide(policy, target)
    if decision.reason not in _LIFTED or decision.by_node:
        return []
    return suggestions(target, needs_port=decision.needs_port)
