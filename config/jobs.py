"""Jobs of a configuration file and of the control API: from a table to settings, and back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from .conflicts import Claim, conflicts
from .convert import Problem, read_table
from .endpoints import Endpoint, UnixPath, parse_listen
from .job_readers import expires_text, network_text
from .job_table import JobTable
from .policy import Network, NodePolicy, job_problems, narrow
from .settings import JobSettings

_MISSING = (
    'missing: write where the job finds its proxy, "127.0.0.1:3128", or how it is known on the shared '
    "listeners: token or clients"
)
#: Keys that say how a job reaches its proxy; without a proxy they have no meaning.
_ENTRANCE = ("listen", "token", "clients", "netns", "peer_uids", "max_members")
#: What a member could begin anew by being forgotten.
_QUOTAS = ("max_bytes_up", "max_bytes_down", "max_duration_s")


def read_jobs(
    tables: object, node: NodePolicy, *, shared: bool = False
) -> tuple[tuple[JobSettings, ...], list[Problem]]:
    """Read all jobs of a file and check them against each other and against the node.

    Args:
        tables: What the file has under ``job``.
        node: What the node allows.
        shared: There are listeners for jobs without one of their own.

    Returns:
        The jobs without any problem, and the problems.
    """
    if not isinstance(tables, list):
        return (), [Problem("job", "expected an array of tables: write [[job]] above each job")]
    jobs: list[JobSettings] = []
    problems: list[Problem] = []
    claims: list[Claim] = []
    for index, table in enumerate(tables):
        place = f"job[{index}]"
        try:
            job, found, bad = read_table(JobTable, table)
        except ValueError as error:
            problems.append(Problem(place, str(error)))
            continue
        found += _job_problems(job, node, bad, known=_known(job), shared=shared)
        problems += [problem.below(place) for problem in found]
        claims.append(Claim(place, job.id, job.listen, job.netns, job.clients, bool(job.token)))
        if not found:
            jobs.append(_settings(job, node, job.token, _token_hash(job.token)))
    return tuple(jobs), problems + conflicts(claims)


def read_job(
    document: Mapping[str, object],
    node: NodePolicy,
    *,
    shared: bool = True,
    token_hash: bytes | None = None,
) -> tuple[JobSettings | None, list[Problem]]:
    """Read one job by itself, as the control API takes it; the token is kept as its hash alone.

    Args:
        document: A ``[[job]]`` table.
        node: What the node allows.
        shared: There are listeners for jobs without one of their own.
        token_hash: Of the token that the job has already; a ``token`` in the document
            replaces it.

    Returns:
        The job, or ``None`` and the problems.
    """
    try:
        job, problems, bad = read_table(JobTable, dict(document))
    except ValueError as error:
        return None, [Problem("job", str(error))]
    if "token" in document:
        token_hash = _token_hash(job.token)
    known = _known(job) | ({"token"} if token_hash else set())
    problems += _job_problems(job, node, bad, known=known, shared=shared)
    return (None, problems) if problems else (_settings(job, node, "", token_hash), [])


def job_document(job: JobSettings) -> dict[str, object]:
    """Write a job as the table that ``read_job`` reads, every key in it, but for the token.

    Of JSON's types alone. The rates are those that the node left of what was asked for.
    """
    policy = job.policy
    document: dict[str, object] = {
        "id": job.id,
        "listen": job.listen,
        "clients": [network_text(network) for network in job.clients],
        "domains": [str(rule) for rule in policy.domains],
        "deny": [str(rule) for rule in policy.deny],
        "network": policy.network.value,
        "rate_up": _rate(policy.rate_up),
        "rate_down": _rate(policy.rate_down),
        "max_bytes_up": job.max_bytes_up,
        "max_bytes_down": job.max_bytes_down,
        "max_duration_s": job.max_duration_s,
        "expires": "" if job.expires_at is None else expires_text(job.expires_at),
        "labels": dict(job.labels),
        "mode": "" if policy.mode is None else policy.mode.value,
        "netns": job.netns,
        "peer_uids": sorted(job.peer_uids),
        "tls": policy.tls.value,
        "job_header": job.job_header,
        "max_connections": job.max_connections,
        "max_members": job.max_members,
        "env": dict(job.env),
    }
    if job.burst_bytes is not None:
        document["burst"] = job.burst_bytes
    return document


def _settings(job: JobTable, node: NodePolicy, token: str, token_hash: bytes | None) -> JobSettings:
    return JobSettings(
        id=job.id,
        policy=narrow(job.policy, node),
        listen=job.listen,
        burst_bytes=job.burst,
        job_header=job.job_header,
        max_connections=job.max_connections,
        env=job.env,
        labels=job.labels,
        token=token,
        token_hash=token_hash,
        clients=job.clients,
        max_bytes_up=job.max_bytes_up,
        max_bytes_down=job.max_bytes_down,
        max_duration_s=job.max_duration_s,
        expires_at=job.expires,
        netns=job.netns,
        peer_uids=job.peer_uids,
        max_members=job.max_members,
    )


def _token_hash(token: str) -> bytes | None:
    return hashlib.sha256(token.encode()).digest() if token else None


def _rate(rate: float) -> float | int | str:
    if math.isinf(rate):
        return "unlimited"
    return int(rate) if rate.is_integer() else rate


def _known(job: JobTable) -> set[str]:
    """List the ways into the gate that a job has."""
    return {key for key in _ENTRANCE if getattr(job, key)}


def _job_problems(
    job: JobTable, node: NodePolicy, bad: frozenset[str], *, known: set[str], shared: bool
) -> list[Problem]:
    """Find what is wrong with a job although its values are well-formed.

    Args:
        job: The job, defaults in place of bad values.
        node: What the node allows.
        bad: Keys whose values were wrong; what depends on them stays unsaid.
        known: Keys of ``_ENTRANCE`` that have a value.
        shared: There are listeners for jobs without one of their own.
    """
    problems = [
        Problem(problem.keys[0], problem.message)
        for problem in job_problems(job.policy, node)
        if bad.isdisjoint(problem.keys)
    ]
    if not job.id and "id" not in bad:
        problems.append(Problem("id", "missing: every job has an id"))
    if "network" in bad:
        return problems
    if job.network is not Network.HTTP:
        message = f'network "{job.network}" has no listener: leave it out'
        return problems + [Problem(key, message) for key in _ENTRANCE if key in known]
    if bad.isdisjoint(_ENTRANCE):
        problems += _entrance_problems(job, known, shared=shared)
    return problems + _member_problems(job, known, bad)


def _entrance_problems(job: JobTable, known: set[str], *, shared: bool) -> list[Problem]:
    """Find what contradicts itself in how a job reaches its proxy."""
    where = parse_listen(job.listen) if job.listen else None
    problems: list[Problem] = []
    if where is None and known.isdisjoint(("token", "clients")):
        problems.append(Problem("listen", _MISSING))
    elif where is None and not shared:
        key = "token" if "token" in known else "clients"
        message = (
            'the job has no listener of its own and there is no shared one: add listen, or "[listen] proxy"'
        )
        problems.append(Problem(key, message))
    if "netns" in known and not isinstance(where, Endpoint):
        message = 'only for a TCP listener of the job\'s own: add listen = "127.0.0.1:3128", or leave it out'
        problems.append(Problem("netns", message))
    if "peer_uids" in known and not isinstance(where, UnixPath):
        message = 'only for a unix listener of the job\'s own: add listen = "unix:/path", or leave it out'
        problems.append(Problem("peer_uids", message))
    if "clients" in known and isinstance(where, UnixPath):
        problems.append(Problem("clients", "a unix listener has no source addresses: leave it out"))
    return problems


def _member_problems(job: JobTable, known: set[str], bad: frozenset[str]) -> list[Problem]:
    """Find what a job that stands for many cannot have."""
    if "max_members" not in known or not bad.isdisjoint(("token", "listen", *_QUOTAS)):
        return []
    if "token" not in known or job.listen:
        message = "members show the job's token on the shared listeners: add token and leave listen out"
        return [Problem("max_members", message)]
    message = "not for a job with max_members: a member that was forgotten would begin anew"
    return [Problem(key, message) for key in _QUOTAS if getattr(job, key)]
