from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.rule import RuleError
from jobgate.integrations.bacalhau.variables import (
    CLIENTS,
    DOMAINS,
    JOB_ID,
    VariableErrors,
    read_domain,
    read_variables,
)
from support.bacalhau import variables

NOT_A_LIST = """BACALHAU_HTTP_DOMAINS: not a JSON list of texts, as in '["example.com", ".example.net"]'"""


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(VariableErrors) as error:
        read_variables(environ)
    return error.value.problems


def test_variables_are_read() -> None:
    read = read_variables(
        variables([" EXAMPLE.com ", ".example.net", "192.0.2.7"], ["172.18.0.0/16", "fd00::/64"])
    )
    assert [str(rule) for rule in read.domains] == ["example.com", ".example.net", "192.0.2.7"]
    assert read.clients == (ip_network("172.18.0.0/16"), ip_network("fd00::/64"))
    assert read.job_id == "job-123"


def test_other_variables_mean_nothing() -> None:
    more = {"BACALHAU_EXECUTION_ID": "e-1", "BACALHAU_HTTP_LIMIT": "x", "http_proxy": "y"}
    assert read_variables({**variables(), **more}) == read_variables(variables())


DOMAIN_PROBLEMS = {
    "C1-empty-list": ("[]", "BACALHAU_HTTP_DOMAINS: empty: the job needs at least one domain, as in"),
    "C2-not-json": (
        "not json",
        "BACALHAU_HTTP_DOMAINS: not JSON (Expecting value: line 1 column 1 (char 0))",
    ),
    "C2-null": ("null", NOT_A_LIST),
    "C2-text": ('"example.com"', NOT_A_LIST),
    "numbers": ("[1]", NOT_A_LIST),
    "table": ("{}", NOT_A_LIST),
    "null inside": ("[null]", NOT_A_LIST),
    "deep": ("[" * 100_000, "BACALHAU_HTTP_DOMAINS: nested too deeply"),
    "empty": ("", "BACALHAU_HTTP_DOMAINS: missing: Bacalhau's executor sets it"),
    "empty entry": ('[""]', 'BACALHAU_HTTP_DOMAINS: "": empty: write a name'),
}


@pytest.mark.parametrize(("text", "message"), DOMAIN_PROBLEMS.values(), ids=DOMAIN_PROBLEMS)
def test_domains_that_cannot_be_used(text: str, message: str) -> None:
    (problem,) = problems({**variables(), DOMAINS: text})
    assert problem.startswith(message)


INVALID = {
    "D26-port": ("example.com:8080", 'a domain of a Bacalhau job has no port: write "example.com"'),
    "D26-port-of-a-suffix": (".example.com:80", 'write ".example.com"'),
    "D26-port-of-an-address": ("[2001:db8::1]:80", 'write "2001:db8::1"'),
    "D26-url": ("http://example.com", 'a URL, not a domain: write "example.com"'),
    "D26-wildcard": ("*.example.com", 'write ".example.com"'),
    "D26-space": ("a b.com", "spaces inside"),
    "D26-S4-newline": ("e.com\nother.test", "line break or control character inside"),
    "D26-two-dots": ("..e.com", 'write ".e.com"'),
    "comment": ("example.com#x", "a host name"),
    "non-ASCII tail": ("example.com\u2028", "line break or control character inside"),
}


@pytest.mark.parametrize(("entry", "message"), INVALID.values(), ids=INVALID)
def test_entry_that_upstream_takes_is_refused_and_named(entry: str, message: str) -> None:
    (problem,) = problems(variables([entry]))
    assert problem.startswith(f"BACALHAU_HTTP_DOMAINS: {json.dumps(entry)}: ")
    assert message in problem
    assert "\n" not in problem


CLIENT_PROBLEMS = {
    "C4-empty-list": ("[]", "empty: nobody could use the gate"),
    "not json": ("172.18.0.0/16", "not JSON"),
    "host bits": ('["172.18.0.2/16"]', 'write "172.18.0.0/16"'),
    "port": ('["172.18.0.2:80"]', "a client's port has no meaning"),
    "name": ('["job"]', '"job": write an address'),
    "mapped": ('["::ffff:172.18.0.0/112"]', "write that network"),
}


@pytest.mark.parametrize(("text", "message"), CLIENT_PROBLEMS.values(), ids=CLIENT_PROBLEMS)
def test_clients_that_cannot_be_used(text: str, message: str) -> None:
    (problem,) = problems({**variables(), CLIENTS: text})
    assert problem.startswith("BACALHAU_HTTP_CLIENTS: ")
    assert message in problem


@pytest.mark.parametrize("job", ["", "a b", "a\r\nX: y", "ä", "a" * 129], ids=["C3-none", *"bcde"])
def test_job_id_goes_into_a_field_and_is_checked(job: str) -> None:
    (problem,) = problems(variables(job=job))
    assert problem.startswith("BACALHAU_JOB_ID: ")


def test_all_problems_are_told_at_once() -> None:
    told = problems({DOMAINS: '["*.a.test", "b.test", "c d"]', CLIENTS: "[]"})
    assert [problem.partition(":")[0] for problem in told] == [DOMAINS, DOMAINS, CLIENTS, JOB_ID]


@given(st.text())
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    told: list[str] = []
    try:
        read_variables({**variables(), DOMAINS: text})
    except VariableErrors as error:
        told = error.problems
    assert all(problem.startswith(DOMAINS) and problem.isprintable() for problem in told)


@given(st.text())
def test_any_entry_is_a_rule_without_a_port_or_an_error(text: str) -> None:
    with suppress(RuleError):
        assert read_domain(text).port is None
