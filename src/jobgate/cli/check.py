"""``jobgate check``: the decision about a URL, by the very code that enforces it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jobgate.config.host import Name
from jobgate.config.policy import Policy
from jobgate.config.settings import JobSettings, Settings
from jobgate.gateway.explain import Answer, judge, judge_addresses
from jobgate.proxy.dnsanswer import incomplete
from jobgate.proxy.errors import ProxyError
from jobgate.proxy.resolver import Resolver

from .control import ask, control_options, is_of_gateway
from .options import JobOptions, config_option, load_settings, rule_options, settings_with_job

if TYPE_CHECKING:
    from jobgate.client.values import Verdict


async def judge_resolved(urls: Sequence[str], policy: Policy, settings: Settings) -> list[Answer]:
    """Decide by name, then look each allowed name up and judge its addresses."""
    resolver = Resolver(settings.dns)
    try:
        return [await _resolved(judge(url, policy), policy, resolver) for url in urls]
    finally:
        await resolver.close()


async def _resolved(answer: Answer, policy: Policy, resolver: Resolver) -> Answer:
    target = answer.target
    if not answer.allowed or target is None or not isinstance(target.host, Name):
        return answer
    try:
        resolution = await resolver.resolve(target.host, whole=True)
    except ProxyError as error:
        return answer._replace(reason=error.reason, detail=error.detail, reported=False)
    judged = judge_addresses(answer, target, resolution.addresses, policy)
    if not judged.allowed and resolution.missing is not None:
        failure = incomplete(target.host, resolution.missing)  # as the gate: what is missing may be good
        return answer._replace(reason=failure.reason, detail=failure.detail, reported=False)
    return judged


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


def verdict_text(verdict: Verdict) -> str:
    """Write a gateway's answer as our own."""
    if verdict.reason is None:
        return f"allow  {verdict.url}  by {verdict.rule}"
    judged = "allow" if verdict.would else "deny "
    would = "only reported: " if verdict.would else ""
    return f"{judged}  {verdict.url}  {would}{verdict.reason}: {verdict.detail}"


def tell(lines: Sequence[str], *, allowed: bool) -> None:
    """Print one line for each URL; a refusal among them is the exit code."""
    for line in lines:
        click.echo(line)
    if not allowed:
        raise click.exceptions.Exit(1)


@click.command(
    epilog="Example: jobgate check --domain .example.com https://www.example.com/ http://example.org/"
)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--job", metavar="ID", help="The job of the configuration file, else of the running gateway.")
@config_option
@rule_options
@click.option("--resolve", is_flag=True, help="Look names up and judge their addresses as well.")
@click.option("--json", "as_json", is_flag=True, envvar="JOBGATE_JSON", help="One JSON object a line.")
@control_options
@click.pass_context
def command(
    ctx: click.Context,
    urls: tuple[str, ...],
    job: str | None,
    config: str | None,
    domains: tuple[str, ...],
    deny: tuple[str, ...],
    resolve: bool,
    as_json: bool,
    control: str,
    control_token_file: str | None,
) -> None:
    """Explain whether a job may reach each URL; `host:port` means a tunnel, as for https.

    Exits with 0 if all are allowed and with 1 if any is refused.
    """
    settings = load_settings(config)
    if job is not None and not (domains or deny or resolve) and is_of_gateway(ctx, settings, job):
        verdicts = ask(control, control_token_file, lambda gateway: gateway.check(job, urls))
        lines = [json.dumps(asdict(verdict)) if as_json else verdict_text(verdict) for verdict in verdicts]
        return tell(lines, allowed=all(verdict.decision == "allow" for verdict in verdicts))
    chosen = choose_job(settings, job, JobOptions(domains=domains, deny=deny))
    policy = Policy(chosen.policy, settings.node.policy)
    if resolve:
        answers = asyncio.run(judge_resolved(urls, policy, settings))
    else:
        answers = [judge(url, policy) for url in urls]
    lines = [json.dumps(answer.record()) if as_json else answer.as_text() for answer in answers]
    return tell(lines, allowed=all(answer.allowed for answer in answers))
