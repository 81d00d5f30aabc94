"""What ``serve`` and ``sidecar`` have in common: listeners, log, loop, and the way to the end."""

from __future__ import annotations

import asyncio
import atexit
import operator
import os
import signal
import time
from collections.abc import Mapping

import click

from jobgate.gateway.alone import UpgradeError
from jobgate.gateway.listeners import ListenError
from jobgate.gateway.notify import notify
from jobgate.gateway.process import LOOPS, raise_descriptor_limit
from jobgate.gateway.service import Service, serve
from jobgate.gateway.stored import StoreError
from jobgate.gateway.workers import WorkerError
from jobgate.proxy.journal import Journal
from jobgate.proxy.logwriter import LogWriter


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


class Process:
    """This process, as the surroundings of a service: log, standard error, service manager."""

    def __init__(self, writer: LogWriter, journal: Journal) -> None:
        self._writer = writer
        self._journal = journal

    def ready(self, listen: Mapping[str, str], besides: Mapping[str, object]) -> None:
        self._journal.ready(listen, besides)
        # After a take-over the manager still has another process for the main one.
        notify(f"MAINPID={os.getpid()}\nREADY=1", os.environ)

    def reloading(self) -> None:
        # The time is what makes systemd see that the READY=1 of before is not meant (sd_notify(3)).
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notify(f"RELOADING=1\nMONOTONIC_USEC={now_us}", os.environ)

    def reloaded(self) -> None:
        notify("READY=1", os.environ)

    def stopping(self) -> None:
        notify("STOPPING=1", os.environ)

    def over(self) -> None:
        # One more request to stop must not make a failure of an end that has come. Not SIG_IGN before the
        # interpreter ends: programs that are started would inherit it. But at its very end the interpreter
        # replaces every handler by the default. A handler in Python would be interrupted by the next signal,
        # and that one by the next, until there is no stack left: this one is in C, and does nothing.
        signal.signal(signal.SIGTERM, operator.is_)
        atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)

    def problem(self, text: str) -> None:
        for line in text.splitlines():
            click.echo(f"jobgate: {line}", err=True)

    def reopen_log(self) -> None:
        reopen_log(self._writer)


def run_until_stopped(service: Service, *, log: str | None, loop: str) -> None:
    """Serve until a signal ends it, then let connections finish.

    Args:
        service: What is served.
        log: Where the log goes; ``None``: where the settings say.
        loop: One of ``LOOPS``.

    Raises:
        click.ClickException: A listener, the log or the state cannot be opened.
        click.UsageError: One job is to be served by several processes.
    """
    if service.settings.listen.workers > 1 and not service.gateway:
        raise click.UsageError("one job is served by one process: leave [listen] workers out")
    raise_descriptor_limit()
    service = service._replace(log=log or service.settings.log.path, loop=loop)
    writer = open_log(service.log)
    journal = Journal(writer)
    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(serve(service, Process(writer, journal), journal))
    except (ListenError, StoreError, UpgradeError, WorkerError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        journal.report_dropped()
        writer.close()
