"""The record of one decided request, from its head to its end.

Writes exactly one decision line and one close line, whatever happens in between,
and feeds the job's counters.
"""

from __future__ import annotations

from collections.abc import Callable

from jobgate.config.host import Authority, host_text

from .decision import Kind, Target
from .errors import Reason
from .journal import Journal
from .usage import Refused, Usage


class Exchange:
    """What is known of one request so far.

    Attributes:
        bytes_up: Relayed from the client to the upstream: heads and content, or tunnel bytes.
        bytes_down: The other way.
        address: The upstream's, once a connection is there.
        dropped: Addresses of the name that may not be dialled.
        dns_s: Time spent resolving.
        connect_s: Time spent dialling; 0 on a connection used again.
        wait_up_s: Time that uploads were held back by the rate.
        wait_down_s: The same for downloads.
    """

    __slots__ = (
        "_clock",
        "_decided",
        "_finished",
        "_job_id",
        "_journal",
        "_started",
        "_usage",
        "address",
        "bytes_down",
        "bytes_up",
        "client",
        "connect_s",
        "dns_s",
        "dropped",
        "id",
        "kind",
        "method",
        "rule",
        "status",
        "target",
        "wait_down_s",
        "wait_up_s",
    )

    def __init__(
        self,
        job_id: str,
        client: str,
        usage: Usage,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self.id = journal.new_id()
        self.client = client
        self.kind: Kind | None = None
        self.method = ""
        self.target: Target | None = None
        self.rule: str | None = None
        self.address: str | None = None
        self.dropped: tuple[str, ...] = ()
        self.status: int | None = None
        self.bytes_up = self.bytes_down = 0
        self.dns_s = self.connect_s = self.wait_up_s = self.wait_down_s = 0.0
        self._job_id = job_id
        self._usage = usage
        self._journal = journal
        self._clock = clock
        self._started = clock()
        self._decided = self._finished = False

    def asks(self, kind: Kind, method: bytes, authority: Authority) -> Target:
        """Note what is asked for."""
        self.kind = kind
        self.method = method.decode("ascii", "backslashreplace")
        self.target = Target(kind, authority.host, authority.port)
        return self.target

    def allow(self) -> None:
        """Write the decision line of a request that may go on; one that is sent again has it already."""
        if not self._decided:
            self._decide(None)

    def refuse(self, reason: Reason) -> None:
        """Write the decision line of a refusal, unless the request was decided before."""
        if not self._decided:
            self._decide(reason)

    def finish(self, reason: Reason) -> None:
        """Write the close line, once; a request that was never decided is refused first."""
        if self._finished:
            return
        self._finished = True
        self.refuse(reason)
        if self.address is not None:
            self._usage.add(self._authority(), self.bytes_up, self.bytes_down)
        self._journal.close(
            id=self.id,
            job=self._job_id,
            address=self.address,
            status=self.status,
            reason=reason.token,
            bytes_up=self.bytes_up,
            bytes_down=self.bytes_down,
            duration_s=self._clock() - self._started,
            dns_s=self.dns_s,
            connect_s=self.connect_s,
            wait_up_s=self.wait_up_s,
            wait_down_s=self.wait_down_s,
        )

    def _authority(self) -> str:
        return "" if self.target is None else f"{host_text(self.target.host)}:{self.target.port}"

    def _decide(self, reason: Reason | None) -> None:
        self._decided = True
        kind = None if self.kind is None else self.kind.value
        host = None if self.target is None else host_text(self.target.host).strip("[]")
        port = None if self.target is None else self.target.port
        self._journal.decision(
            id=self.id,
            job=self._job_id,
            client=self.client,
            kind=kind,
            method=self.method or None,
            host=host,
            port=port,
            allowed=reason is None,
            reason=None if reason is None else reason.token,
            rule=self.rule,
            dropped=self.dropped,
        )
        if reason is not None and self.target is not None:
            self._usage.refuse(
                Refused(self._authority(), reason.token, self.target.kind.value),
                {
                    "id": self.id,
                    "kind": kind,
                    "method": self.method,
                    "host": host,
                    "port": port,
                    "reason": reason.token,
                },
            )
