"""What Bacalhau's Docker executor tells its gateway container: three variables. Pure.

Domains and client networks are JSON lists of texts, the job's id is plain text.
Every other variable is left alone: the executor sets some that mean nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from jobgate.config.job_readers import read_clients
from jobgate.config.members import MemberErrors, members_of, text_of
from jobgate.config.networks import Network
from jobgate.config.readers import read_job_id
from jobgate.config.rule import Rule, RuleError, parse_rule, quoted

DOMAINS = "BACALHAU_HTTP_DOMAINS"
CLIENTS = "BACALHAU_HTTP_CLIENTS"
JOB_ID = "BACALHAU_JOB_ID"

_EXAMPLES = {DOMAINS: '["example.com", ".example.net"]', CLIENTS: '["172.18.0.0/16"]'}

_T = TypeVar("_T")


class VariableErrors(ValueError):
    """Variables that cannot be used.

    Args:
        problems: One line each, with the variable, the entry, and what to write.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Variables:
    """One job, as the executor describes it.

    Attributes:
        domains: At least one, as they were listed: an entry that another one covers is still there.
        clients: Networks of the job's containers, at least one.
        job_id: What origins are told, and the name in the log.
    """

    domains: tuple[Rule, ...]
    clients: tuple[Network, ...]
    job_id: str


def read_variables(environ: Mapping[str, str]) -> Variables:
    """Read them.

    Raises:
        VariableErrors: All that is wrong with them.
    """
    problems: list[str] = []

    def read(name: str, reader: Callable[[str], _T], default: _T) -> _T:
        if not environ.get(name):
            problems.append(f"{name}: missing: Bacalhau's executor sets it{_example(name)}")
            return default
        try:
            return reader(environ[name])
        except MemberErrors as error:
            problems.extend(f"{name}: {message}" for _, message in error.errors)
        except ValueError as error:
            problems.append(f"{name}: {error}")
        return default

    variables = Variables(
        read(DOMAINS, _domains, ()), read(CLIENTS, _clients, ()), read(JOB_ID, read_job_id, "")
    )
    if problems:
        raise VariableErrors(problems)
    return variables


def read_domain(value: object) -> Rule:
    """Read a domain as a Bacalhau job may list it: a rule without a port.

    Raises:
        ValueError: Anything else; the message says how to write it.
    """
    try:
        rule = parse_rule(text_of(value))
    except RuleError as error:
        raise RuleError(str(error).removesuffix(', and ":port" if need be')) from None
    if rule.port is not None:
        raise RuleError(f"a domain of a Bacalhau job has no port: write {quoted(str(_portless(rule)))}")
    return rule


def _portless(rule: Rule) -> Rule:
    return Rule(rule.host, rule.suffix)


def _domains(text: str) -> tuple[Rule, ...]:
    domains = members_of(_list(DOMAINS, text), read_domain)
    if not domains:
        raise ValueError(f"empty: the job needs at least one domain{_example(DOMAINS)}")
    return domains


def _clients(text: str) -> tuple[Network, ...]:
    clients = read_clients(_list(CLIENTS, text))
    if not clients:
        raise ValueError(f"empty: nobody could use the gate; write the job's network{_example(CLIENTS)}")
    return clients


def _list(name: str, text: str) -> list[object]:
    """Read a JSON list of texts."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested too deeply: write a JSON list{_example(name)}") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error}): write a list{_example(name)}") from None
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError(f"not a JSON list of texts{_example(name)}")
    return value


def _example(name: str) -> str:
    return f", as in '{_EXAMPLES[name]}'" if name in _EXAMPLES else ""
