"""``jobgate run``: one command in a network of its own, behind its gate."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from jobgate.config.policy import Network
from jobgate.config.settings import Settings
from jobgate.launch.environment import behind_proxy, without_proxy
from jobgate.launch.errors import LaunchError
from jobgate.launch.launcher import run_unconfined, start
from jobgate.launch.namespaces import PROXY_ADDRESS, PROXY_PORT
from jobgate.launch.plan import Plan
from jobgate.launch.summary import render

from .loading import load
from .options import (
    Command,
    JobOptions,
    config_option,
    file_log_option,
    job_options,
    load_settings,
    loop_option,
    network_option,
    settings_with_job,
    summary_option,
)

if TYPE_CHECKING:
    from jobgate.launch.serving import Account  # imports the gate

JOB_ID = "run"
ROOT_WARNING = (
    "jobgate: running as root: the job has no capability, but root's files stay writable for it; "
    "run it as an ordinary user"
)


def command_options(command: Command) -> Command:
    """``--keep-run``, ``--loop``, and the job's own command."""
    keep_run = click.option(
        "--keep-run", is_flag=True, help="Leave /run, with the sockets of services, in sight of the job."
    )
    argv = click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD [ARG]...")
    return keep_run(loop_option(argv(command)))


@click.command(
    epilog="Example: jobgate run --domain .example.com -- curl https://www.example.com/",
    context_settings={"allow_interspersed_args": False},
)
@network_option
@job_options
@config_option
@summary_option
@file_log_option
@command_options
def command(
    options: JobOptions,
    config: str | None,
    summary: bool,
    log: str | None,
    keep_run: bool,
    loop: str,
    argv: tuple[str, ...],
) -> int:
    """Run CMD in a network namespace of its own, where the only thing is its proxy.

    The proxy lets it reach the listed domains over HTTP and HTTPS, and nothing else. The
    exit code is that of CMD, 128 + N if signal N ended it, 125 if jobgate failed, 126 if
    CMD cannot be executed, 127 if it was not found.

    run isolates the network: not files, not the home directory, not sockets outside /run.
    """
    settings = settings_of(options, config)
    (job,) = settings.jobs
    try:
        if job.policy.network is Network.FULL:
            run_unconfined(Plan(argv, os.environ, proxy=False))
        if job.policy.network is Network.NONE:
            return run_without_network(Plan(argv, without_proxy(os.environ), proxy=False, keep_run=keep_run))
        plan = Plan(argv, job_environment(settings), proxy=True, keep_run=keep_run)
        exit_code, account = run_behind_gate(plan, settings, log=log, loop=loop)
    except LaunchError as error:
        click.echo(f"jobgate: {error}", err=True)
        return error.exit_code
    if summary:
        show_summary(account)
    return exit_code


def settings_of(options: JobOptions, config: str | None) -> Settings:
    """What options and file say of a job that has a namespace to itself."""
    return alone(settings_with_job(load_settings(config), options, job_id=JOB_ID))


def alone(settings: Settings) -> Settings:
    """Leave out how the job is told from others: in its namespace there is nobody else."""
    (job,) = settings.jobs
    job = replace(job, token="", token_hash=None, clients=(), netns="", peer_uids=frozenset())
    return replace(settings, jobs=(job,))


def job_environment(settings: Settings) -> dict[str, str]:
    """The variables of a job behind the proxy."""
    (job,) = settings.jobs
    return behind_proxy(
        os.environ,
        PROXY_ADDRESS,
        PROXY_PORT,
        no_proxy=settings.node.no_proxy,
        extra={**settings.env, **job.env},
    )


def warn_root() -> None:
    """Say what the isolation cannot take from root."""
    if os.geteuid() == 0:
        click.echo(ROOT_WARNING, err=True)


def wants_colour() -> bool:
    """Say whether standard error is a terminal whose user did not ask for plain text (no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def run_without_network(plan: Plan) -> int:
    """Run a job that has nothing to be served; returns its exit code."""
    with start(plan) as job:
        job.ready()
        warn_root()
        job.begin()
        return job.wait()


def run_behind_gate(plan: Plan, settings: Settings, *, log: str | None, loop: str) -> tuple[int, Account]:
    """Run a job and its gate; returns the job's exit code, and what it did."""
    with start(plan) as job:
        # While the job isolates itself: the gate takes longer to load than that.
        load("jobgate.cli.run_gate")
        from .run_gate import serve_job

        (proxy,) = job.ready()
        warn_root()
        account = serve_job(job, proxy, settings, log=log, loop=loop)
        exit_code = job.wait()
    # After the streams of the job have been carried out.
    return exit_code, account


def show_summary(account: Account) -> None:
    """Write what a job did to standard error."""
    click.echo(render(account.summary, colour=wants_colour()), err=True, nl=False)
