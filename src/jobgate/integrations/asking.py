"""What a job of another system asks for, and whether the node accepts it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jobgate.config.policy import JobPolicy, Network, NodePolicy, job_problems
from jobgate.config.ports import Ports
from jobgate.config.rule import quoted

#: A deny entry without a port denies every port.
_EVERY_PORT = Ports(((1, 65535),))


class JobError(ValueError):
    """A job that cannot be accepted whatever the node's policy is.

    Args:
        problems: Each with its place, what is wrong and what to write.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Ask(NamedTuple):
    """What one task asks for.

    Attributes:
        place: How messages name the task; ``""`` for a job that is one.
    """

    place: str
    policy: JobPolicy

    def record(self) -> dict[str, object]:
        """The keys of a job's table that it becomes."""
        record: dict[str, object] = {"network": self.policy.network.value}
        if self.policy.network is Network.HTTP:
            record["domains"] = self.policy.domains.entries()
        return record


def node_problems(ask: Ask, node: NodePolicy) -> list[str]:
    """List why the node does not accept what is asked for; each domain is named.

    An entry that the node denies whole is refused; one of which it denies a part is not: the gate
    does that.
    """
    place = f"{ask.place}: " if ask.place else ""
    problems = [f"{place}{problem.keys[0]}: {problem.message}" for problem in job_problems(ask.policy, node)]
    denied = (rule for rule in ask.policy.domains if node.deny.covers(rule, _EVERY_PORT))
    problems += [f"{place}domains: {quoted(str(rule))} is in the node's deny list" for rule in denied]
    return problems
