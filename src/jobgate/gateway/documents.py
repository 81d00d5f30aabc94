"""Jobs of the control API as documents: read, checked against node and neighbours, patched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from jobgate.config.conflicts import job_conflicts
from jobgate.config.convert import Problem
from jobgate.config.jobs import read_job
from jobgate.config.policy import Network, NodePolicy
from jobgate.config.settings import JobSettings, Settings

from .stored import StoredJob, StoreError
from .views import JobProblems

#: Accepts every job that is well-formed.
_ANY_NODE = NodePolicy(networks=tuple(Network))


def read_asked(
    job_id: str,
    document: Mapping[str, object],
    gateway: Settings,
    others: Iterable[JobSettings],
    token_hash: bytes | None = None,
) -> JobSettings:
    """Read a job as it was asked for: what the node lowers of it now may be raised again later.

    Args:
        job_id: The document may repeat it, and may not contradict it.
        document: A ``[[job]]`` table.
        gateway: Its node accepts the job, its listeners are not the job's.
        others: All other jobs.
        token_hash: Of the token that the job has already.

    Raises:
        JobProblems: All that is wrong with it.
    """
    if document.get("id", job_id) != job_id:
        raise JobProblems([Problem("id", f'the job is "{job_id}": leave the id out, or write that one')])
    whole = {**document, "id": job_id}
    shared = bool(gateway.listen.proxy)
    _, problems = read_job(whole, gateway.node.policy, shared=shared, token_hash=token_hash)
    asked, _ = read_job(whole, _ANY_NODE, shared=shared, token_hash=token_hash)
    if asked is not None:
        problems += job_conflicts(asked, rivals(asked, others), gateway.listen)
    if problems or asked is None:
        raise JobProblems(problems)
    return asked


def rivals(asked: JobSettings, others: Iterable[JobSettings]) -> Iterator[JobSettings]:
    """Find the jobs that can be in the way of one at all: comparing it with a thousand takes milliseconds."""
    for other in others:
        if asked.listen:
            if (
                other.listen == asked.listen
                and other.netns == asked.netns
                and not asked.listen.endswith(":0")
            ):
                yield other
        elif asked.clients and other.clients and not other.listen:
            yield other


def cannot_listen(error: Exception) -> JobProblems:
    """The problem of a job whose listener cannot be opened."""
    return JobProblems([Problem("listen", str(error))])


def read_kept(kept: StoredJob, path: str) -> JobSettings:
    """Read a job that was accepted once; what the node allows of it now is another question.

    Raises:
        StoreError: This program did not write it.
    """
    asked, problems = read_job(kept.document, _ANY_NODE, shared=True, token_hash=kept.token_hash)
    if asked is None:
        found = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        raise StoreError(
            f'cannot read job "{kept.id}" in {path}: {found}: run the program that wrote it, or put back '
            "a copy from before it"
        )
    return asked


def merged(document: object, patch: Mapping[str, object]) -> dict[str, object]:
    """Apply a merge patch: null removes a key, a table is merged, anything else replaces.

    Source: RFC 7396 §2.
    """
    result = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key), value)
        else:
            result[key] = value
    return result
