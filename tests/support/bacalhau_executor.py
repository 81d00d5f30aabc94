"""What Bacalhau's Docker executor does for a job of network ``http``, step by step."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event

from .docker_engine import BASE_IMAGE, Engine

#: A constant of the executor: it is not pulled where a local image has this name.
GATEWAY_IMAGE = "ghcr.io/bacalhau-project/http-gateway:v0.3.17"
NODE = "n-test"
POLL_S = 1.0
PATIENCE_POLLS = 60
_numbers = count(1)


class GatewayFailedError(Exception):
    """``gateway container failed to start``, with what the container had said."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Execution:
    """A job with its gateway, before and while it runs.

    Attributes:
        name: Of the gateway's container and of the network, without their suffixes.
        address: Of the gateway, on the job's network.
        statuses: What each poll of its health found.
    """

    docker: Engine
    name: str
    address: str
    labels: tuple[str, ...]
    statuses: tuple[str, ...]

    @property
    def variables(self) -> list[str]:
        """What the executor appends to the variables that the user gave: these win."""
        return [f"--env={name}={self.address}:8080" for name in ("http_proxy", "https_proxy")]

    def run(self, *command: str, options: Sequence[str] = ()) -> Outcome:
        """Run the job's container on its network, and nowhere else."""
        return run_job(
            self.docker, f"{self.name}-network", *command, options=[*options, *self.variables, *self.labels]
        )

    def log(self) -> list[dict[str, object]]:
        """The lines that the gateway has written to standard output."""
        lines = self.docker.docker("logs", f"{self.name}-gateway").splitlines()
        return [json.loads(line) for line in lines]


def run_job(docker: Engine, network: str, *command: str, options: Sequence[str] = ()) -> Outcome:
    """Run a container with curl in it to its end."""
    job = docker.client("run", "--rm", f"--network={network}", *options, BASE_IMAGE, *command)
    try:
        out, err = job.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        job.kill()
        job.communicate()
        raise
    return Outcome(job.returncode, out, err)


@contextmanager
def execution(
    docker: Engine, domains: Sequence[str], *, job_id: str = "j-4711", options: Sequence[str] = ()
) -> Iterator[Execution]:
    """Do all that comes before the job; afterwards what ``destroy`` does.

    Args:
        docker: The engine.
        domains: Of the job, raw: the executor would have reduced them.
        job_id: Of the job.
        options: Further ones of ``docker create`` for the gateway; a variable given here wins.

    Raises:
        GatewayFailedError: It was unhealthy.
    """
    execution_id = f"e-{next(_numbers)}"
    name = f"bacalhau-{NODE}-{job_id}-{execution_id}"
    labels = (
        f"--label=bacalhau-executor={NODE}",
        f"--label=bacalhau-jobID={job_id}",
        f"--label=bacalhau-executionID={execution_id}",
    )
    try:
        docker.docker("image", "inspect", GATEWAY_IMAGE)  # 1. PullImage finds it
        docker.docker(  # 2.
            "network", "create", "--driver=bridge", "--internal", "--attachable", *labels, f"{name}-network"
        )
        format_ = "{{(index .IPAM.Config 0).Subnet}}"  # 3.
        subnet = docker.docker("network", "inspect", "--format", format_, f"{name}-network")
        docker.docker(  # 5.
            "create",
            f"--name={name}-gateway",
            "--network=bridge",
            "--cap-add=NET_ADMIN",
            "--add-host=host.docker.internal:host-gateway",
            f"--env=BACALHAU_HTTP_CLIENTS={json.dumps([subnet])}",
            f"--env=BACALHAU_HTTP_DOMAINS={json.dumps(list(domains))}",
            f"--env=BACALHAU_JOB_ID={job_id}",
            f"--env=BACALHAU_EXECUTION_ID={execution_id}",
            *options,
            *labels,
            GATEWAY_IMAGE,
        )
        docker.docker("network", "connect", f"{name}-network", f"{name}-gateway")  # 6.
        docker.docker("start", f"{name}-gateway")
        statuses = _polled(docker, f"{name}-gateway")  # 7.
        format_ = f'{{{{(index .NetworkSettings.Networks "{name}-network").IPAddress}}}}'  # 8.
        address = docker.docker("inspect", "--format", format_, f"{name}-gateway")
        assert address, "gateway does not appear to be attached to internal network"
        yield Execution(docker, name, address, labels, statuses)
    finally:
        destroy(docker, execution_id)


def destroy(docker: Engine, execution_id: str) -> None:
    """Remove the containers by force (SIGKILL), then the networks."""
    chosen = f"--filter=label=bacalhau-executionID={execution_id}"
    for containers in docker.docker("ps", "--all", "--quiet", chosen).split():
        docker.docker("rm", "--force", containers)
    for networks in docker.docker("network", "ls", "--quiet", chosen).split():
        docker.docker("network", "rm", networks)


def leftovers(docker: Engine) -> str:
    """What of any execution is still there."""
    chosen = f"--filter=label=bacalhau-executor={NODE}"
    return docker.docker("ps", "--all", "--quiet", chosen) + docker.docker("network", "ls", "--quiet", chosen)


def _polled(docker: Engine, container: str) -> tuple[str, ...]:
    """Look at the health once a second; the executor does that without a deadline.

    Raises:
        GatewayFailedError: It is unhealthy.
    """
    pause = Event()
    statuses: list[str] = []
    while not statuses or statuses[-1] == "starting":
        if statuses:
            pause.wait(POLL_S)
        assert len(statuses) < PATIENCE_POLLS, "it hangs in starting"
        statuses.append(docker.docker("inspect", "--format", "{{.State.Health.Status}}", container))
    if statuses[-1] != "healthy":
        logs = docker.client("logs", container)
        out, err = logs.communicate(timeout=60)
        raise GatewayFailedError(out + err)
    return tuple(statuses)
