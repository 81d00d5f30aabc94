"""From the counters of a gate to the summary of a job. Pure."""

from __future__ import annotations

from jobgate.config.host import parse_authority
from jobgate.config.policy import Policy
from jobgate.proxy.decision import Kind, Target, decide, suggestion
from jobgate.proxy.errors import Reason
from jobgate.proxy.usage import JobCounters, Refused, Usage

from .summary import ReachedHost, RefusedHost, Summary


def summarize(
    usage: Usage, policy: Policy, *, counters: JobCounters, duration_s: float, note: str
) -> Summary:
    """The summary of a job that has ended."""
    return Summary(
        duration_s=duration_s,
        bytes_up=counters.bytes_up,
        bytes_down=counters.bytes_down,
        reached=[
            ReachedHost(authority, entry.requests, entry.bytes_up, entry.bytes_down)
            for authority, entry in usage.reached.items()
        ],
        refused=[
            RefusedHost(refused.authority, refused.reason, requests, remedy(refused, policy))
            for refused, requests in usage.refused.items()
        ],
        failed=[
            RefusedHost(failed.authority, failed.reason, requests, "")
            for failed, requests in usage.failed.items()
        ],
        note=note,
    )


def remedy(refused: Refused, policy: Policy) -> str:
    """The option or the key that would allow what was refused; empty if there is none.

    Decides anew, with the code that enforces, so that both always agree.
    """
    if refused.reason == Reason.ADDRESS.token:
        return "its address must be in [node] allow_addresses of --config"
    if refused.reason in (Reason.NOT_TLS.token, Reason.HELLO_TIMEOUT.token):
        return "--tls any"
    host, port = parse_authority(refused.authority.encode(), None)
    target = Target(Kind(refused.kind), host, port)
    decision = decide(policy, target)
    if decision.reason is Reason.DENIED:
        return "denied by [node] deny" if decision.by_node else f"denied by --deny {decision.rule}"
    if decision.reason in (Reason.NOT_LISTED, Reason.PORT):
        entry = suggestion(target, needs_port=decision.needs_port)
        return f"needs {entry} in [node] allow of --config" if decision.by_node else f"--domain {entry}"
    return ""
