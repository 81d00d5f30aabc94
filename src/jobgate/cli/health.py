"""``jobgate health``: is a gate there, and does it take requests? No configuration is read."""

from __future__ import annotations

import click

from jobgate.probe import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, probe


@click.command(epilog="Example: jobgate health 127.0.0.1:3128")
@click.argument("address", default=DEFAULT_ADDRESS, envvar="JOBGATE_LISTEN", metavar="[ADDRESS]")
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    envvar="JOBGATE_TIMEOUT",
    help="Seconds.",
)
def command(address: str, timeout_s: float) -> None:
    """Ask the gate at ADDRESS (ip:port or unix:/path) whether it answers; exit 0 or 1.

    ADDRESS defaults to $JOBGATE_LISTEN, else 127.0.0.1:3128.
    """
    try:
        problem = probe(address, timeout_s)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if problem:
        raise click.ClickException(f"{address}: {problem}")
