"""``jobgate bacalhau``: in the place of Bacalhau's gateway container."""

from __future__ import annotations

import os
import socket

import click

from jobgate.config.endpoints import Endpoint
from jobgate.config.settings import JobSettings
from jobgate.gateway.inherited import Inherited
from jobgate.gateway.listeners import ListenError, open_listener
from jobgate.gateway.service import Service
from jobgate.integrations.bacalhau.settings import (
    IPV4_ANY,
    IPV6_ANY,
    SettingsError,
    gateway_settings,
)
from jobgate.integrations.bacalhau.variables import VariableErrors, read_variables
from jobgate.proxy.direction import receive_buffer_bytes
from jobgate.proxy.hosts import parse_hosts
from jobgate.proxy.resolver import HOSTS_PATH

from .options import config_option, load_settings, log_option, loop_option
from .running import run_until_stopped


def every_address() -> Endpoint:
    """Every address of both families, or of IPv4 alone where the kernel has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return IPV4_ANY
    return IPV6_ANY


def open_for(job: JobSettings, where: Endpoint) -> Inherited:
    """Open the job's listener for both families, as only this command does.

    Raises:
        ListenError: The port is taken.
    """
    buffer_bytes = receive_buffer_bytes(job.policy.rate_up)
    return Inherited(open_listener(where, receive_buffer_bytes=buffer_bytes, both_families=True))


def read_hosts() -> str:
    """The text of ``/etc/hosts``; where there is none, no name is known by it."""
    try:
        return HOSTS_PATH.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@click.command(
    epilog="""Example: jobgate bacalhau, with BACALHAU_HTTP_DOMAINS='[".example.com"]',
    BACALHAU_HTTP_CLIENTS='["172.18.0.0/16"]' and BACALHAU_JOB_ID=j-1 in the environment"""
)
@config_option
@log_option
@loop_option
def command(config: str | None, log: str | None, loop: str) -> None:
    """Serve one job of Bacalhau's network `http`, in the place of its http-gateway container.

    Reads BACALHAU_HTTP_DOMAINS, BACALHAU_HTTP_CLIENTS and BACALHAU_JOB_ID, and listens on
    port 8080 of all addresses. The configuration file is the operator's: deny lists, rates,
    name servers; it has no jobs and no listeners.
    """
    try:
        variables, where = read_variables(os.environ), every_address()
        settings = gateway_settings(load_settings(config), variables, parse_hosts(read_hosts()), where)
    except (VariableErrors, SettingsError) as error:
        raise click.UsageError(str(error)) from error
    try:
        listener = open_for(settings.jobs[0], where)
    except ListenError as error:
        raise click.ClickException(str(error)) from error
    service = Service(settings, activated=[listener])
    run_until_stopped(service, log=log, loop=loop)
