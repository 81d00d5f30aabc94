"""What would happen to a URL: the decision by the very code that enforces it, as an answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jobgate.config.host import Address, HostError, Name, parse_authority
from jobgate.config.policy import Policy
from jobgate.proxy.addresses import vet
from jobgate.proxy.decision import Kind, Target, decide
from jobgate.proxy.errors import BadRequest, Reason
from jobgate.proxy.replies import refusal
from jobgate.proxy.target import parse_absolute

HTTPS_PORT = 443


class Answer(NamedTuple):
    """What would happen to one URL.

    Attributes:
        reason: Why it is refused, or would be; ``None``: nothing speaks against it.
        reported: It passes all the same: the policy is in report mode.
    """

    url: str
    target: Target | None = None
    reason: Reason | None = None
    detail: str = ""
    rule: str | None = None
    addresses: tuple[str, ...] = ()
    reported: bool = False

    @property
    def allowed(self) -> bool:
        """Whether it passes."""
        return self.reason is None or self.reported

    def record(self) -> dict[str, object]:
        """Write it with the field names of the decision log; ``would`` is only there in report mode."""
        record: dict[str, object] = {
            "url": self.url,
            "kind": self.target and self.target.kind.value,
            "host": self.target and str(self.target.host),
            "port": self.target and self.target.port,
            "decision": "allow" if self.allowed else "deny",
            "reason": self.reason and self.reason.token,
            "rule": self.rule,
            "detail": self.detail,
            "addresses": list(self.addresses),
        }
        return {**record, "would": "deny"} if self.reported else record

    def as_text(self) -> str:
        """Write one line for a person."""
        if self.reason is not None:
            verdict = "allow" if self.reported else "deny "
            would = "only reported: " if self.reported else ""
            return f"{verdict}  {self.url}  {would}{self.reason.token}: {self.detail}"
        reached = f"  -> {', '.join(self.addresses)}" if self.addresses else ""
        return f"allow  {self.url}  by {self.rule}{reached}"


def parse_url(url: str) -> Target:
    """Read a URL, or ``host[:port]`` for HTTPS, as a client would ask the gate for it.

    Raises:
        BadRequest: What the gate would answer.
    """
    raw = url.partition("#")[0].encode()  # clients keep the fragment to themselves
    scheme, separator, rest = raw.partition(b"://")
    if separator and scheme.lower() != b"https":
        authority = parse_absolute(raw).authority
        return Target(Kind.HTTP, authority.host, authority.port)
    try:
        authority = parse_authority(_authority_part(rest if separator else raw), HTTPS_PORT)
    except HostError as error:
        raise BadRequest(f"The host of the URL is invalid: {error}.") from error
    return Target(Kind.CONNECT, authority.host, authority.port)


def judge(url: str, policy: Policy) -> Answer:
    """Decide by name; an address in the URL is judged as an address, too."""
    try:
        target = parse_url(url)
    except BadRequest as error:
        return Answer(url, reason=error.reason, detail=error.detail)
    decision = decide(policy, target)
    answer = Answer(url, target, rule=decision.rule)
    if decision.reason is not None:
        refused = refusal(decision, target)
        reported = policy.reports(decision.reason, by_node=decision.by_node)
        answer = answer._replace(reason=refused.reason, detail=refused.detail, reported=reported)
    if not answer.allowed or isinstance(target.host, Name):
        return answer
    return judge_addresses(answer, target, [target.host], policy)


def judge_addresses(answer: Answer, target: Target, addresses: Sequence[Address], policy: Policy) -> Answer:
    """Say which of the addresses would be dialled; refuse if none would."""
    classes = {
        str(address): vet(address, target.port, policy.node, pinned=policy.pins(target.host, address))
        for address in addresses
    }
    good = tuple(text for text, bad in classes.items() if bad is None)
    if good:
        return answer._replace(addresses=good)
    found = ", ".join(f"{text} is {bad}" for text, bad in classes.items())
    detail = f"{found}: not dialled unless the node lists it in allow_addresses."
    return answer._replace(reason=Reason.ADDRESS, detail=detail, reported=False)


def _authority_part(raw: bytes) -> bytes:
    return raw.partition(b"/")[0].partition(b"?")[0]
