"""Whose request this is: by what it shows and by where it comes from. Pure.

A job with a listener of its own is known by that; a token or source networks narrow
who may use it. All others come in on shared listeners and are known by their token, by
their source network, or, where both are given, by both. The token of a job with
``max_members`` is that of every ``JOB.MEMBER``, too.

Whatever is missing or wrong in credentials has one answer, found in the same time:
nobody learns which jobs exist. ``unknown-job`` is for a source that no job has.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from jobgate.config.host import Address
from jobgate.config.networks import NetworkMap
from jobgate.config.settings import JobSettings

from .credentials import Credentials, credential_fields, read_credentials
from .errors import ProxyError, Reason
from .framing import Headers

#: Compared with where there is no token: no text is known whose SHA-256 this is.
_NO_HASH = bytes(32)

# A name below that of a job. The last dot parts them, since ids of jobs may have dots.
_MEMBER = re.compile(rb"([A-Za-z0-9._-]+)\.[A-Za-z0-9_-]+")
#: What is known again; more is forgotten together.
_MOST = 1024
_MOST_BYTES = 1024
#: As the id of a job.
_MAX_ID_CHARS = 128

_NO_CREDENTIALS = (
    "A job is known here by its credentials: set the proxy to http://JOB:TOKEN@HOST:PORT, "
    'as "jobgate env JOB" prints it.'
)
_NO_JOB = "No job is known by the address that this connection comes from: no request from it is served."


class _Token(NamedTuple):
    """A job on the shared listeners that shows a token.

    Attributes:
        sources: Where it must come from besides; ``None``: from anywhere.
        has_members: It is the token of its members, too.
    """

    digest: bytes
    sources: NetworkMap[str] | None
    has_members: bool


class Identities:
    """The jobs of the shared listeners, as they come and go."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, _Token] = {}
        self._sources: NetworkMap[str] = NetworkMap()  # of jobs without a token
        self._token_sources: NetworkMap[str] = NetworkMap()
        self._roaming: set[str] = set()  # jobs that show a token from anywhere
        self._without_token: set[bytes] = set()  # no member has such a name
        #: What was right, field and source, as long as no job changes. Only who has shown what is right
        #: can tell by the time that it is here.
        self._right: dict[tuple[Address | None, bytes], str] = {}

    def add(self, job: JobSettings) -> None:
        """Take a job in; of one with a listener of its own only the name is kept."""
        self._right.clear()
        if job.listen or (job.clients and job.token_hash is None):
            self._without_token.add(job.id.encode())
        if job.listen:
            return
        sources = self._sources if job.token_hash is None else self._token_sources
        for network in job.clients:
            sources.add(network, job.id)
        if job.token_hash is None:
            return
        if not job.clients:
            self._roaming.add(job.id)
        self._tokens[job.id.encode()] = _Token(
            job.token_hash, _sources_of(job), has_members=job.max_members > 0
        )

    def remove(self, job: JobSettings) -> None:
        """Forget a job that was added in this form."""
        self._right.clear()
        self._without_token.discard(job.id.encode())
        if job.listen:
            return
        sources = self._sources if job.token_hash is None else self._token_sources
        for network in job.clients:
            sources.remove(network, job.id)
        self._roaming.discard(job.id)
        self._tokens.pop(job.id.encode(), None)

    def find(self, source: Address | None, headers: Headers) -> str:
        """Say whose request this is, as ``identify``, by its fields; what comes again is known."""
        fields = credential_fields(headers)
        if len(fields) != 1 or len(fields[0][1]) > _MOST_BYTES:
            return self.identify(source, read_credentials(fields))
        shown = source, fields[0][1]
        job_id = self._right.get(shown)
        if job_id is None:
            job_id = self.identify(source, read_credentials(fields))
            if len(self._right) >= _MOST:
                self._right.clear()
            self._right[shown] = job_id
        return job_id

    def identify(self, source: Address | None, credentials: Credentials | None) -> str:
        """Say whose request this is.

        Args:
            source: Where the connection comes from; ``None``: a unix socket.
            credentials: What the request shows.

        Returns:
            The job's id, or the name of a member that there may not be yet.

        Raises:
            ProxyError: ``auth`` or ``unknown-job``.
        """
        if credentials is not None:
            return self._by_token(source, credentials)
        if source is not None:
            for job_id in self._sources.find(source):
                return job_id
        if self._roaming or (source is not None and any(self._token_sources.find(source))):
            raise ProxyError(Reason.AUTH, _NO_CREDENTIALS)
        raise ProxyError(Reason.UNKNOWN_JOB, _NO_JOB)

    def _by_token(self, source: Address | None, credentials: Credentials) -> str:
        token = self._tokens.get(credentials.job_id) or self._of_group(credentials.job_id)
        is_right = _shows(credentials, token.digest if token is not None else _NO_HASH)
        if token is None or not is_right:
            raise ProxyError(Reason.AUTH, _NO_CREDENTIALS)
        if token.sources is not None and not (source is not None and any(token.sources.find(source))):
            raise ProxyError(Reason.UNKNOWN_JOB, _NO_JOB)
        return credentials.job_id.decode("ascii")

    def _of_group(self, name: bytes) -> _Token | None:
        if name in self._without_token:  # the name of a job that this token does not open
            return None
        match = _MEMBER.fullmatch(name) if len(name) <= _MAX_ID_CHARS else None
        token = self._tokens.get(match[1]) if match is not None else None
        return token if token is not None and token.has_members else None


def check_own(job: JobSettings, source: Address | None, credentials: Credentials | None) -> None:
    """Check a request on a job's own listener: the job's token and source networks, where it has them.

    Raises:
        ProxyError: ``auth`` or ``unknown-job``.
    """
    if job.token_hash is not None:
        shown = credentials if credentials is not None else Credentials(b"", b"")
        is_right = _shows(shown, job.token_hash)
        if shown.job_id != job.id.encode() or not is_right:
            raise ProxyError(Reason.AUTH, _NO_CREDENTIALS)
    if not is_from(job, source):
        raise ProxyError(Reason.UNKNOWN_JOB, _NO_JOB)


def is_from(job: JobSettings, source: Address | None) -> bool:
    """Say whether a connection comes from where the job's do."""
    return not job.clients or (source is not None and any(source in network for network in job.clients))


def _shows(credentials: Credentials, digest: bytes) -> bool:
    """Compare a token with what is kept of the right one, in a time that tells nothing of either."""
    import hashlib  # a gate without tokens does not load OpenSSL's digests: 0.6 MB
    import hmac

    return hmac.compare_digest(hashlib.sha256(credentials.token).digest(), digest)


def _sources_of(job: JobSettings) -> NetworkMap[str] | None:
    if not job.clients:
        return None
    sources: NetworkMap[str] = NetworkMap()
    for network in job.clients:
        sources.add(network, job.id)
    return sources
