"""What a Bacalhau job asks for, from the data that its job selection probe gets. Pure.

Both forms: ``{"Job": {"Tasks": [{"Network": ...}]}}``, and ``{"spec": {"Network": ...}}`` of
versions before 1.1. Every task counts. ``Host``, ``Full`` and ``Bridge`` are the open network;
what ``Default`` and no type are depends on the node, and the caller says it.

Source: bacalhau, pkg/models/network.go, pkg/bidstrategy/semantic/external_exec.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from jobgate.config.policy import JobPolicy, Network
from jobgate.config.rule import Rule, RuleError, parse_rule, quoted
from jobgate.config.rules import NO_RULES, RuleSet

from .asking import Ask, JobError
from .documents import member

#: Variable in which the probe finds the job.
PROBE_VARIABLE = "BACALHAU_JOB_SELECTION_PROBE_DATA"

_NETWORKS = {
    "none": Network.NONE,
    "http": Network.HTTP,
    "full": Network.FULL,
    "host": Network.FULL,
    "bridge": Network.FULL,
}
_KEYS = ("job", "spec", "tasks")
#: Of one task: Bacalhau hands a job over in a variable, which on Linux has 128 KiB and no room for more.
MAX_DOMAINS = 10_000


def is_bacalhau(document: Mapping[str, object]) -> bool:
    """Say whether a document is a job of Bacalhau's."""
    return any(key.casefold() in _KEYS for key in document)


def read_job(document: Mapping[str, object], default: Network) -> list[Ask]:
    """Read what each task asks for.

    Args:
        document: Of the probe, or a job's specification.
        default: What the node makes of network type ``Default``, and of none.

    Raises:
        JobError: It is no job, or a task contradicts itself; all problems.
        DocumentError: A key has two spellings.
    """
    if sum(key.casefold() in _KEYS for key in document) > 1:
        raise JobError(["the document is more than one job: Job, Tasks or spec, not several of them"])
    job = member(document, "job")
    table = document if job is None else _table(job, "Job")
    tasks, spec = member(table, "tasks"), member(table, "spec")
    if tasks is not None and spec is not None:
        raise JobError(["the job has Tasks and Spec: one of them is not read by everybody"])
    if spec is not None:
        found = [("", _table(spec, "Spec"))]
    elif isinstance(tasks, list) and tasks:
        found = [(_place(task, index), _table(task, f"Tasks[{index}]")) for index, task in enumerate(tasks)]
    else:
        raise JobError(["the job has no Tasks and no Spec"])
    asks: list[Ask] = []
    problems: list[str] = []
    for place, task in found:
        try:
            asks.append(Ask(place, _policy(member(task, "network"), default)))
        except JobError as error:
            problems += [f"{place}: {problem}" if place else problem for problem in error.problems]
    if problems:
        raise JobError(problems)
    return asks


def _place(task: object, index: int) -> str:
    name = member(task, "name") if isinstance(task, dict) else None
    return f"task {quoted(name)}" if isinstance(name, str) and name else f"task {index + 1}"


def _table(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise JobError([f"{place}: expected an object"])
    return value


def _policy(network: object, default: Network) -> JobPolicy:
    table = _table({} if network is None else network, "Network")
    kind = _network(member(table, "type"), default)
    domains, problems = _domains(member(table, "domains"))
    if kind is not Network.HTTP and (domains or problems):
        named = ": " + ", ".join(quoted(str(rule)) for rule in domains) if domains else ""
        problems.append(f"domains can only be set for network type HTTP{named}")
    if kind is Network.HTTP and not domains and not problems:
        problems.append("network type HTTP needs at least one domain")
    if problems:
        raise JobError(problems)
    return JobPolicy(kind, domains)


def _network(value: object, default: Network) -> Network:
    if value is None:  # the zero value of its type, which is None up to v1.6 and Default from v1.7 on
        return default
    if not isinstance(value, str):
        raise JobError(["Network.Type: expected a text: the numbers differ between versions"])
    name = value.strip().lower()
    if name in ("", "default"):
        return default
    if name not in _NETWORKS:
        raise JobError([f"Network.Type: unknown type {quoted(value)}"])
    return _NETWORKS[name]


def _domains(value: object) -> tuple[RuleSet, list[str]]:
    if value is None:
        return NO_RULES, []
    if not isinstance(value, list):
        return NO_RULES, ["Network.Domains: expected a list of texts"]
    if len(value) > MAX_DOMAINS:
        return NO_RULES, [f"Network.Domains: more than {MAX_DOMAINS} entries"]
    rules: list[Rule] = []
    problems: list[str] = []
    for index, entry in enumerate(value):
        try:
            rules.append(_domain(entry))
        except RuleError as error:
            shown = f" {quoted(entry)}" if isinstance(entry, str) else f"[{index}]"
            problems.append(f"invalid domain{shown}: {error}")
    return RuleSet(rules), problems


def _domain(entry: object) -> Rule:
    if not isinstance(entry, str):
        raise RuleError("expected a text")
    rule = parse_rule(entry)
    if rule.port is not None:
        raise RuleError(f"a domain has no port: write {quoted(str(Rule(rule.host, rule.suffix)))}")
    return rule
