"""The record of one decided request, from its head to its end.

Writes exactly one decision line and one close line, whatever happens in between,
and feeds the job's counters.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache

from jobgate.config.host import Authority, Host

from .decision import Kind, Target
from .errors import DONE, Reason
from .journal import Journal
from .records import bare_host
from .usage import ALLOW, Refused, Usage


class Exchange:
    """What is known of one request so far.

    Attributes:
        id: Joins the two lines.
        client: Its address as text.
        method: As it came, escaped where it is not ASCII; empty: the head did not parse.
        target: What was asked for; ``None``: the head did not parse.
        rule: The entry that decided.
        refused: Why the decision line says so; ``None``: undecided, or allowed.
        would_refuse: Why it would, were the policy not in report mode.
        dropped: Addresses of the name that may not be dialled.
        address: The upstream's, once a connection is there.
        server_name: What the ClientHello in the tunnel names; ``None``: nothing, or nobody looked.
        ech: It has an Encrypted Client Hello.
        would_end: Why the tunnel would have ended after its ClientHello, were the policy not in report mode.
        status: Of the response that the client gets.
        end: How it ended.
        bytes_up: Relayed from the client to the upstream: heads and content, or tunnel bytes.
        bytes_down: The other way.
        duration_s: From the head to the end.
        dns_s: Time spent resolving.
        connect_s: Time spent dialling; 0 on a connection used again.
        wait_up_s: Time that uploads were held back by the rate.
        wait_down_s: The same for downloads.
    """

    __slots__ = (
        "_clock",
        "_decided",
        "_journal",
        "_started",
        "_told",
        "_usage",
        "address",
        "bytes_down",
        "bytes_up",
        "client",
        "connect_s",
        "dns_s",
        "dropped",
        "duration_s",
        "ech",
        "end",
        "id",
        "job_id",
        "method",
        "refused",
        "rule",
        "server_name",
        "status",
        "target",
        "wait_down_s",
        "wait_up_s",
        "would_end",
        "would_refuse",
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
        self.job_id = job_id
        self.client = client
        self.method = ""
        self.target: Target | None = None
        self.rule: str | None = None
        self.refused: Reason | None = None
        self.would_refuse: Reason | None = None
        self.would_end: Reason | None = None
        self.dropped: tuple[str, ...] = ()
        self.address: str | None = None
        self.server_name: Host | None = None
        self.ech = False
        self.status: int | None = None
        self.end: Reason | None = None
        self.bytes_up = self.bytes_down = 0
        self.duration_s = self.dns_s = self.connect_s = self.wait_up_s = self.wait_down_s = 0.0
        self._usage = usage
        self._journal = journal
        self._clock = clock
        self._started = clock()
        self._decided = False
        self._told = True  # what was decided is in the journal

    def asks(self, kind: Kind, method: bytes, authority: Authority) -> Target:
        """Note what is asked for."""
        self.method = sys.intern(method.decode("ascii", "backslashreplace"))
        # Without the ``__new__`` of named tuples, a function in Python for each.
        self.target = tuple.__new__(Target, (kind, authority.host, authority.port))
        return self.target

    def overlook(self, reason: Reason) -> None:
        """Note what report mode lets pass: before the decision the request, after it the tunnel."""
        if self._decided:
            self.would_end = reason
        else:
            self.would_refuse = reason
        if self.target is not None:
            self._usage.overlook(_refused(reason, self._named(self.target)))

    def targets(self) -> list[Target]:
        """Everything that it was asked to lead to: the target, and in its port what the ClientHello names."""
        if self.target is None:
            return []
        return [self.target] if self.server_name is None else [self.target, self._named(self.target)]

    def allow(self, soon: Callable[[Callable[[], None]], object] | None = None) -> None:
        """Write the decision line of a request that may go on; one that is sent again has it already.

        Args:
            soon: Calls a function in the next turn of the loop: the line is written then, or with the close
                line if that is earlier, and what is done about the request does not wait for it.
        """
        if not self._decided:
            self._decided = True
            usage = self._usage  # as ``decide`` does, without the call: this is the way of every request
            usage.requests += 1
            usage.decisions[ALLOW] += 1
            if soon is None:
                self._journal.decision(self)
            else:
                self._told = False
                soon(self._tell)

    def refuse(self, reason: Reason) -> None:
        """Write the decision line of a refusal, unless the request was decided before."""
        if not self._decided:
            self._decided = True
            self.refused = reason
            self._usage.decide(reason.token)
            self._journal.decision(self)
            if self.target is not None:
                self._keep_refusal(reason, self.target)

    def refuse_tunnel(self, reason: Reason) -> None:
        """Count the refusal of a tunnel that was decided before, under the server name if there is one."""
        self._usage.refuse_tunnel(reason.token)
        if self.target is not None:
            self._keep_refusal(reason, self._named(self.target))

    def finish(self, reason: Reason) -> None:
        """Write the close line, once; a request that was never decided is refused first."""
        if self.end is not None:
            return
        self.end = reason
        self.duration_s = duration_s = self._clock() - self._started
        if not self._decided:
            self.refuse(reason)
        usage, target = self._usage, self.target
        if self.address is not None:
            authority = "" if target is None else _authority_text(target.host, target.port)
            usage.add(authority, self.bytes_up, self.bytes_down)
        elif self.refused is None and target is not None and reason is not DONE:
            usage.fail(_refused(reason, target))
        if not self._told:
            self._tell()
        usage.ends[reason.token] += 1
        usage.duration_s += duration_s
        if self.connect_s or self.dns_s:  # which a kept connection has not
            usage.connect_s += self.connect_s
            usage.dns_s += self.dns_s
        self._journal.close(self)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._journal.decision(self)

    def _named(self, target: Target) -> Target:
        """Put the server name, if there is one, in the place of the host asked for."""
        return target if self.server_name is None else target._replace(host=self.server_name)

    def _keep_refusal(self, reason: Reason, target: Target) -> None:
        self._usage.refuse(
            _refused(reason, target),
            {
                "id": self.id,
                "kind": target.kind.value,
                "method": self.method,
                "host": bare_host(target.host),
                "port": target.port,
                "reason": reason.token,
            },
        )


# Jobs talk to few hosts again and again.
@lru_cache(maxsize=1024)
def _authority_text(host: Host, port: int) -> str:
    return str(Authority(host, port))


def _refused(reason: Reason, target: Target) -> Refused:
    return Refused(_authority_text(target.host, target.port), reason.token, target.kind.value)
