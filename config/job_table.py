"""The keys of a ``[[job]]``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from . import job_readers, readers
from .networks import Network as ClientNetwork
from .policy import JobPolicy, Mode, Network, Tls
from .rates import DEFAULT_RATE
from .readers import MAX_SECONDS, Reader, integer, number
from .rules import NO_RULES, RuleSet

#: More than any disk or line moves in the life of a job.
_MAX_QUOTA_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class JobTable:
    """A ``[[job]]`` as it stands in the file.

    Attributes:
        burst: Bytes. Below 4096 a bucket could not hold one full network packet of
            every usual size and the rate would not be reached.
    """

    id: Annotated[str, Reader(readers.read_job_id)] = ""
    listen: Annotated[str, Reader(readers.read_listen)] = ""
    token: Annotated[str, Reader(job_readers.read_token)] = field(default="", repr=False)
    clients: Annotated[tuple[ClientNetwork, ...], Reader(job_readers.read_clients)] = ()
    domains: Annotated[RuleSet, Reader(readers.read_rules)] = NO_RULES
    deny: Annotated[RuleSet, Reader(readers.read_rules)] = NO_RULES
    network: Annotated[Network, Reader(readers.read_network)] = Network.NONE
    rate_up: Annotated[float, Reader(readers.read_rate)] = DEFAULT_RATE
    rate_down: Annotated[float, Reader(readers.read_rate)] = DEFAULT_RATE
    burst: Annotated[int | None, Reader(integer(4096, 1 << 30))] = None
    max_bytes_up: Annotated[int, Reader(integer(0, _MAX_QUOTA_BYTES))] = 0
    max_bytes_down: Annotated[int, Reader(integer(0, _MAX_QUOTA_BYTES))] = 0
    max_duration_s: Annotated[float, Reader(number(0.0, MAX_SECONDS))] = 0.0
    expires: Annotated[float | None, Reader(job_readers.read_expires)] = None
    labels: Annotated[Mapping[str, str], Reader(readers.read_labels)] = field(default_factory=dict)
    mode: Annotated[Mode | None, Reader(job_readers.read_job_mode)] = None
    netns: Annotated[str, Reader(job_readers.read_netns)] = ""
    peer_uids: Annotated[frozenset[int], Reader(job_readers.read_peer_uids)] = frozenset()
    tls: Annotated[Tls, Reader(readers.read_tls)] = Tls.REQUIRE
    job_header: Annotated[str, Reader(readers.read_job_header)] = ""
    max_connections: Annotated[int, Reader(integer(1, 1_000_000))] = 256
    max_members: Annotated[int, Reader(integer(0, 10_000))] = 0
    env: Annotated[Mapping[str, str], Reader(readers.read_environment)] = field(default_factory=dict)

    @property
    def policy(self) -> JobPolicy:
        """The part that decisions are made with."""
        return JobPolicy(
            self.network, self.domains, self.deny, self.rate_up, self.rate_down, self.tls, self.mode
        )
