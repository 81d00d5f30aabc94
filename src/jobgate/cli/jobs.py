"""``jobgate jobs``: the jobs of a running gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

from jobgate.config.policy import Mode, Network
from jobgate.launch.summary import format_bytes

from .control import ask, control_options
from .options import Words, rate_options, rule_options, tls_option

if TYPE_CHECKING:
    from jobgate.client import Client
    from jobgate.client.values import Job, RefusedHost, Usage

Command = TypeVar("Command", bound=Callable[..., object])

#: The gateway picks a free port: for jobs on its own machine.
ANY_PORT = "127.0.0.1:0"
_COLUMNS = ("ID", "STATE", "FROM", "LISTEN", "UP", "DOWN", "OPEN", "REFUSED", "LABELS")
_MOST_REFUSED = 10
#: ``JOBGATE_<OPTION>`` for the options of subcommands as well.
_CONTEXT = {"auto_envvar_prefix": "JOBGATE"}

json_option = click.option(
    "--json", "as_json", is_flag=True, envvar="JOBGATE_JSON", help="One JSON object a line."
)


_SETTINGS = (
    # Not of the environment: JOBGATE_LISTEN is the gate's own address, which its image sets, and
    # JOBGATE_TOKEN the token that `env` is told.
    click.option(
        "--listen",
        metavar="ADDRESS",
        allow_from_autoenv=False,
        help="The job's own listener: IP:PORT, or unix:/path.",
    ),
    click.option(
        "--client",
        "clients",
        metavar="NETWORK",
        multiple=True,
        type=Words(),
        help="A source network that is this job, on the shared listeners. Repeatable.",
    ),
    click.option(
        "--token",
        is_flag=True,
        allow_from_autoenv=False,
        help="Have the gateway make a token, and print it this once.",
    ),
    click.option("--expires", metavar="TIME", help="When the job ends: 2027-01-01T00:00:00Z."),
    click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="For you. Repeatable."),
    click.option("--max-bytes-up", type=int, metavar="BYTES", help="Quota of uploads; 0 is none."),
    click.option("--max-bytes-down", type=int, metavar="BYTES", help="Quota of downloads; 0 is none."),
    click.option(
        "--mode",
        type=click.Choice([mode.value for mode in Mode]),
        help="report: log what the lists refuse, and let it pass.",
    ),
    click.option(
        "--network",
        type=click.Choice([network.value for network in Network]),
        help="Implied by --domain: http.",
    ),
    tls_option,
    rate_options,
    rule_options,
)


def settings_options(command: Command) -> Command:
    """The settings of a job, each option with the name of its key."""
    for option in _SETTINGS:
        command = option(command)
    return command


def settings_of(given: Mapping[str, object]) -> dict[str, object]:
    """Make a document of what was said on the command line; what was not said is left out.

    Raises:
        click.UsageError: A label without a value.
    """
    settings = {key: value for key, value in given.items() if value is not None and value is not False}
    settings = {key: value for key, value in settings.items() if value != ()}
    both = settings.pop("rate", None)
    if both is not None:
        settings = {"rate_up": both, "rate_down": both, **settings}
    if "domains" in settings:
        settings.setdefault("network", Network.HTTP.value)
    if "labels" in settings:
        settings["labels"] = labels_of(given["labels"])
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def labels_of(given: object) -> dict[str, str]:
    """Read ``key=value`` texts.

    Raises:
        click.UsageError: One is something else.
    """
    pairs = [text.partition("=") for text in given] if isinstance(given, tuple) else []
    for key, equals, _ in pairs:
        if not key or not equals:
            raise click.UsageError(f'--label: "{key}": write KEY=VALUE')
    return {key: value for key, _, value in pairs}


@click.group(epilog="Example: jobgate jobs add train-42 --domain .example.com")
def command() -> None:
    """List, add, change and remove jobs of a running gateway."""


@command.command(
    context_settings=_CONTEXT, epilog="Example: jobgate jobs add train-42 --domain .example.com --rate 20mbit"
)
@click.argument("job_id", metavar="ID")
@settings_options
@control_options
@json_option
def add(job_id: str, control: str, control_token_file: str | None, as_json: bool, **given: object) -> None:
    """Add a job.

    Without --listen, --client and --token it gets a listener of its own on a free port of the
    gateway's 127.0.0.1.
    """
    settings = settings_of(given)
    if settings.get("network") == Network.HTTP and settings.keys().isdisjoint(("listen", "clients", "token")):
        settings["listen"] = ANY_PORT

    async def put(gateway: Client) -> Job:
        return await gateway.put_job(job_id, settings, only_new=True)

    _tell(ask(control, control_token_file, put), as_json=as_json)


@command.command(
    "set", context_settings=_CONTEXT, epilog="Example: jobgate jobs set train-42 --rate-down unlimited"
)
@click.argument("job_id", metavar="ID")
@settings_options
@control_options
@json_option
def change(job_id: str, control: str, control_token_file: str | None, as_json: bool, **given: object) -> None:
    """Change settings of a job, at once; the others stay.

    A list replaces the list; labels are added.
    """
    settings = settings_of(given)

    async def patch(gateway: Client) -> Job:
        return await gateway.patch_job(job_id, settings)

    _tell(ask(control, control_token_file, patch), as_json=as_json)


@command.command(
    "list", context_settings=_CONTEXT, epilog="Example: jobgate jobs list --label team=vision --json"
)
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Only these. Repeatable.")
@control_options
@json_option
def list_jobs(labels: tuple[str, ...], control: str, control_token_file: str | None, as_json: bool) -> None:
    """List jobs."""
    wanted = labels_of(labels)

    async def find(gateway: Client) -> list[Job]:
        return [job async for job in gateway.jobs(wanted)]

    jobs = ask(control, control_token_file, find)
    lines = map(as_line, jobs) if as_json else as_table(jobs)
    for line in lines:
        click.echo(line)


@command.command(context_settings=_CONTEXT, epilog="Example: jobgate jobs show train-42")
@click.argument("job_id", metavar="ID")
@control_options
@json_option
def show(job_id: str, control: str, control_token_file: str | None, as_json: bool) -> None:
    """Show a job: its settings, its counters, and what it was refused most."""

    async def find(gateway: Client) -> tuple[Job, Usage]:
        return await gateway.job(job_id), await gateway.usage(job_id, top=_MOST_REFUSED)

    job, usage = ask(control, control_token_file, find)
    for line in [as_line(job)] if as_json else as_text(job, usage):
        click.echo(line)


@command.command(context_settings=_CONTEXT, epilog="Example: jobgate jobs remove train-42")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@control_options
def remove(job_ids: Sequence[str], control: str, control_token_file: str | None) -> None:
    """Remove jobs: their connections end. Stops at the first that cannot be removed."""

    async def remove_all(gateway: Client) -> None:
        for job_id in job_ids:
            await gateway.remove_job(job_id)

    ask(control, control_token_file, remove_all)


def as_line(job: Job) -> str:
    """Write a job as one line of JSON."""

    def text(value: object) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    shown = {
        key: value for key, value in asdict(job).items() if key != "etag" and (key, value) != ("token", None)
    }
    return json.dumps(shown, default=text)


def as_table(jobs: Sequence[Job]) -> list[str]:
    """Write jobs as lines with a head, the columns as wide as they need."""
    rows = [_COLUMNS, *map(_row, jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def as_text(job: Job, usage: Usage) -> list[str]:
    """Write what is known of a job: settings that say something, counters, refusals."""
    live = job.live
    settings = [(key, value) for key, value in job.settings.items() if value not in ("", [], {}, 0)]
    facts = [
        ("state", f"{job.state}: {job.problem}" if job.problem else job.state),
        ("from", job.origin),
        ("listens on", job.listen or "no listener of its own"),
        ("token", "needed" if job.has_token else "none"),
        ("created", job.created_at.isoformat()),
        ("moved", f"{format_bytes(live.bytes_up)} up, {format_bytes(live.bytes_down)} down"),
        ("requests", f"{live.requests}, {live.refused} refused; {live.connections} connections open"),
    ]
    rows = [*((key, json.dumps(value)) for key, value in settings), *facts]
    rows += [("refused", _refusal(row)) for row in usage.refused]
    rows += [("would refuse", _refusal(row)) for row in usage.overlooked]
    return [f"{key:<16}{value}" for key, value in rows]


def _refusal(row: RefusedHost) -> str:
    remedy = f"; --domain {row.proposals[0]} would allow it" if row.proposals else ""
    return f"{row.authority} ({row.reason}, {row.count} times{remedy})"


def _row(job: Job) -> tuple[str, ...]:
    live, labels = job.live, job.settings.get("labels")
    return (
        job.id,
        job.state,
        job.origin,
        job.listen or "-",
        format_bytes(live.bytes_up),
        format_bytes(live.bytes_down),
        str(live.connections),
        str(live.refused),
        ",".join(f"{key}={value}" for key, value in labels.items()) if isinstance(labels, Mapping) else "",
    )


def _tell(job: Job, *, as_json: bool) -> None:
    """Say what has become of a job; the token alone goes on a line that a script can take."""
    if as_json:
        click.echo(as_line(job))
        return
    where = f"listens on {job.listen}" if job.listen else "uses the shared listeners"
    click.echo(
        f"{job.id} {where}" if job.settings.get("network") == Network.HTTP else f"{job.id} has no gate"
    )
    if job.problem:
        click.echo(f"jobgate: {job.id}: {job.problem}", err=True)
    if job.token is not None:
        click.echo(f"token {job.token}")
