"""What a listener leads to: one job, or whichever job a request shows itself to be of. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .credentials import read_credentials
from .errors import ProxyError, Reason
from .framing import Headers
from .identity import Identities, check_own, is_from
from .members import Members
from .peer import Peer

if TYPE_CHECKING:
    from .job import Job


class Entrance(Protocol):
    """Knows whose a request is that comes in here."""

    def anyones(self, peer: Peer) -> Job | None:
        """The job that all requests of this peer are of, who is welcome; ``None``: each has to show it."""

    def welcomes(self, peer: Peer) -> bool:
        """Say whether anything is heard from this peer at all."""

    def identify(self, peer: Peer, headers: Headers) -> Job:
        """Say whose request this is.

        Raises:
            ProxyError: ``auth`` or ``unknown-job``.
        """


class OwnEntrance:
    """The listener of one job, whose settings may change meanwhile."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def anyones(self, peer: Peer) -> Job | None:
        """The job, unless it has a token or users of its own, or the peer is in none of its networks."""
        settings = self.job.settings
        if settings.token_hash is not None or settings.peer_uids:
            return None
        return self.job if not settings.clients or is_from(settings, peer.source) else None

    def welcomes(self, peer: Peer) -> bool:
        """Say whether the user at the other end of a unix socket may be there."""
        uids = self.job.settings.peer_uids
        return not uids or peer.uid in uids

    def identify(self, peer: Peer, headers: Headers) -> Job:
        """Check what the job asks of its clients."""
        if not self.welcomes(peer):
            raise ProxyError(Reason.UNKNOWN_JOB)
        check_own(self.job.settings, peer.source, read_credentials(headers))
        if self.job.gone is Reason.UNKNOWN_JOB:  # removed since it was accepted
            raise ProxyError(Reason.UNKNOWN_JOB)
        return self.job


class SharedEntrance:
    """All shared listeners of a gate, for the jobs that have none of their own."""

    def __init__(self, identities: Identities, members: Members) -> None:
        self._identities = identities
        self._members = members

    def anyones(self, peer: Peer) -> Job | None:
        """None: here every request shows its job."""
        return None

    def welcomes(self, peer: Peer) -> bool:
        """Hear everybody: what is shown is in the head."""
        return True

    def identify(self, peer: Peer, headers: Headers) -> Job:
        """Find the job by credentials, by source, or by both."""
        return self._members.find(self._identities.find(peer.source, headers))
