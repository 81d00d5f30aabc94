"""Which addresses of a name a job may reach. Pure."""

from __future__ import annotations

from jobgate.config.host import Address
from jobgate.config.policy import Policy

from .addresses import vet
from .decision import Target

Addresses = tuple[Address, ...]


class Vetter:
    """Vets, and knows the last answers: a job asks for few names again and again."""

    __slots__ = ("_known", "_policy")

    #: More are forgotten together.
    MOST = 32

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._known: dict[Target, tuple[Addresses, Addresses]] = {}

    def good(self, policy: Policy, target: Target, addresses: Addresses) -> Addresses:
        """Keep what may be dialled; another policy, and another answer for the name, is another object."""
        if policy is not self._policy:
            self._policy = policy
            self._known.clear()
        known = self._known.get(target)
        if known is not None and known[0] is addresses:
            return known[1]
        if len(self._known) >= self.MOST:
            self._known.clear()
        good = tuple(address for address in addresses if _may_be_dialled(policy, target, address))
        self._known[target] = addresses, good
        return good


def _may_be_dialled(policy: Policy, target: Target, address: Address) -> bool:
    return vet(address, target.port, policy.node, pinned=policy.pins(target.host, address)) is None
