"""The variables of a worker: they lead to the gate, under the name of the Ray job. Pure.

Ray gives one set of variables to all jobs with equal runtime environments, and puts each
worker's own values in place of ``${NAME}`` when it starts it. So the proxy's URL says
``POLICY.${RAY_JOB_ID}``, and each job is a member of the policy's job at the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jobgate.gateway.variables import TOKEN_PLACE
from jobgate.launch.environment import JAVA_OPTIONS

from .guard import NOWHERE
from .request import is_proxy_variable

#: What Ray puts the job's number in place of.
MEMBER = "${RAY_JOB_ID}"
_URLS = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_DIRECT = ("no_proxy", "NO_PROXY")
#: Of Ray's agent: where the cluster is.
_AGENT_OPTIONS = ("--node-ip-address=", "--gcs-address=")


def gated(variables: Mapping[str, str], job_id: str, token: str, no_proxy: Sequence[str]) -> dict[str, str]:
    """What the gateway says of a policy's job, for its members.

    Args:
        variables: Of the job, with a place for the token.
        job_id: Of the policy.
        token: Of the policy; letters, digits, ``_`` and ``-``.
        no_proxy: Hosts of the cluster, besides those that the gateway names.
    """
    place, filled = f"//{job_id}:{TOKEN_PLACE}@", f"//{job_id}.{MEMBER}:{token}@"
    found = {name: value.replace(place, filled) for name, value in variables.items()}
    for name in _DIRECT:
        found[name] = ",".join(dict.fromkeys((*found[name].split(","), *no_proxy)))
    return found


def cut_off(no_proxy: Sequence[str]) -> dict[str, str]:
    """The variables of a worker without network: its clients find nobody."""
    direct = ",".join(("localhost", "127.0.0.1", "::1", *no_proxy))
    return {**dict.fromkeys(_URLS, NOWHERE), **dict.fromkeys(_DIRECT, direct)}


def put_over(env_vars: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Put the gate's variables over a worker's own; no other proxy is left.

    What Java is told already stays, ours comes behind it: the last one counts.
    """
    own = {name: value for name, value in env_vars.items() if not is_proxy_variable(name)}
    found = {**own, **variables}
    if JAVA_OPTIONS in variables:
        before = env_vars.get(JAVA_OPTIONS, f"${{{JAVA_OPTIONS}}}")
        found[JAVA_OPTIONS] = f"{before} {variables[JAVA_OPTIONS]}"
    return found


def cluster_hosts(arguments: Iterable[str]) -> list[str]:
    """The hosts of node and head, from the command line of Ray's agent."""
    values = [
        argument.removeprefix(option)
        for argument in arguments
        for option in _AGENT_OPTIONS
        if argument.startswith(option)
    ]
    return list(dict.fromkeys(filter(None, map(_host, values))))


def _host(place: str) -> str:
    """``192.0.2.1``, ``192.0.2.1:6379``, ``head:6379``, ``[2001:db8::1]:6379`` or ``2001:db8::1``."""
    if place.startswith("["):
        return place[1:].partition("]")[0]
    host, colon, port = place.rpartition(":")
    return host if colon and port.isdecimal() and ":" not in host else place
