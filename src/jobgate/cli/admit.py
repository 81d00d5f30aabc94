"""``jobgate admit``: whether a node accepts a job, for schedulers that ask before they take one.

The job is read, judged and answered for here; what is in it is of strangers, so nothing of
it reaches standard error but in quotes and on one line.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click

from jobgate.config.policy import Network, NodePolicy
from jobgate.integrations.asking import Ask, JobError, node_problems
from jobgate.integrations.bacalhau_admit import PROBE_VARIABLE, is_bacalhau, read_job
from jobgate.integrations.documents import (
    MAX_DOCUMENT_CHARS,
    DocumentError,
    decode_base64,
    decode_text,
    read_json,
)

from .import_ import read_text
from .options import load_settings

#: What is written for people; a scheduler may keep all of it.
MAX_REASONS = 50

_PLACE = "the job"
_UNKNOWN = (
    "neither a job of Bacalhau (Job, Tasks or spec) "
    "nor a manifest or demand of Golem (compManifest or properties)"
)


class Node(NamedTuple):
    """What jobs are judged by.

    Attributes:
        note: Whom to ask, for those who are refused.
    """

    policy: NodePolicy
    note: str = ""


class Verdict(NamedTuple):
    """What came out.

    Attributes:
        reasons: Why not; empty: accepted.
        asks: What the job would get, where that could be read.
    """

    reasons: list[str]
    asks: list[Ask]

    def record(self) -> dict[str, object]:
        """For ``--json``."""
        tasks = [{"place": ask.place, **ask.record()} for ask in self.asks]
        return {"accepted": not self.reasons, "reasons": self.reasons, "tasks": tasks}


class GolemOptions(NamedTuple):
    """What the command line says about Golem."""

    provider: Path | None = None
    requestor: str = ""


def read_node(path: str | None) -> Node:
    """Read the node's policy; without ``networks`` it accepts jobs without network alone.

    Raises:
        click.UsageError: The file is wrong.
    """
    if path is None:
        return Node(NodePolicy(networks=(Network.NONE,)))
    node = load_settings(path).node
    table = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("node", {})
    policy = node.policy
    if "networks" not in table:
        policy = replace(policy, networks=(Network.NONE,))
    return Node(policy, node.refusal_note)


def read_document(text: str) -> dict[str, object]:
    """Read a job: JSON, or JSON in base64 as manifests are sent.

    Raises:
        DocumentError: It is neither, or no object.
    """
    if not text.lstrip().startswith("{"):
        try:
            text = decode_text(decode_base64(text, _PLACE), _PLACE)
        except DocumentError:
            raise DocumentError(f"{_PLACE}: neither a JSON object nor one in base64") from None
    document = read_json(text, _PLACE)
    if not isinstance(document, dict):
        raise DocumentError(f"{_PLACE}: expected an object")
    return document


def judge(text: str, node: Node, default: Network, golem: GolemOptions, now: datetime) -> Verdict:
    """Decide about a job.

    Args:
        text: As it came.
        node: What it is judged by.
        default: What the node makes of Bacalhau's network type ``Default``.
        golem: Where the provider's own decisions are.
        now: For expiry.

    Raises:
        click.UsageError: The provider's files are wrong.
    """
    from jobgate.integrations.golem.manifest import is_golem

    try:
        document = read_document(text)
        if is_bacalhau(document) == is_golem(document):
            raise DocumentError(f"{_PLACE}: {_UNKNOWN}")
        if is_bacalhau(document):
            asks = read_job(document, default)
            return Verdict([problem for ask in asks for problem in node_problems(ask, node.policy)], asks)
        return _judge_demand(document, node.policy, golem, now)
    except JobError as error:
        return Verdict(error.problems, [])
    except DocumentError as error:
        return Verdict([str(error)], [])


def _judge_demand(
    document: dict[str, object], node: NodePolicy, golem: GolemOptions, now: datetime
) -> Verdict:
    from jobgate.integrations.golem.admission import problems_of
    from jobgate.integrations.golem.manifest import read_document as read_demand
    from jobgate.integrations.golem.provider import Provider

    from .provider_files import read_provider

    demand = read_demand(document, now)
    if golem.requestor:
        demand = replace(demand, requestor=golem.requestor.lower())
    try:
        provider, notes = read_provider(golem.provider) if golem.provider else (Provider(), [])
        reasons = problems_of(demand, provider, node, now)
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is needed: install jobgate[golem]") from None
    return Verdict(reasons + (notes if reasons else []), [Ask("", demand.outbound.policy)])


def read_job_text(job: str | None) -> str:
    """Read the job: of a file, of standard input (``-``), of the probe's variable, else of standard input.

    Raises:
        click.UsageError: The file cannot be read.
    """
    if job is not None and job != "-":
        return read_text(Path(job))
    if job is None and PROBE_VARIABLE in os.environ:
        return os.environ[PROBE_VARIABLE]
    raw = sys.stdin.buffer.read(MAX_DOCUMENT_CHARS * 4 + 1)
    return raw.decode("utf-8", "surrogateescape")


def one_line(text: str) -> str:
    """Make a reason safe for a terminal and for a log of lines."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def summary(asks: list[Ask]) -> str:
    """Say in one line what was accepted."""
    parts = []
    for ask in asks:
        entries = ", ".join(ask.policy.domains.entries())
        network = f"{ask.policy.network}: {entries}" if entries else str(ask.policy.network)
        parts.append(f"{ask.place}: {network}" if ask.place else network)
    return "; ".join(parts)


