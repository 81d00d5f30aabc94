"""``jobgate reload``: have a running gateway read its configuration file again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from .control import ask, control_options

if TYPE_CHECKING:
    from jobgate.client.values import Reload


def lines_of(report: Reload) -> Iterator[str]:
    """Say what a reload did, one thing a line."""
    for what, ids in (("added", report.added), ("changed", report.changed), ("removed", report.removed)):
        yield from (f"{what} {job_id}" for job_id in ids)
    yield from (f"refused {job_id}: the node accepts it no more" for job_id in report.refused)
    yield from (f"weaker: {weakening}" for weakening in report.weakenings)
    yield from (f"needs a restart: {key}" for key in report.needs_restart)


@click.command(epilog="Example: jobgate reload")
@control_options
def command(control: str, control_token_file: str | None) -> None:
    """Have the gateway read its configuration file again, and print what that changed.

    The whole file is taken on, or nothing: a file that is wrong changes nothing, and the
    exit code is 2. SIGHUP does the same.
    """
    report = ask(control, control_token_file, lambda gateway: gateway.reload())
    for line in list(lines_of(report)) or ["no job has changed"]:
        click.echo(line)
