"""The settings of a gate: frozen values, each default with its unit and its reason.

Field names are the keys of the configuration file. Every value is stored parsed, so
that a ``Settings`` that exists is one that was understood. The annotations say how a
value is read from a file (``load.py``); code that builds settings by itself, without a
file, pays for none of that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, TypeAlias

from . import readers
from .address_rule import AddressRule
from .endpoints import Endpoint
from .gateway import ListenSettings, StateSettings, UpstreamSettings
from .host import Address, Name
from .networks import Network as ClientNetwork
from .policy import JobPolicy, Mode, Network, NodePolicy
from .ports import DEFAULT_CONNECT_PORTS, DEFAULT_HTTP_PORTS, Ports
from .readers import Reader, integer, number
from .rules import NO_RULES, RuleSet

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_HOSTS: Mapping[Name, tuple[Address, ...]] = MappingProxyType({})

_Rules: TypeAlias = Annotated[RuleSet, Reader(readers.read_rules)]
_Ports: TypeAlias = Annotated[Ports, Reader(readers.read_ports)]
_Addresses: TypeAlias = Annotated[tuple[AddressRule, ...], Reader(readers.read_addresses)]
_Rate: TypeAlias = Annotated[float, Reader(readers.read_rate)]
_Seconds: TypeAlias = Annotated[float, Reader(readers.read_seconds)]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """``[node]``: the policy that bounds every job, and how the gate presents itself.

    Attributes:
        networks: What jobs may ask for. No ``full`` unless said: it steps around the gate.
        allow: The most that jobs may list; ``None``: their own lists decide. Alone of all lists
            it may have patterns, which are there to import the lists of others.
        deny: Beats every allow list.
        deny_addresses: Never dialled, whatever name led there.
        allow_addresses: Exceptions to the guard against special-purpose addresses; none,
            because each opens something inside to every job.
        max_rate_up: Bytes/s, the most a job gets; no bound, jobs have their own default.
        max_rate_down: Bytes/s, likewise.
        total_rate_up: Bytes/s, all jobs together, shared fairly among the busy ones; no bound.
        total_rate_down: Bytes/s, likewise.
        via: Pseudonym in ``Via`` (RFC 9110 §7.6.3 asks for the field); ``""``: no field.
        no_proxy: Hosts that a job's clients reach directly, besides the loopback ones.
        refusal_note: Added to refusals, for example whom to ask for a domain.
        connect_ports: For CONNECT without a port in the rule: HTTPS.
        http_ports: For plain HTTP without a port in the rule: the well-known port and
            the unprivileged ones, where people run services; what Squid ships.
        close_revoked: On a change of policy, end what the new one refuses: a tunnel is not to
            outlive its permission.
        mode: ``report`` lets pass, and logs, what the lists refuse: to find out a policy.
    """

    networks: Annotated[tuple[Network, ...], Reader(readers.read_networks)] = (Network.NONE, Network.HTTP)
    allow: Annotated[RuleSet | None, Reader(readers.read_node_rules)] = None
    deny: _Rules = NO_RULES
    deny_addresses: _Addresses = ()
    allow_addresses: _Addresses = ()
    max_rate_up: _Rate = math.inf
    max_rate_down: _Rate = math.inf
    total_rate_up: _Rate = math.inf
    total_rate_down: _Rate = math.inf
    via: Annotated[str, Reader(readers.read_via)] = "jobgate"
    no_proxy: Annotated[tuple[str, ...], Reader(readers.read_no_proxy)] = ()
    refusal_note: Annotated[str, Reader(readers.read_note)] = ""
    connect_ports: _Ports = DEFAULT_CONNECT_PORTS
    http_ports: _Ports = DEFAULT_HTTP_PORTS
    close_revoked: Annotated[bool, Reader(readers.read_bool)] = True
    mode: Annotated[Mode, Reader(readers.read_mode)] = Mode.ENFORCE

    @property
    def policy(self) -> NodePolicy:
        """The part that decisions are made with."""
        return NodePolicy(
            networks=self.networks,
            allow=self.allow,
            deny=self.deny,
            connect_ports=self.connect_ports,
            http_ports=self.http_ports,
            max_rate_up=self.max_rate_up,
            max_rate_down=self.max_rate_down,
            deny_addresses=self.deny_addresses,
            allow_addresses=self.allow_addresses,
            mode=self.mode,
        )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """``[log]``.

    Attributes:
        path: File for the decision log; ``"-"``: standard output, where supervisors look.
    """

    path: Annotated[str, Reader(readers.read_path)] = "-"


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """``[dns]``.

    Attributes:
        servers: Name servers; none: those of ``/etc/resolv.conf``.
        hosts: Addresses that are known without a query, before ``/etc/hosts``.
        timeout_s: Seconds for one name, all servers and retries together: what
            resolv.conf(5) gives one try.
        cache_entries: Names remembered; some 4 MB when full.
    """

    servers: Annotated[tuple[Endpoint, ...], Reader(readers.read_servers)] = ()
    hosts: Annotated[Mapping[Name, tuple[Address, ...]], Reader(readers.read_hosts)] = field(
        default_factory=lambda: _NO_HOSTS
    )
    timeout_s: _Seconds = 5.0
    cache_entries: Annotated[int, Reader(integer(1, 1_000_000))] = 4096


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """``[limits]``: bounds on what one job, or all, can make the gate hold.

    Attributes:
        max_head_bytes: Request or response head. 64 KiB as Squid; cookies and tokens fit.
        max_target_bytes: Request target. Twice the 8000 octets that RFC 9112 §3 asks for.
        max_content_bytes: Content of one plain-HTTP request; 0: no limit, the rate bounds it.
        requests_per_s_per_job: Requests per second; 0: no limit. Above what a busy package
            manager sends, below what takes a core with refusals. As many are logged.
        dns_names_per_s_per_job: New names per second; 0: no limit. Queries are the one
            channel out that the rate does not meter.
        max_fields: Header fields of one head.
        max_connections: Client connections of the whole process; three descriptors each.
        max_connections_per_job: Client connections of one job; browsers open six a host.
        relay_buffer_bytes: Bytes held per connection and direction while relaying. 64 KiB
            is the default size of a Linux pipe.
    """

    max_head_bytes: Annotated[int, Reader(integer(1024, MIB))] = 65536
    max_target_bytes: Annotated[int, Reader(integer(256, MIB))] = 16384
    max_content_bytes: Annotated[int, Reader(integer(0, 1 << 60))] = 0
    requests_per_s_per_job: Annotated[float, Reader(number(0.0, 1e6))] = 200.0
    dns_names_per_s_per_job: Annotated[float, Reader(number(0.0, 1e6))] = 20.0
    max_fields: Annotated[int, Reader(integer(8, 10_000))] = 128
    max_connections: Annotated[int, Reader(integer(1, 1_000_000))] = 20000
    max_connections_per_job: Annotated[int, Reader(integer(1, 1_000_000))] = 256
    relay_buffer_bytes: Annotated[int, Reader(integer(4096, 16 * MIB))] = 65536


@dataclass(frozen=True, slots=True)
class TimeoutSettings:
    """``[timeouts]``, in seconds.

    Attributes:
        head_s: For a whole request head, from its first byte; slow clients stay below.
        dial_s: For connecting, all addresses of a name together.
        hello_s: For a whole TLS ClientHello, from the answer to CONNECT; clients send it at once.
        upstream_response_s: For the first byte of a response; 300 s as Squid and Envoy.
        keepalive_s: Idle between two requests of a connection; below the usual 75 s of origins.
        tunnel_idle_s: No byte in either direction of a tunnel; long polls and ssh-like
            sessions live for an hour.
        half_closed_s: For the rest, after one direction of a tunnel ended.
        drain_s: For open tunnels when the gate stops; 0 ends them at once. Container
            engines and systemd kill after 10 s to 90 s.
        upgrade_drain_s: For open tunnels after another process took the listeners over;
            0: until the last one ends, nobody waits for this process.
    """

    head_s: _Seconds = 10.0
    dial_s: _Seconds = 10.0
    hello_s: _Seconds = 5.0
    upstream_response_s: _Seconds = 300.0
    keepalive_s: _Seconds = 60.0
    tunnel_idle_s: _Seconds = 3600.0
    half_closed_s: _Seconds = 300.0
    drain_s: Annotated[float, Reader(number(0.0, readers.MAX_SECONDS))] = 30.0
    upgrade_drain_s: Annotated[float, Reader(number(0.0, readers.MAX_SECONDS))] = 0.0


@dataclass(frozen=True, slots=True)
class JobSettings:
    """One job.

    Attributes:
        id: Name in logs and reports.
        policy: Network, domains, rates, and what tunnels may carry.
        listen: ``"ip:port"`` (port 0: any free one), ``"unix:/path"``, or ``""`` when the
            listener is not bound by address.
        burst_bytes: Size of the token buckets; ``None``: max(64 KiB, 4 ms of the rate).
        job_header: Field that carries the id on plain HTTP; ``""``: none.
        max_connections: Client connections of this job; as ``max_connections_per_job``.
        env: Variables given to the job, over those of all jobs.
        labels: For the operator; the gate does not read them.
        token: What the job's clients are given to show (``jobgate env``); from a file only.
        token_hash: SHA-256 of the token, which every request must show; ``None``: it needs none.
        clients: Networks that the job's connections come from; empty: any.
        max_bytes_up: Bytes, all together; 0: no quota.
        max_bytes_down: Bytes, likewise.
        max_duration_s: Seconds from its first start; 0: no quota.
        expires_at: Seconds since the epoch; ``None``: never.
        netns: Network namespace of the listener, a path or a name of ``ip netns``; ``""``: ours.
        peer_uids: Users who may connect to a unix listener; empty: whoever can open it.
        max_members: Jobs named ``ID.MEMBER`` that the token may make; 0: none.
    """

    id: str
    policy: JobPolicy = field(default_factory=JobPolicy)
    listen: str = ""
    burst_bytes: int | None = None
    job_header: str = ""
    max_connections: int = 256
    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    token: str = field(default="", repr=False)
    token_hash: bytes | None = field(default=None, repr=False)
    clients: tuple[ClientNetwork, ...] = ()
    max_bytes_up: int = 0
    max_bytes_down: int = 0
    max_duration_s: float = 0.0
    expires_at: float | None = None
    netns: str = ""
    peer_uids: frozenset[int] = frozenset()
    max_members: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a gate is told. ``Settings()`` is a gate without jobs.

    Attributes:
        env: Variables given to every job.
        jobs: Jobs in the order of the file; ids and listeners are unique.
    """

    node: NodeSettings = field(default_factory=NodeSettings)
    log: LogSettings = field(default_factory=LogSettings)
    dns: DnsSettings = field(default_factory=DnsSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    jobs: tuple[JobSettings, ...] = ()
    listen: ListenSettings = field(default_factory=ListenSettings)
    state: StateSettings = field(default_factory=StateSettings)
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
