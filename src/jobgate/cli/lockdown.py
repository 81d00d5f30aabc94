"""``jobgate lockdown``: close a network namespace that a job shares with its gate."""

from __future__ import annotations

import socket

import click

from jobgate.config.endpoints import Endpoint, parse_listen
from jobgate.gateway.lockdown import missing, own_ways
from jobgate.gateway.lockdown_rules import ruleset
from jobgate.gateway.nft import NftError, load
from jobgate.gateway.routes import LOOPBACK, is_machine

IMAGE_UID = 65532
"""The user of the container image."""


def loopback_option(text: str | None) -> Endpoint | None:
    """Read ``--listen``.

    Raises:
        click.UsageError: Not a place on loopback.
    """
    if not text:
        return None
    try:
        where = parse_listen(text)
    except ValueError as error:
        raise click.UsageError(f'--listen: "{text}": {error}') from error
    if not isinstance(where, Endpoint) or not where.address.is_loopback or where.port == 0:
        raise click.UsageError(f'--listen: "{text}": write the gate\'s address on loopback: 127.0.0.1:3128')
    return where


def require_own_namespace(machine: bool, whole_machine: bool) -> None:
    """Refuse to cut a whole machine off by mistake.

    Raises:
        click.UsageError: This is its own network namespace.
    """
    if machine and not whole_machine:
        raise click.UsageError(
            "this is the network namespace of the machine itself: every other user, logins over the network "
            "included, would be cut off; run it in the pod's or container's (hostNetwork: false), or add "
            "--whole-machine for a virtual machine that is one pod"
        )


def lock(uid: int, listen: Endpoint | None, egress_hook: bool) -> None:
    """Put the rules in force, and see whether they hold.

    Raises:
        click.ClickException: Not in force.
    """
    interfaces = [name for _, name in socket.if_nameindex() if name != LOOPBACK]
    try:
        load(ruleset(uid, interfaces if egress_hook else (), listen))
    except (NftError, ValueError) as error:
        hint = ""
        if "egress" in str(error):
            hint = (
                "; the hook against packet sockets needs Linux 5.16: before that drop NET_RAW from every "
                "container of the job and add --without-egress-hook"
            )
        raise click.ClickException(f"nothing is locked: {error}{hint}") from error
    if own_ways():
        require_lockdown(uid)


def require_lockdown(uid: int) -> None:
    """Ask the kernel whether a lockdown is in force.

    Raises:
        click.ClickException: None is, or that cannot be told.
    """
    why = missing(uid)
    if why:
        raise click.ClickException(f"no lockdown is in force: {why}")


@click.command(epilog="Example: jobgate lockdown --uid 65532")
@click.option(
    "--uid",
    type=click.IntRange(1, 2**32 - 2),
    default=IMAGE_UID,
    show_default=True,
    help="The gate's user, and of nobody else in this namespace.",
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Close loopback, too, but for the gate's listener at this ip:port.",
)
@click.option("--check", is_flag=True, help="Change nothing: exit code 0 if a lockdown is in force, else 1.")
@click.option(
    "--without-egress-hook",
    is_flag=True,
    help="Leave packet sockets alone (Linux before 5.16): the job must not have CAP_NET_RAW.",
)
@click.option("--whole-machine", is_flag=True, help="Also where no container is around.")
def command(
    uid: int, listen: str | None, check: bool, without_egress_hook: bool, whole_machine: bool
) -> None:
    """Let only the gate out of this network namespace, by rules of nftables.

    For pods: an init step, before the gate and the job. Only sockets of --uid reach
    anything but loopback; everybody else's TCP, UDP, DNS, ICMP, raw and packet sockets are
    refused at once, and nothing comes in unasked. All rules are put in force in one step,
    or none. Done again, it replaces them. Needs nft and CAP_NET_ADMIN; --check needs neither.

    The job must not be able to become that user: another uid, no capability, no new privileges.
    """
    where = loopback_option(listen)
    if check:
        require_lockdown(uid)
        return
    require_own_namespace(is_machine(), whole_machine)
    lock(uid, where, not without_egress_hook)
