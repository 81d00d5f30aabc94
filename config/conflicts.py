"""What two jobs, or a job and the gateway, cannot both have: an id, a listener, a source network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .convert import Problem
from .gateway import ListenSettings
from .job_readers import network_text
from .networks import Network, NetworkMap
from .settings import JobSettings


class Claim(NamedTuple):
    """What a job has that no other may have.

    Attributes:
        place: Where it is said: ``job[2]``.
        listen: Canonical text, or ``""``.
        clients: Known by source where it has no listener of its own.
        has_token: It must show a token besides.
    """

    place: str
    job_id: str
    listen: str
    netns: str
    clients: Sequence[Network]
    has_token: bool

    @classmethod
    def of(cls, job: JobSettings) -> Claim:
        """Say what a job claims that was read already."""
        return cls(f'job "{job.id}"', job.id, job.listen, job.netns, job.clients, job.token_hash is not None)


def conflicts(claims: Sequence[Claim]) -> list[Problem]:
    """Find the claims of jobs that an earlier job has made already.

    Port 0 is a free one each time, and one address is another one in each namespace.
    Two jobs that must show tokens may share a network; otherwise who leaves its token
    out would be the other job.
    """
    return _ids(claims) + _listeners(claims) + _networks(claims)


def job_conflicts(job: JobSettings, others: Iterable[JobSettings], listen: ListenSettings) -> list[Problem]:
    """Find what one more job cannot have, because other jobs or the gateway have it.

    Args:
        job: The new one, or the new form of one.
        others: All jobs but that.
        listen: Where the gateway itself listens.
    """
    claim = Claim.of(job)
    found = conflicts([*map(Claim.of, others), claim])
    problems = [Problem(path.removeprefix(f"{claim.place}."), message) for path, message in found]
    key = None if job.netns else {text: key for key, text in _places(listen)}.get(job.listen)
    if key is not None:
        problems.append(Problem("listen", f'"{job.listen}" is {key} of the gateway already'))
    if listen.workers > 1 and job.max_members:
        problems.append(
            Problem("max_members", f"not with [listen] workers = {listen.workers}: leave one out")
        )
    return problems


def listen_problems(listen: ListenSettings, jobs: Sequence[JobSettings]) -> list[Problem]:
    """Find what the gateway itself listens on twice, or on a job's listener; members of workers."""
    problems: list[Problem] = []
    taken = {job.listen: f'job "{job.id}"' for job in jobs if job.listen and not job.netns}
    for key, text in _places(listen):
        if taken.setdefault(text, key) != key:
            problems.append(Problem(key, f'"{text}" is the listener of {taken[text]} already'))
    for job in jobs if listen.workers > 1 else ():
        if job.max_members:
            message = f'several processes do not serve members: job "{job.id}" has max_members, leave one out'
            problems.append(Problem("listen.workers", message))
    return problems


def _places(listen: ListenSettings) -> list[tuple[str, str]]:
    """List where the gateway listens, by key; port 0 is a free one each time."""
    places = [("listen.control", listen.control), ("listen.metrics", listen.metrics)]
    places += [(f"listen.proxy[{index}]", where) for index, where in enumerate(listen.proxy)]
    return [(key, str(where)) for key, where in places if where is not None and not str(where).endswith(":0")]


def _ids(claims: Sequence[Claim]) -> list[Problem]:
    problems: list[Problem] = []
    first: dict[str, str] = {}
    for claim in claims:
        if claim.job_id and first.setdefault(claim.job_id, claim.place) != claim.place:
            message = f'"{claim.job_id}" is the id of {first[claim.job_id]} already'
            problems.append(Problem(f"{claim.place}.id", message))
    return problems


def _listeners(claims: Sequence[Claim]) -> list[Problem]:
    problems: list[Problem] = []
    first: dict[tuple[str, str], str] = {}
    for claim in claims:
        if not claim.listen or claim.listen.endswith(":0"):
            continue
        key = (claim.netns, claim.listen)
        if first.setdefault(key, claim.place) != claim.place:
            message = f'"{claim.listen}" is the listener of {first[key]} already'
            problems.append(Problem(f"{claim.place}.listen", message))
    return problems


def _networks(claims: Sequence[Claim]) -> list[Problem]:
    """Find overlaps, the widest networks first: of two that overlap one holds the other."""
    networks = [
        (network, index)
        for index, claim in enumerate(claims)
        if not claim.listen
        for network in claim.clients
    ]
    networks.sort(key=lambda entry: entry[0].prefixlen)
    seen: NetworkMap[tuple[int, Network]] = NetworkMap()
    problems: dict[tuple[int, int], Problem] = {}
    for network, index in networks:
        for other, wider in seen.covering(network):
            pair = (min(index, other), max(index, other))
            both_tokens = claims[index].has_token and claims[other].has_token
            if other == index or both_tokens or pair in problems:
                continue
            problems[pair] = _overlap(claims, pair, {index: network, other: wider})
        seen.add(network, (index, network))
    return [problems[pair] for pair in sorted(problems)]


def _overlap(claims: Sequence[Claim], pair: tuple[int, int], network: dict[int, Network]) -> Problem:
    first, second = pair
    own, other = (f'"{network_text(network[one])}" of job "{claims[one].job_id}"' for one in (second, first))
    message = f"{own} overlaps {other}: give each its own network, or both a token"
    return Problem(f"{claims[second].place}.clients", message)
