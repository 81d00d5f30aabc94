"""``jobgate env``: the variables of a job, for a shell or a container."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from jobgate.config.endpoints import Endpoint, UnixPath, parse_listen
from jobgate.config.policy import Network
from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway import variables
from jobgate.gateway.variables import job_variables, parse_address, with_token
from jobgate.launch.environment import JAVA_OPTIONS

from .control import ask, control_options, is_of_gateway
from .options import config_option, load_settings

if TYPE_CHECKING:
    from jobgate.client import Client
    from jobgate.client.values import Variables


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines for ``eval`` in a POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def as_docker(variables: Mapping[str, str]) -> str:
    """Lines for ``docker run --env-file``, which takes values literally.

    Raises:
        click.UsageError: A value of more than one line, which that format cannot carry.
    """
    for name, value in variables.items():
        if "\n" in value:
            raise click.UsageError(f"{name} has more than one line: docker's --env-file cannot carry it")
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def as_dotenv(variables: Mapping[str, str]) -> str:
    """Lines with double-quoted values, in which backslash, quote, dollar and newline are escaped."""
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n"})
    return "\n".join(f'{name}="{value.translate(escapes)}"' for name, value in variables.items())


def as_json(variables: Mapping[str, str]) -> str:
    """One object."""
    return json.dumps(dict(variables), indent=2)


FORMATS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "shell": as_shell,
    "docker": as_docker,
    "json": as_json,
    "dotenv": as_dotenv,
}


def find_job(settings: Settings, job_id: str) -> JobSettings:
    """Find a job that has a gate.

    Raises:
        click.UsageError: No such job, or one without a gate.
    """
    for job in settings.jobs:
        if job.id == job_id:
            if job.policy.network is not Network.HTTP:
                raise click.UsageError(f'job "{job_id}" has network "{job.policy.network}": no variables')
            return job
    known = ", ".join(job.id for job in settings.jobs) or "none"
    raise click.UsageError(f'no job "{job_id}" in the configuration; it has: {known}')


def address_for_job(
    job: JobSettings, given: str | None, shared: Sequence[Endpoint | UnixPath] = ()
) -> tuple[str, int]:
    """Say how the job reaches its gate: as given, else where its listener is, else a shared one.

    Raises:
        click.UsageError: No listener tells.
    """
    try:
        if given:
            return parse_address(given)
        return variables.address_for_job(job.id, [parse_listen(job.listen)] if job.listen else shared)
    except variables.NoAddress as error:
        raise click.UsageError(f"{error}: add --address HOST:PORT as the job sees the gate") from error
    except ValueError as error:
        raise click.UsageError(f"--address: {error}") from error


def variables_from_file(
    config: str, job_id: str, address: str | None, token: str | None, java_options: str
) -> dict[str, str]:
    """The variables of a job of a configuration file.

    Raises:
        click.UsageError: The file is wrong, or has no such job with a gate.
    """
    settings = load_settings(config)
    job = find_job(settings, job_id)
    where = address_for_job(job, address, settings.listen.proxy)
    return job_variables(settings, job, where, token=token or job.token, java_options=java_options)


def variables_from_gateway(
    control: str, token_file: str | None, job_id: str, address: str | None, token: str | None
) -> dict[str, str]:
    """The variables of a job of a running gateway, which may know its token by the hash alone.

    Raises:
        click.UsageError: The token is needed.
        click.ClickException: The gateway has no such job, or does not answer.
    """

    async def find(gateway: Client) -> Variables:
        return await gateway.variables(job_id, address=address or "")

    found = ask(control, token_file, find)
    if found.complete:
        return dict(found.variables)
    if token is None:
        raise click.UsageError(
            f'the gateway knows only the hash of the token of "{job_id}": add --token TOKEN'
        )
    return {name: with_token(value, job_id, token) for name, value in found.variables.items()}


@click.command(epilog='Example: eval "$(jobgate env train-42 --config jobgate.toml)"')
@click.argument("job", metavar="JOB")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="shell",
    show_default=True,
    envvar="JOBGATE_FORMAT",
    help="docker is for --env-file.",
)
@click.option("--address", metavar="HOST:PORT", help="The gate as the job sees it; default: its listener.")
@click.option("--token", metavar="TOKEN", help="The job's, where the gateway has made one.")
@control_options
@click.pass_context
def command(
    ctx: click.Context,
    job: str,
    config: str | None,
    form: str,
    address: str | None,
    token: str | None,
    control: str,
    control_token_file: str | None,
) -> None:
    """Print the variables by which JOB finds its gate.

    JOB is one of the configuration file, without --config (or if JOBGATE_CONFIG has no such job)
    one of the running gateway.
    """
    # Only a shell goes on with the variables that we see; a container has its own.
    java_options = os.environ.get(JAVA_OPTIONS, "") if form == "shell" else ""
    if config is None or is_of_gateway(ctx, load_settings(config), job):
        found = variables_from_gateway(control, control_token_file, job, address, token)
        found[JAVA_OPTIONS] = " ".join(filter(None, (java_options, found[JAVA_OPTIONS])))
    else:
        found = variables_from_file(config, job, address, token, java_options)
    click.echo(FORMATS[form](found))
