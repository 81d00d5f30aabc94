"""From what the executor says to the settings of a gate that serves one job. Pure.

The gate listens where every job of the executor looks for it, knows the job by its
network, and lets nobody else in. The job writes its own list of domains, so the guard
of addresses stays on: a name leads to a private address only if the job lists that very
name, and the container's ``/etc/hosts`` (which the executor writes) gives the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from types import MappingProxyType

from jobgate.config.address_rule import AddressRule
from jobgate.config.endpoints import Endpoint
from jobgate.config.gateway import ListenSettings, StateSettings
from jobgate.config.host import Address, Name
from jobgate.config.policy import JobPolicy, Network, PolicyError, narrow
from jobgate.config.rule import Rule
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings

from .variables import Variables

#: The executor writes this port into the job's variables.
PORT = 8080
IPV4_ANY = Endpoint(IPv4Address("0.0.0.0"), PORT)  # noqa: S104  jobs come from the network between them and us
IPV6_ANY = Endpoint(IPv6Address("::"), PORT)

JOB_HEADER = "X-Bacalhau-Job-ID"

#: The host, as the executor names it in the container's ``/etc/hosts``, and the port of Bacalhau's API
#: there: a job must not submit jobs.
HOST = Name("host.docker.internal")
API_PORT = 1234

#: What Squid says, and clients of Bacalhau look for, in the body of a refusal.
REFUSAL_TEXT = "ERROR: The requested URL could not be retrieved"


class SettingsError(ValueError):
    """The operator's configuration does not go with this command, or with this job; one problem a line."""


def gateway_settings(
    base: Settings,
    variables: Variables,
    hosts: Mapping[str, tuple[Address, ...]],
    listen: Endpoint = IPV6_ANY,
) -> Settings:
    """Make the settings of the gate.

    Args:
        base: Of the operator: the node's policy, limits, DNS. No jobs, no listeners.
        variables: Of the executor.
        hosts: The container's ``/etc/hosts`` as it is now.
        listen: Where the job finds the gate.

    Raises:
        SettingsError: ``base`` has what has no meaning here, or does not allow the job.
    """
    _check_base(base)
    known = {name: hosts[name] for name in _exact_names(variables.domains) if name in hosts}
    own = {**known, **base.dns.hosts}
    job = JobPolicy(
        network=Network.HTTP,
        domains=RuleSet(variables.domains),
        pinned=frozenset(
            (name, address)
            for name, addresses in known.items()
            if name not in base.dns.hosts
            for address in addresses
        ),
    )
    node = replace(
        base.node,
        deny=RuleSet([*base.node.deny, Rule(HOST, port=API_PORT)]),
        deny_addresses=(*base.node.deny_addresses, *_api_of_the_host(hosts)),
        refusal_note="\n".join(filter(None, (REFUSAL_TEXT, base.node.refusal_note))),
    )
    try:
        policy = narrow(job, node.policy)
    except PolicyError as error:
        lines = (f"the node does not take the job: {line}" for line in str(error).splitlines())
        raise SettingsError("\n".join(lines)) from None
    served = JobSettings(
        variables.job_id,
        policy,
        listen=str(listen),
        job_header=JOB_HEADER,
        clients=variables.clients,
    )
    return replace(
        base,
        node=node,
        # No name server is asked for a name that may lead to a private address, whatever becomes of the file.
        dns=replace(base.dns, hosts=MappingProxyType(own)),
        jobs=(served,),
    )


def _check_base(base: Settings) -> None:
    problems = [
        f"{key}: has no meaning for jobgate bacalhau, {why}: leave it out"
        for key, why, is_there in (
            ("[[job]]", "whose one job is described by Bacalhau", bool(base.jobs)),
            ("[listen]", f"which listens on port {PORT} alone", base.listen != ListenSettings()),
            ("[state]", "which keeps nothing", base.state != StateSettings()),
            ("[env]", "which sets no variables", bool(base.env)),
        )
        if is_there
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def _exact_names(domains: Iterable[Rule]) -> list[Name]:
    return [rule.host for rule in domains if isinstance(rule.host, Name) and not rule.suffix]


def _api_of_the_host(hosts: Mapping[str, tuple[Address, ...]]) -> list[AddressRule]:
    """Deny the API by address, too: another name may lead to the same host."""
    return [AddressRule(ip_network(address), API_PORT) for address in hosts.get(HOST, ())]
