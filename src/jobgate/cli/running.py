"""What ``serve`` and ``sidecar`` have in common: listeners, log, loop, and the way to the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping

import click
import uvloop

from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway.listeners import ListenError
from jobgate.gateway.notify import notify
from jobgate.gateway.service import close_listeners, open_listeners, raise_descriptor_limit, serve
from jobgate.proxy.journal import Journal
from jobgate.proxy.logwriter import LogWriter

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def open_log(path: str) -> LogWriter:
    """Open the decision log; ``-`` is standard output.

    Raises:
        click.ClickException: It cannot be opened.
    """
    try:
        return LogWriter(path)
    except OSError as error:
        raise click.ClickException(f"cannot write the log to {path}: {error.strerror or error}") from error


def reopen_log(writer: LogWriter) -> None:
    """Go on in the file that is now at the log's path; where that fails, the old one stays in use."""
    try:
        writer.reopen()
    except OSError as error:
        click.echo(f"jobgate: cannot open the log anew: {error.strerror or error}", err=True)


def run_until_stopped(settings: Settings, jobs: Iterable[JobSettings], *, log: str, loop: str) -> None:
    """Serve the jobs until a signal ends it, then let connections finish.

    Raises:
        click.ClickException: A listener or the log cannot be opened.
    """
    raise_descriptor_limit()
    writer = open_log(log)
    try:
        listeners = open_listeners(jobs)
    except ListenError as error:
        writer.close()
        raise click.ClickException(str(error)) from error
    journal = Journal(writer)

    def on_state(state: str, listen: Mapping[str, str]) -> None:
        if state == "ready":
            journal.ready(listen)
        notify("READY=1" if state == "ready" else "STOPPING=1", os.environ)

    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(
                serve(
                    settings,
                    listeners,
                    journal=journal,
                    on_hangup=lambda: reopen_log(writer),
                    on_state=on_state,
                )
            )
    finally:
        close_listeners(listeners)
        journal.report_dropped()
        writer.close()
