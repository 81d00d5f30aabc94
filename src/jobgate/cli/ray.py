"""``jobgate ray check``: go on only behind a gate."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence

import click

from jobgate.integrations.ray.guard import NotGated, as_submission, ask_gate, find_gate

Exec = Callable[[str, list[str], dict[str, str]], None]


def replace_process(arguments: Sequence[str], environ: dict[str, str], execute: Exec = os.execve) -> None:
    """Become another program.

    Raises:
        click.UsageError: It is not there, or cannot be run.
    """
    path = shutil.which(arguments[0], path=environ.get("PATH"))
    if path is None:
        raise click.UsageError(f"{arguments[0]}: not found")
    try:
        execute(path, list(arguments), environ)
    except OSError as error:
        raise click.UsageError(f"{arguments[0]}: {error.strerror}") from error


@click.group(epilog="Example: jobgate ray check -- python train.py")
def command() -> None:
    """Jobs of Ray."""


@command.command(
    epilog="Example: ray job submit --runtime-env env.json -- jobgate ray check -- python train.py",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, metavar="[-- CMD [ARG]...]", type=click.UNPROCESSED)
def check(arguments: tuple[str, ...]) -> None:
    """Check that the gate of this job's runtime environment is there and knows it; then become CMD.

    Exits with 1 where it is not: on a node without the plugin, Ray starts a job with the
    node's own network and only logs that it does not know "egress".
    """
    environ = as_submission(os.environ)
    try:
        gate = find_gate(environ)
        ask_gate(gate)
    except NotGated as error:
        raise click.ClickException(str(error)) from error
    if arguments:
        replace_process(arguments, environ)
    click.echo(f"{gate.job_id} is behind the gate at {gate.host}:{gate.port}")
