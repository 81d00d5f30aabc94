"""``jobgate learn``: run one command in report mode and write down the policy that it needs."""

from __future__ import annotations

from pathlib import Path

import click

from jobgate.config.host import HostError, Name, parse_rule_host
from jobgate.launch.errors import LaunchError
from jobgate.launch.plan import Plan

from .options import (
    JobOptions,
    Words,
    config_option,
    file_log_option,
    rate_options,
    rule_options,
    tls_option,
)
from .run import command_options, job_environment, run_behind_gate, settings_of


@click.command(
    epilog="Example: jobgate learn -- ./train.sh",
    context_settings={"allow_interspersed_args": False},
)
@rule_options
@rate_options
@tls_option
@click.option(
    "--suffix",
    "suffixes",
    metavar="NAME",
    multiple=True,
    type=Words(),
    help="Join the names below NAME into one entry, .NAME. Repeatable.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write the policy there, not to standard error.",
)
@config_option
@file_log_option
@command_options
def command(
    domains: tuple[str, ...],
    deny: tuple[str, ...],
    rate: str | None,
    rate_up: str | None,
    rate_down: str | None,
    tls: str | None,
    suffixes: tuple[str, ...],
    output: str | None,
    config: str | None,
    log: str | None,
    keep_run: bool,
    loop: str,
    argv: tuple[str, ...],
) -> int:
    """Run CMD as `run` does, but let it reach any public host, and print the smallest policy it needs.

    Deny lists, the guard of addresses and the rate stay enforced. The policy has exact names; with
    --suffix names are joined. It is printed as the keys of a [[job]] and as options for `run`, on
    standard error: standard output is CMD's.
    """
    parents = [_parent(text) for text in suffixes]
    options = JobOptions("http", domains, deny, rate, rate_up, rate_down, tls, report=True)
    settings = settings_of(options, config)
    plan = Plan(argv, job_environment(settings), proxy=True, keep_run=keep_run)
    try:
        exit_code, account = run_behind_gate(plan, settings, log=log, loop=loop)
    except LaunchError as error:
        click.echo(f"jobgate: {error}", err=True)
        return error.exit_code
    from jobgate.gateway.learned import as_options, as_toml, learn

    (job,) = settings.jobs
    learned = learn(account.usage, job.policy.tls, suffixes=parents)
    if not learned.domains:
        click.echo("jobgate: the job reached nothing: there is no policy to write", err=True)
    elif output is None:
        click.echo(f"{as_toml(learned)}# as options: {as_options(learned)}", err=True)
    else:
        _write(Path(output), as_toml(learned))
    return exit_code


def _parent(text: str) -> Name:
    """Read the name of ``--suffix``, with or without its dot."""
    try:
        host = parse_rule_host(text.removeprefix("."))
    except HostError as error:
        raise click.UsageError(f'--suffix: "{text}": {error}') from error
    if not isinstance(host, Name) or "." not in host:
        raise click.UsageError(f'--suffix: "{text}": a suffix has at least two labels')
    return host


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write the policy to {path}: {error.strerror}") from error