@click.command(epilog="Example: jobgate admit --policy /etc/jobgate.toml job.json")
@click.argument("job", required=False, metavar="[JOB.json|-]")
@click.option(
    "--policy",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    envvar=["JOBGATE_POLICY", "JOBGATE_CONFIG"],
    help='Configuration file (TOML): of it, [node] counts. Without "networks", only jobs without network.',
)
@click.option(
    "--default-network",
    "default",
    type=click.Choice(["none", "full"]),
    default="none",
    show_default=True,
    envvar="JOBGATE_DEFAULT_NETWORK",
    help='Bacalhau: what the node makes of network type "Default".',
)
@click.option(
    "--golem",
    "provider",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="JOBGATE_GOLEM",
    help="Golem: the provider's data directory with rules.json, domain_whitelist.json and cert-dir.",
)
@click.option("--requestor", metavar="ID", default="", help="Golem: node id of whoever sent the demand.")
@click.option(
    "--json", "as_json", is_flag=True, envvar="JOBGATE_JSON", help="The verdict as one JSON object."
)
def command(
    job: str | None, policy: str | None, default: str, provider: Path | None, requestor: str, as_json: bool
) -> None:
    """Decide whether this node accepts a job: of Bacalhau, or a manifest or demand of Golem.

    JOB.json is a file, or - for standard input. Without it, the job is in the variable
    BACALHAU_JOB_SELECTION_PROBE_DATA, else on standard input.

    Exits with 0 if the job is accepted, with 1 if it is refused (the reasons are written to
    standard error), with 2 if the policy cannot be read.
    """
    node = read_node(policy)
    text = read_job_text(job)
    golem = GolemOptions(provider, requestor)
    verdict = judge(text, node, Network(default), golem, datetime.now(UTC))
    reasons = verdict.reasons
    if as_json:
        click.echo(json.dumps(verdict.record()))
    elif not reasons:
        click.echo(f"accepted: {summary(verdict.asks)}")
    if not reasons:
        return
    for reason in reasons[:MAX_REASONS]:
        click.echo(f"refused: {one_line(reason)}", err=True)
    if len(reasons) > MAX_REASONS:
        click.echo(f"refused: and for {len(reasons) - MAX_REASONS} more reasons", err=True)
    if node.note:
        click.echo(node.note, err=True)
    raise click.exceptions.Exit(1)
