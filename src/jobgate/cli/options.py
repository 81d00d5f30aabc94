"""Options that several commands share, and what they mean together with a configuration file.

``settings_with_job`` is pure: it turns what was said on the command line and in the
file into the settings of one job. The decorators only name the options.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import NamedTuple, TypeVar

import click

from jobgate.config.policy import JobPolicy, Mode, Network, PolicyError, Tls, narrow
from jobgate.config.rates import parse_rate
from jobgate.config.rules import NO_RULES, RuleErrors, RuleSet
from jobgate.config.settings import JobSettings, NodeSettings, Settings

Command = TypeVar("Command", bound=Callable[..., object])
Outcome = TypeVar("Outcome")


class Words(click.types.StringParamType):
    """Text; in the environment a list of it, split at commas and white space."""

    def split_envvar_value(self, rv: str) -> list[str]:
        return [word for word in re.split(r"[,\s]+", rv) if word]


class JobOptions(NamedTuple):
    """What the command line says about one job; empty or ``None`` where it says nothing."""

    network: str | None = None
    domains: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    rate: str | None = None
    rate_up: str | None = None
    rate_down: str | None = None
    tls: str | None = None
    max_bytes_up: int | None = None
    max_bytes_down: int | None = None
    report: bool = False


def config_option(command: Command) -> Command:
    """``--config``."""
    return click.option(
        "--config", metavar="FILE", type=click.Path(dir_okay=False), help="Configuration file (TOML)."
    )(command)


def loop_option(command: Command) -> Command:
    """``--loop``."""
    return click.option(
        "--loop",
        type=click.Choice(["uvloop", "asyncio"]),
        default="uvloop",
        show_default=True,
        help="Event loop that moves the bytes.",
    )(command)


def log_option(command: Command) -> Command:
    """``--log``."""
    return click.option("--log", metavar="PATH", help="Write the decision log (JSON lines) to PATH.")(command)


def rule_options(command: Command) -> Command:
    """``--domain`` and ``--deny``."""
    domain = click.option(
        "--domain",
        "domains",
        metavar="DOMAIN",
        multiple=True,
        type=Words(),
        envvar="JOBGATE_DOMAIN",
        help='A host the job may reach; ".example.com" covers every name below it too. Repeatable.',
    )
    deny = click.option(
        "--deny",
        metavar="DOMAIN",
        multiple=True,
        type=Words(),
        help="A host the job may not reach, whatever else allows it. Repeatable.",
    )
    return domain(deny(command))


def tls_option(command: Command) -> Command:
    """``--tls``."""
    return click.option(
        "--tls",
        type=click.Choice([tls.value for tls in Tls]),
        help="First bytes of a tunnel: a TLS ClientHello for an allowed name (require, the default), or any.",
    )(command)


def rate_options(command: Command) -> Command:
    """``--rate``, ``--rate-up`` and ``--rate-down``."""
    both = click.option(
        "--rate",
        metavar="RATE",
        help='Each direction: "10mbit" (the default), "2.5MB", bytes per second, "unlimited".',
    )
    up = click.option("--rate-up", metavar="RATE", help="Upload only.")
    down = click.option("--rate-down", metavar="RATE", help="Download only.")
    return both(up(down(command)))


def quota_options(command: Command) -> Command:
    """``--max-bytes-up`` and ``--max-bytes-down``."""
    count = click.IntRange(min=0)
    up = click.option("--max-bytes-up", metavar="BYTES", type=count, help="Upload at most this; 0: no quota.")
    down = click.option("--max-bytes-down", metavar="BYTES", type=count, help="Download at most this.")
    return up(down(command))


def report_option(command: Command) -> Command:
    """``--report``."""
    return click.option(
        "--report",
        is_flag=True,
        help="Let what the domains would refuse pass, and log it; deny lists and addresses stay enforced.",
    )(command)


def network_option(command: Command) -> Command:
    """``--network``."""
    return click.option(
        "--network",
        type=click.Choice([network.value for network in Network]),
        help="none: no network (the default); http: only to the domains (implied by --domain); "
        "full: unfiltered.",
    )(command)


def summary_option(command: Command) -> Command:
    """``--summary`` and ``--no-summary``."""
    return click.option(
        "--summary/--no-summary",
        default=True,
        show_default=True,
        help="Report traffic and refusals at the end.",
    )(command)


def job_options(command: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """``--domain`` to ``--report``: the command gets them, and its ``--network``, as one ``options``."""

    @wraps(command)
    def gathering(
        *,
        network: str | None = None,
        domains: tuple[str, ...],
        deny: tuple[str, ...],
        rate: str | None,
        rate_up: str | None,
        rate_down: str | None,
        tls: str | None,
        max_bytes_up: int | None,
        max_bytes_down: int | None,
        report: bool,
        **others: object,
    ) -> Outcome:
        options = JobOptions(
            network, domains, deny, rate, rate_up, rate_down, tls, max_bytes_up, max_bytes_down, report
        )
        return command(options=options, **others)

    return rule_options(rate_options(tls_option(quota_options(report_option(gathering)))))


def load_settings(path: str | None) -> Settings:
    """The settings of a file, or the defaults where none is named: then the caller is the node.

    Raises:
        click.UsageError: The file cannot be read or is wrong; every error of it, one a line.
    """
    if path is None:
        return Settings(node=NodeSettings(networks=tuple(Network)))
    from jobgate.config.load import ConfigError, load_file  # for files only

    try:
        return load_file(path)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def settings_with_job(settings: Settings, options: JobOptions, *, job_id: str, listen: str = "") -> Settings:
    """Make the settings of one job: what the options say, then what the file says, then the defaults.

    The file's part is its job of that id, else its only job. ``--domain`` replaces the
    domains of the file; ``--deny`` adds to its deny list; a network that has no use for
    either leaves the file's out. Without a network, domains or ``--report``
    mean ``http`` and neither means ``none``.

    Args:
        settings: Of the file.
        options: Of the command line.
        job_id: Which job of the file, or the name of a job made of the options alone.
        listen: Where it listens; ``""``: as the file says.

    Raises:
        click.UsageError: Options that contradict each other, a value that cannot be
            parsed, or a job that the node's policy does not accept.
    """
    base = _base_job(settings, options, job_id)
    if options.network is not None and Network(options.network) is not Network.HTTP:
        base = replace(base, policy=replace(base.policy, domains=NO_RULES, deny=NO_RULES))
    domains = _rules("--domain", options.domains) if options.domains else base.policy.domains
    policy = replace(
        base.policy,
        network=_network(options, base, domains),
        domains=domains,
        deny=RuleSet([*base.policy.deny, *_rules("--deny", options.deny)]),
        rate_up=_rate("--rate-up", options.rate_up, options.rate, base.policy.rate_up),
        rate_down=_rate("--rate-down", options.rate_down, options.rate, base.policy.rate_down),
        tls=Tls(options.tls) if options.tls else base.policy.tls,
        mode=Mode.REPORT if options.report else base.policy.mode,
    )
    job = replace(
        base,
        listen=listen or base.listen,
        policy=_narrowed(policy, settings),
        max_bytes_up=base.max_bytes_up if options.max_bytes_up is None else options.max_bytes_up,
        max_bytes_down=base.max_bytes_down if options.max_bytes_down is None else options.max_bytes_down,
    )
    return replace(settings, jobs=(job,))


def _base_job(settings: Settings, options: JobOptions, job_id: str) -> JobSettings:
    """Find the job that the options start from."""
    jobs = {job.id: job for job in settings.jobs}
    if job_id in jobs:
        return jobs[job_id]
    if len(jobs) == 1:
        return settings.jobs[0]
    if jobs and not options.domains:
        raise click.UsageError(f"the file has several jobs ({', '.join(jobs)}): name one, or add --domain")
    return JobSettings(id=job_id)


def _network(options: JobOptions, base: JobSettings, domains: RuleSet) -> Network:
    if options.network is None:
        return Network.HTTP if options.domains or options.report else base.policy.network
    network = Network(options.network)
    if network is not Network.HTTP and (options.domains or options.report):
        option = "--domain" if options.domains else "--report"
        raise click.UsageError(f"{option} has no meaning with --network {network}: leave one of them out")
    if network is Network.HTTP and not len(domains) and not options.report:
        raise click.UsageError("--network http needs at least one domain: add --domain")
    return network


def _rules(option: str, entries: tuple[str, ...]) -> RuleSet:
    try:
        return RuleSet.parse(entries)
    except RuleErrors as error:
        lines = (f'{option}: "{entry}": {message}' for _, entry, message in error.errors)
        raise click.UsageError("\n".join(lines)) from error


def _rate(option: str, own: str | None, both: str | None, default: float) -> float:
    text = own if own is not None else both
    if text is None:
        return default
    try:
        return parse_rate(text)
    except ValueError as error:
        name = option if own is not None else "--rate"
        raise click.UsageError(f'{name}: "{text}": {error}') from error


def _narrowed(policy: JobPolicy, settings: Settings) -> JobPolicy:
    try:
        return narrow(policy, settings.node.policy)
    except PolicyError as error:
        raise click.UsageError(str(error)) from error
