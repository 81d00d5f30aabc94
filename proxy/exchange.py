"""The record of one decided request, from its head to its end.

Writes exactly one decision line and one close line, whatever happens in between,
and feeds the job's counters.
"""

from __future__ import annotations

from collections.abc import Callable

from jobgate.config.host import Authority, Host, host_text

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
        server_name: What the ClientHello in the tunnel names; ``None``: nothing, or nobody looked.
        ech: It has an Encrypted Client Hello.
        dropped: Addresses of the name that may not be dialled.
        dns_s: Time spent resolving.
        connect_s: Time spent dialling; 0 on a connection used again.
        wait_up_s: Time that uploads were held back by the rate.
        wait_down_s: The same for downloads.
    """

    __slots__ = (
        "_allowed",
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
        "ech",
        "id",
        "kind",
        "method",
        "rule",
        "server_name",
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
        self.server_name: Host | None = None
        self.ech = False
        self.dropped: tuple[str, ...] = ()
        self.status: int | None = None
        self.bytes_up = self.bytes_down = 0
        self.dns_s = self.connect_s = self.wait_up_s = self.wait_down_s = 0.0
        self._job_id = job_id
        self._usage = usage
        self._journal = journal
        self._clock = clock
        self._started = clock()
        self._decided = self._allowed = self._finished = False

    def asks(self, kind: Kind, method: bytes, authority: Authority) -> Target:
        """Note what is asked for."""
        self.kind = kind
        self.method = method.decode("ascii", "backslashreplace")
        self.target = Target(kind, authority.host, authority.port)
        return self.target

    def allow(self) -> None:
        """Write the decision line of a request that may go on; one that is sent again has it already."""
        if not self._decided:
            self._allowed = True
            self._decide(None)

    def refuse(self, reason: Reason) -> None:
        """Write the decision line of a refusal, unless the request was decided before."""
        if not self._decided:
            self._decide(reason)

    def refuse_tunnel(self, reason: Reason) -> None:
        """Count the refusal of a tunnel that was decided before, under the server name if there is one."""
        if self.target is not None:
            host = self.target.host if self.server_name is None else self.server_name
            self._count_refusal(reason, self.target._replace(host=host))

    def finish(self, reason: Reason) -> None:
        """Write the close line, once; a request that was never decided is refused first."""
        if self._finished:
            return
        self._finished = True
        self.refuse(reason)
        if self.address is not None:
            self._usage.add(self._authority(), self.bytes_up, self.bytes_down)
        elif self._allowed and self.target is not None and reason is not Reason.DONE:
            self._usage.fail(Refused(self._authority(), reason.token, self.target.kind.value))
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
            sni=self._other_name(),
            ech=self.ech,
        )

    def _authority(self) -> str:
        return "" if self.target is None else str(Authority(self.target.host, self.target.port))

    def _other_name(self) -> str | None:
        """The server name if it is not the one that the tunnel was asked for with."""
        name = self.server_name
        if name is None or self.target is None or name == self.target.host:
            return None
        return _bare(name)

    def _decide(self, reason: Reason | None) -> None:
        self._decided = True
        kind = None if self.kind is None else self.kind.value
        host = None if self.target is None else _bare(self.target.host)
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
            self._count_refusal(reason, self.target)

    def _count_refusal(self, reason: Reason, target: Target) -> None:
        self._usage.refuse(
            Refused(str(Authority(target.host, target.port)), reason.token, target.kind.value),
            {
                "id": self.id,
                "kind": target.kind.value,
                "method": self.method,
                "host": _bare(target.host),
                "port": target.port,
                "reason": reason.token,
            },
        )


def _bare(host: Host) -> str:
    """Write a host as it stands alone, IPv6 without brackets."""
    return host_text(host).strip("[]")
