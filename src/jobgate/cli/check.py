"""``jobgate check``: the decision about a URL, by the very code that enforces it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import NamedTuple

import click

from jobgate.config.host import Address, HostError, Name, parse_authority
from jobgate.config.policy import Policy
from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.addresses import vet
from jobgate.proxy.decision import Kind, Target, decide
from jobgate.proxy.errors import BadRequest, ProxyError, Reason
from jobgate.proxy.replies import refusal
from jobgate.proxy.resolver import Resolver
from jobgate.proxy.target import parse_absolute

from .options import JobOptions, config_option, load_settings, rule_options, settings_with_job

HTTPS_PORT = 443


class Answer(NamedTuple):
    """What would happen to one URL; ``reason`` is ``None`` if it is allowed."""

    url: str
    target: Target | None = None
    reason: Reason | None = None
    detail: str = ""
    rule: str | None = None
    addresses: tuple[str, ...] = ()

    def as_json(self) -> str:
        """One line with the field names of the decision log."""
        return json.dumps(
            {
                "url": self.url,
                "kind": self.target and self.target.kind.value,
                "host": self.target and str(self.target.host),
                "port": self.target and self.target.port,
                "decision": "allow" if self.reason is None else "deny",
                "reason": self.reason and self.reason.token,
                "rule": self.rule,
                "detail": self.detail,
                "addresses": list(self.addresses),
            }
        )

    def as_text(self) -> str:
        """One line for a person."""
        if self.reason is not None:
            return f"deny   {self.url}  {self.reason.token}: {self.detail}"
        reached = f"  -> {', '.join(self.addresses)}" if self.addresses else ""
        return f"allow  {self.url}  by {self.rule}{reached}"


def parse_url(url: str) -> Target:
    """Read a URL, or ``host[:port]`` for HTTPS, as a client would ask the gate for it.

    Raises:
        BadRequest: What the gate would answer.
    """
    raw = url.partition("#")[0].encode()  # clients keep the fragment to themselves
    scheme, separator, rest = raw.partition(b"://")
    if separator and scheme.lower() != b"https":
        authority = parse_absolute(raw).authority
        return Target(Kind.HTTP, authority.host, authority.port)
    try:
        authority = parse_authority(_authority_part(rest if separator else raw), HTTPS_PORT)
    except HostError as error:
        raise BadRequest(f"The host of the URL is invalid: {error}.") from error
    return Target(Kind.CONNECT, authority.host, authority.port)


def _authority_part(raw: bytes) -> bytes:
    return raw.partition(b"/")[0].partition(b"?")[0]


def judge(url: str, policy: Policy) -> Answer:
    """Decide by name; an address in the URL is judged as an address, too."""
    try:
        target = parse_url(url)
    except BadRequest as error:
        return Answer(url, reason=error.reason, detail=error.detail)
    decision = decide(policy, target)
    answer = Answer(url, target, rule=decision.rule)
    if not decision.allowed:
        refused = refusal(decision, target)
        return answer._replace(reason=refused.reason, detail=refused.detail)
    return answer if isinstance(target.host, Name) else judge_addresses(answer, target, [target.host], policy)


def judge_addresses(answer: Answer, target: Target, addresses: Sequence[Address], policy: Policy) -> Answer:
    """Say which of the addresses would be dialled; refuse if none would."""
    classes = {str(address): vet(address, target.port, policy.node) for address in addresses}
    good = tuple(text for text, bad in classes.items() if bad is None)
    if good:
        return answer._replace(addresses=good)
    found = ", ".join(f"{text} is {bad}" for text, bad in classes.items())
    detail = f"{found}: not dialled unless the node lists it in allow_addresses."
    return answer._replace(reason=Reason.ADDRESS, detail=detail)


async def judge_resolved(urls: Sequence[str], policy: Policy, settings: Settings) -> list[Answer]:
    """Decide by name, then look each allowed name up and judge its addresses."""
    resolver = Resolver(settings.dns)
    try:
        return [await _resolved(judge(url, policy), policy, resolver) for url in urls]
    finally:
        await resolver.close()


async def _resolved(answer: Answer, policy: Policy, resolver: Resolver) -> Answer:
    target = answer.target
    if answer.reason is not None or target is None or not isinstance(target.host, Name):
        return answer
    try:
        resolution = await resolver.resolve(target.host)
    except ProxyError as error:
        return answer._replace(reason=error.reason, detail=error.detail)
    return judge_addresses(answer, target, resolution.addresses, policy)


def choose_job(settings: Settings, job_id: str | None, options: JobOptions) -> JobSettings:
    """Find the job to check: of the file, or made of the options.

    Raises:
        click.UsageError: The file has no such job, or several and none was named.
    """
    known = [job.id for job in settings.jobs]
    if job_id is not None and job_id not in known:
        raise click.UsageError(
            f'no job "{job_id}" in the configuration; it has: {", ".join(known) or "none"}'
        )
    return settings_with_job(settings, options, job_id=job_id or "check").jobs[0]


@click.command(
    epilog="Example: jobgate check --domain .example.com https://www.example.com/ http://example.org/"
)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--job", metavar="ID", help="The job of the configuration file.")
@config_option
@rule_options
@click.option("--resolve", is_flag=True, help="Look names up and judge their addresses as well.")
@click.option("--json", "as_json", is_flag=True, envvar="JOBGATE_JSON", help="One JSON object a line.")
def command(
    urls: tuple[str, ...],
    job: str | None,
    config: str | None,
    domains: tuple[str, ...],
    deny: tuple[str, ...],
    resolve: bool,
    as_json: bool,
) -> None:
    """Explain whether a job may reach each URL; `host:port` means a tunnel, as for https.

    Exits with 0 if all are allowed and with 1 if any is refused.
    """
    settings = load_settings(config)
    chosen = choose_job(settings, job, JobOptions(domains=domains, deny=deny))
    policy = Policy(chosen.policy, settings.node.policy)
    if resolve:
        answers = asyncio.run(judge_resolved(urls, policy, settings))
    else:
        answers = [judge(url, policy) for url in urls]
    for answer in answers:
        click.echo(answer.as_json() if as_json else answer.as_text())
    if any(answer.reason is not None for answer in answers):
        raise click.exceptions.Exit(1)
