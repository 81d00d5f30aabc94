"""What of a gate in several processes is at its front: where it listens, and whose a connection is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobgate.proxy.credentials import peek_fields
from jobgate.proxy.entrance import SharedEntrance
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.framing import Headers
from jobgate.proxy.job import Job
from jobgate.proxy.own import OwnEndpoints
from jobgate.proxy.peer import Peer

from . import orders


class Endpoints(OwnEndpoints):
    """Where the gateway listens, told to all workers: none of it is a destination for a job."""

    def __init__(self, tell: Callable[[Mapping[str, object]], None]) -> None:
        super().__init__()
        self._tell = tell

    def add(self, host: str, port: int) -> None:
        super().add(host, port)
        self._tell(orders.own(host, port, there=True))

    def discard(self, host: str, port: int) -> None:
        super().discard(host, port)
        self._tell(orders.own(host, port, there=False))


class Front(SharedEntrance):
    """What shared listeners lead to: a job's connection is given away, so who stays here is a stranger."""

    def identify(self, peer: Peer, headers: Headers) -> Job:
        super().identify(peer, headers)
        raise ProxyError(Reason.HEAD_TIMEOUT, "The request head did not arrive in time: ask again.")

    def owner_of(self, peer: Peer, head: bytes) -> Job | None:
        """Whose a request seems to be, which its worker judges; ``None``: a stranger's."""
        try:
            return super().identify(peer, peek_fields(head))
        except ProxyError:
            return None
