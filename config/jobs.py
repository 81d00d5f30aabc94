"""The ``[[job]]`` entries of a configuration file, each alone and all together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from . import readers
from .convert import Problem, read_table
from .policy import JobPolicy, Network, NodePolicy, Tls, job_problems, narrow
from .rates import DEFAULT_RATE
from .readers import Reader, integer
from .rules import NO_RULES, RuleSet
from .settings import JobSettings


@dataclass(frozen=True, slots=True)
class JobTable:
    """The keys of a ``[[job]]``, as they stand in the file.

    Attributes:
        burst: Bytes. Below 4096 a bucket could not hold one full network packet of
            every usual size and the rate would not be reached.
    """

    id: Annotated[str, Reader(readers.read_job_id)] = ""
    listen: Annotated[str, Reader(readers.read_listen)] = ""
    domains: Annotated[RuleSet, Reader(readers.read_rules)] = NO_RULES
    deny: Annotated[RuleSet, Reader(readers.read_rules)] = NO_RULES
    network: Annotated[Network, Reader(readers.read_network)] = Network.NONE
    rate_up: Annotated[float, Reader(readers.read_rate)] = DEFAULT_RATE
    rate_down: Annotated[float, Reader(readers.read_rate)] = DEFAULT_RATE
    burst: Annotated[int | None, Reader(integer(4096, 1 << 30))] = None
    tls: Annotated[Tls, Reader(readers.read_tls)] = Tls.REQUIRE
    job_header: Annotated[str, Reader(readers.read_job_header)] = ""
    max_connections: Annotated[int, Reader(integer(1, 1_000_000))] = 256
    env: Annotated[Mapping[str, str], Reader(readers.read_environment)] = field(default_factory=dict)
    labels: Annotated[Mapping[str, str], Reader(readers.read_labels)] = field(default_factory=dict)

    @property
    def policy(self) -> JobPolicy:
        """The part that decisions are made with."""
        return JobPolicy(self.network, self.domains, self.deny, self.rate_up, self.rate_down, self.tls)


def read_jobs(tables: object, node: NodePolicy) -> tuple[tuple[JobSettings, ...], list[Problem]]:
    """Read all jobs of a file and check them against each other and against the node.

    Returns:
        The jobs without any problem, and the problems.
    """
    if not isinstance(tables, list):
        return (), [Problem("job", "expected an array of tables: write [[job]] above each job")]
    jobs: list[JobSettings] = []
    problems: list[Problem] = []
    sound: list[tuple[int, JobTable]] = []
    for index, table in enumerate(tables):
        try:
            job, found, bad = read_table(JobTable, table)
        except ValueError as error:
            problems.append(Problem(f"job[{index}]", str(error)))
            continue
        found += _job_problems(job, node, bad)
        problems += [problem.below(f"job[{index}]") for problem in found]
        sound.append((index, job))
        if not found:
            jobs.append(_settings(job, node))
    return tuple(jobs), problems + _duplicates(sound)


def _settings(job: JobTable, node: NodePolicy) -> JobSettings:
    return JobSettings(
        id=job.id,
        policy=narrow(job.policy, node),
        listen=job.listen,
        burst_bytes=job.burst,
        job_header=job.job_header,
        max_connections=job.max_connections,
        env=job.env,
        labels=job.labels,
    )


def _job_problems(job: JobTable, node: NodePolicy, bad: frozenset[str]) -> list[Problem]:
    """Find what is wrong with a job although its values are well-formed.

    Args:
        job: The job, defaults in place of bad values.
        node: What the node allows.
        bad: Keys whose values were wrong; what depends on them stays unsaid.
    """
    problems = [
        Problem(problem.keys[0], problem.message)
        for problem in job_problems(job.policy, node)
        if bad.isdisjoint(problem.keys)
    ]
    if not job.id and "id" not in bad:
        problems.append(Problem("id", "missing: every job has an id"))
    if bad.isdisjoint(("network", "listen")):
        if job.network is Network.HTTP and not job.listen:
            problems.append(
                Problem("listen", 'missing: write where the job finds its proxy, "127.0.0.1:3128"')
            )
        if job.network is not Network.HTTP and job.listen:
            problems.append(Problem("listen", f'network "{job.network}" has no listener: leave it out'))
    return problems


def _duplicates(jobs: Sequence[tuple[int, JobTable]]) -> list[Problem]:
    """Find jobs with one id, and listeners at one address; port 0 is a free one each time."""
    problems: list[Problem] = []
    first_by_id: dict[str, int] = {}
    first_by_listen: dict[str, int] = {}
    for index, job in jobs:
        if job.id and first_by_id.setdefault(job.id, index) != index:
            message = f'"{job.id}" is the id of job[{first_by_id[job.id]}] already'
            problems.append(Problem(f"job[{index}].id", message))
        if not job.listen or job.listen.endswith(":0"):
            continue
        if first_by_listen.setdefault(job.listen, index) != index:
            message = f'"{job.listen}" is the listener of job[{first_by_listen[job.listen]}] already'
            problems.append(Problem(f"job[{index}].listen", message))
    return problems
