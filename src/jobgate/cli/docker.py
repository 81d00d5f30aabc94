"""``jobgate docker run``: one container behind its gate, in a network that holds nothing else."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from jobgate.config.policy import Network
from jobgate.config.settings import Settings
from jobgate.integrations.docker.commands import PUBLIC, Run, java_options, start_job, without_variables
from jobgate.integrations.docker.container import ContainerJob
from jobgate.integrations.docker.engine import find_engine, held_network, removed_at_the_end, sweep
from jobgate.integrations.docker.options import CommandLine, CommandLineError, parse
from jobgate.integrations.docker.owner import Owner
from jobgate.integrations.docker.safety import judge
from jobgate.launch.errors import LaunchError
from jobgate.launch.launcher import wait_for
from jobgate.launch.namespaces import PROXY_ADDRESS, PROXY_PORT
from jobgate.launch.signals import restore_for_exec

from .env import as_docker
from .options import (
    JobOptions,
    config_option,
    file_log_option,
    job_options,
    loop_option,
    network_option,
    summary_option,
)
from .run import settings_of, show_summary

if TYPE_CHECKING:
    from jobgate.launch.serving import Account  # imports the gate

DEFAULT_IMAGE = "jobgate"
#: Podman hands these on to its containers: a socket of the host's service manager, and open files of ours.
SERVICE_MANAGER_VARIABLES = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@click.group(
    epilog="Example: jobgate docker run --domain .example.com -- alpine wget -qO- https://www.example.com/"
)
def command() -> None:
    """Containers of Docker or Podman behind a gate."""


@command.command(
    "run",
    epilog="Example: jobgate docker run --domain .example.com -- -v ./data:/data alpine "
    "wget -P /data https://www.example.com/",
    context_settings={"allow_interspersed_args": False, "auto_envvar_prefix": "JOBGATE"},
    options_metavar="[OPTIONS] --",
)
@network_option
@job_options
@config_option
@summary_option
@file_log_option
@click.option(
    "--engine",
    metavar="CLIENT",
    default="docker",
    show_default=True,
    help="docker, podman, or a path of either.",
)
@click.option(
    "--gate-image",
    metavar="IMAGE",
    default=DEFAULT_IMAGE,
    show_default=True,
    help="Holds the job's network; any image with a python3. Never pulled.",
)
@loop_option
@click.argument(
    "words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[DOCKER OPTIONS] IMAGE [CMD]..."
)
def run_command(
    options: JobOptions,
    config: str | None,
    summary: bool,
    log: str | None,
    engine: str,
    gate_image: str,
    loop: str,
    words: tuple[str, ...],
) -> int:
    """Run a container in a network of its own, where the only thing is its proxy.

    What follows -- is what would follow `docker run`. Options that would undo the isolation
    are refused. The container is removed at the end, and the exit code is that of docker run.
    """
    settings = settings_of(options, config)
    try:
        exit_code, account = _run(settings, words, engine, gate_image, log=log, loop=loop)
    except LaunchError as error:
        click.echo(f"jobgate: {error}", err=True)
        return error.exit_code
    if summary and account is not None:
        show_summary(account)
    return exit_code


def read_line(words: tuple[str, ...]) -> CommandLine:
    """Read what would follow ``docker run``.

    Raises:
        click.UsageError: It cannot be read, or options of it would undo the isolation.
    """
    try:
        line = parse(words)
    except CommandLineError as error:
        raise click.UsageError(str(error)) from error
    problems = judge(line)
    if problems:
        raise click.UsageError("\n".join(problems))
    return line


def job_variables(settings: Settings, line: CommandLine) -> dict[str, str]:
    """The variables of the container."""
    from jobgate.gateway.variables import job_variables  # for network http only

    (job,) = settings.jobs
    java = java_options(line, os.environ)
    return job_variables(settings, job, (PROXY_ADDRESS, PROXY_PORT), token="", java_options=java)


def _run(
    settings: Settings, words: tuple[str, ...], engine: str, gate_image: str, *, log: str | None, loop: str
) -> tuple[int, Account | None]:
    (job,) = settings.jobs
    if job.policy.network is Network.FULL:
        _become_client(find_engine(engine), words)
    line = read_line(words)
    _forget_service_manager(os.environ)
    owner = Owner.this_process()
    run = Run(find_engine(engine), secrets.token_hex(8), str(owner))
    sweep(run.engine, owner)
    with removed_at_the_end(run) as private, held_network(run, gate_image, line, private) as (run, proxy):
        if job.policy.network is Network.NONE:
            with ContainerJob(start_job(run, line)) as container:
                container.begin()
                return wait_for(container), None
        return _run_behind_gate(run, line, proxy, settings, private, log=log, loop=loop)


def _forget_service_manager(environment: MutableMapping[str, str]) -> None:
    """Keep from the client, and so from the job, what systemd gave to this process."""
    for name in SERVICE_MANAGER_VARIABLES:
        environment.pop(name, None)


def _run_behind_gate(
    run: Run,
    line: CommandLine,
    proxy: socket.socket,
    settings: Settings,
    folder: Path,
    *,
    log: str | None,
    loop: str,
) -> tuple[int, Account]:
    variables = job_variables(settings, line)
    public = {name: value for name, value in variables.items() if name in PUBLIC}
    private = {name: value for name, value in variables.items() if name not in PUBLIC}
    with _private_file(as_docker(private), folder) as env_file:
        from .run_gate import serve_job  # what is wrong before needs no gate

        line = without_variables(line, variables)
        command = start_job(run, line, variables=public, env_file=env_file)
        with ContainerJob(command) as container:
            account = serve_job(container, proxy, settings, log=log, loop=loop)
            return wait_for(container), account


@contextmanager
def _private_file(text: str, folder: Path) -> Iterator[Path]:
    """A file that nobody else can read, while the context is entered."""
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".env") as file:
        file.write(text)
        file.flush()
        yield Path(file.name)


def _become_client(engine: str, words: tuple[str, ...]) -> NoReturn:
    """Stand aside: network ``full``."""
    restore_for_exec({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())})
    os.execv(engine, [engine, "run", *words])  # noqa: S606  the user's own command
