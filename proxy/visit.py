"""Whose requests one connection carries, and whether one more is served.

The first job that a request shows keeps the connection. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .credentials import credential_fields
from .entrance import Entrance
from .errors import ProxyError, Reason
from .framing import Headers
from .peer import Peer

if TYPE_CHECKING:
    from .job import Job


#: Of a connection that is counted with its job before a request of it was read.
NOTHING_SHOWN = ProxyError(Reason.AUTH)


class Visit:
    """One connection, as its requests show themselves.

    Args:
        entrance: Where it came in.
        peer: Where it comes from.
        job: Whose it is from the start; ``nobody`` where that is not known.
        nobody: Has the connections of strangers.
        adopt: Counts the connection with the job that turned out to be its own; says why nothing
            is served on it, or raises ``ProxyError``.

    Attributes:
        job: Whose the connection is.
        refusal: Why nothing is served on it: there are too many.
        stranger: Why the last request has no job, or the first one, until it is read.
        flooding: The last request was a stranger's, or one too many in this second.
    """

    __slots__ = (
        "_adopt",
        "_entrance",
        "_nobody",
        "_shown",
        "flooding",
        "job",
        "peer",
        "refusal",
        "stranger",
    )

    def __init__(
        self,
        entrance: Entrance,
        peer: Peer,
        job: Job,
        nobody: Job,
        adopt: Callable[[Job], Reason | None],
        refusal: Reason | None = None,
    ) -> None:
        self.peer = peer
        self.job = job
        self.refusal = refusal
        self.stranger: ProxyError | None = None
        self.flooding = False
        self._entrance = entrance
        self._nobody = nobody
        self._adopt = adopt
        self._shown: Headers = []

    def look(self, headers: Headers | None) -> bool:
        """Look at what the next request shows.

        Args:
            headers: Of the request; ``None`` inside a CONNECT: what that showed counts, as of now.

        Returns:
            Whether the connection belongs to another job from now on.
        """
        self.stranger = None
        if self._entrance.anyones(self.peer) is self.job:
            return False
        if headers is not None:
            self._shown = credential_fields(headers)
        try:
            job = self._entrance.identify(self.peer, self._shown)
            if job is self.job:
                return False
            if self.job is not self._nobody:
                raise ProxyError(Reason.AUTH, "This connection is another job's: open one of your own.")
            self.refusal = self._adopt(job) or self.refusal
        except ProxyError as error:
            self.stranger = error
            self.flooding = True
            return False
        self.job = job
        return True

    @property
    def is_settled(self) -> bool:
        """Whether its requests are the job's whatever they show, as long as nothing is changed."""
        return self._entrance.anyones(self.peer) is self.job

    @property
    def is_welcome(self) -> bool:
        """Whether requests are served on it, and the last one has a job."""
        return self.refusal is None and self.stranger is None

    def whose(self) -> Job:
        """Say with whom the last request is counted: a stranger's is nobody's."""
        return self.job if self.stranger is None else self._nobody

    def count(self) -> float:
        """Count a request against its job's cap; say in how many seconds one is served again, 0 for now."""
        wait_s = self.whose().requests.take()
        self.flooding = wait_s > 0
        return wait_s

    def admit(self, *, draining: bool) -> None:
        """Check that the request has a job, and the caps of the job and of the process.

        Raises:
            ProxyError: Why it is not served.
        """
        if self.stranger is not None:
            raise self.stranger
        job = self.job
        wait_s = job.requests.take()  # as ``count`` does: here it has a job
        self.flooding = wait_s > 0
        if job.gone is not None:
            raise ProxyError(job.gone)
        if self.refusal is not None:
            raise ProxyError(self.refusal, "Too many connections are open. Close some, or try again later.")
        if draining:
            raise ProxyError(Reason.DRAINING, "The gate is being stopped.")
        if wait_s:
            raise ProxyError(
                Reason.RATE, "This job sends too many requests per second.", retry_after_s=wait_s
            )
