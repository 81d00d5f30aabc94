"""``jobgate serve``: many jobs in one process."""

from __future__ import annotations

import os

import click

from jobgate.config.policy import Network
from jobgate.config.settings import Settings
from jobgate.gateway.activation import activated_sockets
from jobgate.gateway.listeners import ListenError
from jobgate.gateway.service import Service
from jobgate.gateway.upgrade import upgrade_path

from .options import config_option, load_settings, log_option, loop_option
from .running import run_until_stopped


def require_work(settings: Settings) -> None:
    """Refuse a configuration that could never serve anybody.

    Raises:
        click.UsageError: It has no job behind a gate, and nobody can add one.
    """
    if settings.listen.control is None and not any(
        job.policy.network is Network.HTTP for job in settings.jobs
    ):
        raise click.UsageError(
            'nothing to serve: the configuration has no [[job]] with network = "http", and without '
            "[listen] control nobody can add one"
        )


@click.command(epilog="Example: jobgate serve --config /etc/jobgate.toml")
@config_option
@click.option("--watch", is_flag=True, help="Read the configuration again when the file has changed.")
@click.option(
    "--take-over",
    is_flag=True,
    envvar="JOBGATE_TAKE_OVER",
    help="Take over from the gateway that runs, if there is one: it ends with its last connection.",
)
@log_option
@loop_option
def command(config: str | None, watch: bool, take_over: bool, log: str | None, loop: str) -> None:
    """Serve every job of the configuration file, and those that the control API adds.

    Writes the decision log (JSON lines) to standard output, or where --log or [log] path
    says; its first line is `ready`. SIGTERM drains, a second one ends; SIGHUP opens the
    log anew and reads the configuration again: a file that is wrong changes nothing.
    """
    if config is None:
        raise click.UsageError("serve needs a configuration: add --config FILE")
    settings = load_settings(config)
    require_work(settings)
    if take_over and upgrade_path(settings.listen.control) is None:
        raise click.UsageError("--take-over: goes by a unix socket beside [listen] control: give that a path")
    try:
        activated = activated_sockets(os.environ)
    except ListenError as error:
        raise click.ClickException(str(error)) from error
    service = Service(
        settings, config_path=config, watch=watch, gateway=True, take_over=take_over, activated=activated
    )
    run_until_stopped(service, log=log, loop=loop)
