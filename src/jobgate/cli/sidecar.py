"""``jobgate sidecar``: the gate of one job, beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import click

from jobgate.config.endpoints import Endpoint, UnixPath, parse_listen
from jobgate.config.policy import Network
from jobgate.gateway.routes import own_route_interfaces
from jobgate.gateway.service import Service

from .options import (
    JobOptions,
    config_option,
    job_options,
    load_settings,
    log_option,
    loop_option,
    settings_with_job,
)
from .running import run_until_stopped

DEFAULT_LISTEN = "127.0.0.1:3128"


def shares_namespace(where: Endpoint | UnixPath) -> bool:
    """Say whether the job must be in our own network namespace to reach this listener.

    Only a loopback address means that. Through any other address, or a path, the job is
    reached from elsewhere, and what else its namespace can reach is not ours to see.
    """
    return isinstance(where, Endpoint) and where.address.is_loopback


def listen_option(text: str | None) -> str:
    """Read ``--listen`` into canonical text; ``""`` where it was not given.

    Raises:
        click.UsageError: Not a place to listen.
    """
    if not text:
        return ""
    try:
        return str(parse_listen(text))
    except ValueError as error:
        raise click.UsageError(f'--listen: "{text}": {error}') from error


def lockdown_missing() -> str:
    """Say why no lockdown holds everybody but us in this namespace; ``""`` where one does."""
    from jobgate.gateway.lockdown import missing  # only where there is a way out

    return missing(os.geteuid())


def require_isolation(
    where: Endpoint | UnixPath, interfaces: list[str], why_not_locked: Callable[[], str]
) -> None:
    """Refuse to guard a job that can go around its gate.

    Raises:
        click.ClickException: The job shares our namespace, and that has ways out that no lockdown closes.
    """
    if not interfaces or not shares_namespace(where):
        return
    why = why_not_locked()
    if why:
        raise click.ClickException(
            f"a job that reaches {where} shares this network namespace and could go around the gate "
            f"by {', '.join(interfaces)} (no lockdown: {why}): run `jobgate lockdown --uid {os.geteuid()}` "
            "here first, or isolate the job with `jobgate run`, or listen where only the job's own network "
            "leads, or add --advisory if the job is trusted to use its proxy"
        )


@click.command(
    epilog="Example: jobgate sidecar --listen 172.30.0.2:3128 --domain .example.com --domain example.net:8443"
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    help=f"ip:port (port 0 picks one) or unix:/path; default: the file's, else {DEFAULT_LISTEN}.",
)
@click.option("--job", metavar="ID", default="job", show_default=True, help="The job's name in the log.")
@config_option
@job_options
@log_option
@click.option("--advisory", is_flag=True, help="Serve although the job could go around the gate.")
@loop_option
def command(
    options: JobOptions,
    listen: str | None,
    job: str,
    config: str | None,
    log: str | None,
    advisory: bool,
    loop: str,
) -> None:
    """Serve one job from beside it, on a network that leads nowhere else.

    On a loopback address the job must share this network namespace. If that has a route
    to anything but itself, the job could go around the gate: sidecar then refuses to
    start, unless `jobgate lockdown` has closed it or --advisory is given.
    """
    settings = settings_with_job(load_settings(config), options, job_id=job, listen=listen_option(listen))
    (served,) = settings.jobs
    if served.policy.network is not Network.HTTP:
        raise click.UsageError("sidecar needs at least one domain: add --domain")
    served = replace(served, listen=served.listen or DEFAULT_LISTEN)
    if not advisory:
        require_isolation(parse_listen(served.listen), own_route_interfaces(), lockdown_missing)
    run_until_stopped(Service(replace(settings, jobs=(served,))), log=log, loop=loop)
