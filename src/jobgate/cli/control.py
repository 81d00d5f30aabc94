"""What commands that talk to a running gateway have in common: where it is, and how its errors are told."""

from __future__ import annotations

import asyncio
import os
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from jobgate.config.gateway import DEFAULT_CONTROL

if TYPE_CHECKING:
    from jobgate.client import Client
    from jobgate.config.settings import Settings

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., object])


def control_options(command: Command) -> Command:
    """``--control`` and ``--control-token-file``."""
    control = click.option(
        "--control",
        metavar="ADDRESS",
        default=lambda: configured("control") or DEFAULT_CONTROL.path,
        show_default=f"that of JOBGATE_CONFIG, else {DEFAULT_CONTROL.path}",
        envvar="JOBGATE_CONTROL",
        help="Where the gateway's control API listens: a path, or IP:PORT.",
    )
    token_file = click.option(
        "--control-token-file",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        default=lambda: configured("control_token_file"),
        envvar="JOBGATE_CONTROL_TOKEN_FILE",
        help="File with the token of the control API, where it wants one.",
    )
    return control(token_file(command))


def configured(key: str) -> str | None:
    """Look up what [listen] says in the file that ``JOBGATE_CONFIG`` names, if there is one.

    Nothing is judged here: a file that cannot be read, or is wrong, is the gateway's own to complain of.
    """
    try:
        table = tomllib.loads(Path(os.environ["JOBGATE_CONFIG"]).read_text("utf-8"))["listen"]
        return str(table[key]) or None
    except (KeyError, TypeError, OSError, ValueError):
        return None


def is_of_gateway(ctx: click.Context, settings: Settings, job_id: str) -> bool:
    """Say whether a job is the running gateway's: no file was named, and that of the environment lacks it."""
    is_named = ctx.get_parameter_source("config") is ParameterSource.COMMANDLINE
    return not is_named and all(job.id != job_id for job in settings.jobs)


def ask(control: str, token_file: str | None, question: Callable[[Client], Awaitable[T]]) -> T:
    """Ask a gateway; what it says no to is an error of the command line.

    Raises:
        click.UsageError: What was asked for cannot be done by any gateway; every problem of it, one a line.
        click.ClickException: This gateway does not do it, or does not answer.
    """
    from jobgate.client import Client, GatewayError, Invalid

    token = None if token_file is None else _read(token_file)

    async def talk() -> T:
        async with Client(control, token=token) as gateway:
            return await question(gateway)

    try:
        return asyncio.run(talk())
    except Invalid as error:
        raise click.UsageError("\n".join(map(str, error.problems)) or str(error)) from error
    except GatewayError as error:
        raise click.ClickException(str(error)) from error


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise click.UsageError(f"--control-token-file: {path}: cannot be read: {why}") from error
