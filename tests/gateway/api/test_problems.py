from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from aiohttp import web

from jobgate.config.convert import Problem
from jobgate.config.load import ConfigError
from jobgate.gateway.api.problems import ApiProblem, BadRequest, problem_of, problem_response
from jobgate.gateway.stored import StoreError
from jobgate.gateway.views import JobProblems, ReadOnlyJob, UnknownJob


@pytest.mark.parametrize(
    ("error", "status", "reason", "detail"),
    [
        (BadRequest("Send it."), 400, "bad-request", "Send it."),
        (UnknownJob("a"), 404, "unknown-job", 'No job "a".'),
        (
            ReadOnlyJob("a"),
            409,
            "file-job",
            'Job "a" is in the configuration file: change it there and reload.',
        ),
        (
            JobProblems([Problem("tls", "expected one of: require, any")]),
            422,
            "invalid",
            "The job cannot be taken: tls: expected one of: require, any.",
        ),
        (
            ConfigError(["a.toml: node: expected a table"]),
            422,
            "invalid",
            "The configuration is not taken on: a.toml: node: expected a table.",
        ),
        (
            StoreError("cannot write /s: the disk is full: make room"),
            503,
            "store",
            "Nothing was changed: cannot write /s: the disk is full: make room.",
        ),
        (web.HTTPNotFound(), 404, "no-resource", "There is no such resource: see /v1/openapi.json."),
        (
            web.HTTPMethodNotAllowed("PUT", ["GET", "DELETE"]),
            405,
            "method",
            "Only DELETE, GET is served here.",
        ),
        (
            web.HTTPRequestEntityTooLarge(1, 2),
            413,
            "too-large",
            "The content is too large: send less at once.",
        ),
        (web.HTTPExpectationFailed(), 417, "bad-request", "Expectation Failed."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_problem_of_an_error(error: Exception, status: int, reason: str, detail: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.reason, problem.detail) == (status, reason, detail)


def test_other_errors_are_no_problems() -> None:
    with pytest.raises(TypeError):
        problem_of(ValueError("x"))


def test_answer_is_a_problem_document() -> None:
    problems = [Problem(f"domains[{index}]", "wrong") for index in range(5)]
    response = problem_response(problem_of(JobProblems(problems)))
    assert (response.status, response.content_type) == (422, "application/problem+json")
    assert isinstance(response.body, bytes)
    body = json.loads(response.body)
    assert (body["title"], body["status"], body["reason"]) == ("Unprocessable Entity", 422, "invalid")
    assert body["problems"] == [{"key": f"domains[{index}]", "message": "wrong"} for index in range(5)]
    assert body["detail"].endswith("domains[2]: wrong; and 2 more.")


def test_fields_of_a_problem_reach_the_answer() -> None:
    problem = ApiProblem(HTTPStatus.SERVICE_UNAVAILABLE, "store", "x", headers={"Retry-After": "1"})
    assert problem_response(problem).headers["Retry-After"] == "1"
