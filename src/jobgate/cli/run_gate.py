"""The gate of ``jobgate run``. Apart from ``run``, which imports it when the job is on its way."""

from __future__ import annotations

import socket
from contextlib import closing, nullcontext

from jobgate.config.settings import Settings
from jobgate.gateway.process import LOOPS, raise_descriptor_limit
from jobgate.launch.errors import LaunchError
from jobgate.launch.serving import Account, Served, serve
from jobgate.proxy.journal import Journal
from jobgate.proxy.logwriter import LogWriter


def serve_job(
    job: Served, proxy: socket.socket, settings: Settings, *, log: str | None, loop: str
) -> Account:
    """Serve the socket of an isolated job until it has ended.

    Raises:
        LaunchError: The log cannot be opened, or a signal came first; the job did not begin.
    """
    raise_descriptor_limit()
    with nullcontext() if log is None else closing(open_log(log)) as writer:
        journal = Journal(writer)
        account = serve(job, proxy, settings, journal, LOOPS[loop])
        journal.report_dropped()
        return account


def open_log(path: str) -> LogWriter:
    """Open the decision log.

    Raises:
        LaunchError: It cannot be opened.
    """
    try:
        return LogWriter(path)
    except OSError as error:
        raise LaunchError(f"cannot write the log to {path}: {error.strerror}") from error
