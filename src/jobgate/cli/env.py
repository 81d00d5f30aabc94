"""``jobgate env``: the variables of a job, for a shell or a container."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping

import click

from jobgate.config.endpoints import Endpoint, parse_listen
from jobgate.config.host import host_text
from jobgate.config.policy import Network
from jobgate.config.settings import JobSettings, Settings
from jobgate.launch.environment import proxy_variables

from .options import config_option, load_settings


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


def address_for_job(job: JobSettings, given: str | None) -> tuple[str, int]:
    """Say how the job reaches its gate: as given, else where the listener is.

    Raises:
        click.UsageError: The listener does not tell.
    """
    if given:
        host, _, port = given.rpartition(":")
        if not host or not port.isdecimal():
            raise click.UsageError(f'--address: "{given}": write HOST:PORT')
        return host, int(port)
    where = parse_listen(job.listen) if job.listen else None
    if not isinstance(where, Endpoint) or where.address.is_unspecified or where.port == 0:
        shown = job.listen or "nowhere"
        raise click.UsageError(
            f'job "{job.id}" listens on {shown}: add --address HOST:PORT as the job sees the gate'
        )
    return host_text(where.address), where.port


def job_variables(
    settings: Settings, job: JobSettings, address: tuple[str, int], java_options: str
) -> dict[str, str]:
    """The proxy's variables, then the file's ``[env]``, then the job's own."""
    host, port = address
    variables = proxy_variables(host, port, no_proxy=settings.node.no_proxy, java_options=java_options)
    return {**variables, **settings.env, **job.env}


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
def command(job: str, config: str | None, form: str, address: str | None) -> None:
    """Print the variables by which JOB of the configuration file finds its gate."""
    if config is None:
        raise click.UsageError("env needs a configuration: add --config FILE")
    settings = load_settings(config)
    chosen = find_job(settings, job)
    # Only a shell goes on with the variables that we see; a container has its own.
    java_options = os.environ.get("JAVA_TOOL_OPTIONS", "") if form == "shell" else ""
    variables = job_variables(settings, chosen, address_for_job(chosen, address), java_options)
    click.echo(FORMATS[form](variables))
