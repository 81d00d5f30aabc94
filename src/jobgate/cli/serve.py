"""``jobgate serve``: the jobs of a configuration file in one process."""

from __future__ import annotations

import click

from jobgate.config.policy import Network
from jobgate.config.settings import JobSettings, Settings

from .options import config_option, load_settings, log_option, loop_option
from .running import run_until_stopped


def served_jobs(settings: Settings) -> list[JobSettings]:
    """List the jobs that get a listener; ``none`` and ``full`` have no gate.

    Raises:
        click.UsageError: A job that nobody could reach, or nothing to serve.
    """
    jobs = [job for job in settings.jobs if job.policy.network is Network.HTTP]
    silent = [job.id for job in jobs if not job.listen]
    if silent:
        raise click.UsageError(f'no listener for {", ".join(silent)}: write listen = "127.0.0.1:3128"')
    if not jobs:
        raise click.UsageError('nothing to serve: the configuration has no [[job]] with network = "http"')
    return jobs


@click.command(epilog="Example: jobgate serve --config /etc/jobgate.toml")
@config_option
@log_option
@loop_option
def command(config: str | None, log: str | None, loop: str) -> None:
    """Serve every job of the configuration file, each on its own listener.

    Writes the decision log (JSON lines) to standard output, or where --log or [log] path
    says; its first line is `ready`. SIGTERM drains, a second one ends; SIGHUP opens the
    log anew.
    """
    if config is None:
        raise click.UsageError("serve needs a configuration: add --config FILE")
    settings = load_settings(config)
    run_until_stopped(settings, served_jobs(settings), log=log or settings.log.path, loop=loop)
