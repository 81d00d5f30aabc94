"""Answers that say no: one form for all (RFC 9457), with a stable reason and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from aiohttp import web

from jobgate.config.convert import Problem
from jobgate.config.load import ConfigError
from jobgate.gateway.stored import StoreError
from jobgate.gateway.views import JobProblems, Origin, ReadOnlyJob, UnknownJob

from .answers import json_response

MEDIA_TYPE = "application/problem+json"


class ApiProblem(Exception):
    """A request that is not served.

    Args:
        status: Of the answer.
        reason: One word for programs.
        detail: What is wrong and what to do, for people.
        problems: Single errors of a document, each with the path of its key.
        headers: Further fields of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        detail: str,
        *,
        problems: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.problems = list(problems)
        self.headers = headers or {}


class BadRequest(ApiProblem):
    """A request that breaks a rule of the API (400)."""

    def __init__(self, detail: str) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "bad-request", detail)


#: What the registry raises.
REGISTRY_ERRORS = (UnknownJob, ReadOnlyJob, JobProblems, ConfigError, StoreError)


def problem_of(error: Exception) -> ApiProblem:
    """Translate an error of the registry, or of aiohttp, once.

    Raises:
        TypeError: It is neither.
    """
    match error:
        case ApiProblem():
            return error
        case UnknownJob():
            return ApiProblem(HTTPStatus.NOT_FOUND, "unknown-job", _sentence(error))
        case ReadOnlyJob():
            reason = "member" if error.origin is Origin.MEMBER else "file-job"
            return ApiProblem(HTTPStatus.CONFLICT, reason, _sentence(error))
        case JobProblems():
            return _invalid("The job cannot be taken", error.problems)
        case ConfigError():
            return _invalid(
                "The configuration is not taken on", [Problem("", line) for line in error.problems]
            )
        case StoreError():
            return ApiProblem(
                HTTPStatus.SERVICE_UNAVAILABLE, "store", f"Nothing was changed: {error}.", headers=_RETRY
            )
        case web.HTTPException():
            return _of_aiohttp(error)
        case _:
            raise TypeError(f"no problem for {error!r}")


def problem_response(problem: ApiProblem) -> web.Response:
    """Write a problem as an answer.

    Source: RFC 9457 §3.
    """
    body: dict[str, object] = {
        "title": problem.status.phrase,
        "status": problem.status.value,
        "reason": problem.reason,
        "detail": problem.detail,
    }
    if problem.problems:
        body["problems"] = [{"key": key, "message": message} for key, message in problem.problems]
    return json_response(body, status=problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


_RETRY = {"Retry-After": "1"}


def _invalid(text: str, problems: list[Problem]) -> ApiProblem:
    lines = "; ".join(f"{key}: {message}" if key else message for key, message in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    detail = f"{text}: {lines}{more}."
    return ApiProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, problems=problems)


def _of_aiohttp(error: web.HTTPException) -> ApiProblem:
    status = HTTPStatus(error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ApiProblem(status, "method", f"Only {allowed} is served here.", headers={"Allow": allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return ApiProblem(status, "too-large", "The content is too large: send less at once.")
    if status is HTTPStatus.NOT_FOUND:
        return ApiProblem(status, "no-resource", "There is no such resource: see /v1/openapi.json.")
    return ApiProblem(status, "bad-request", f"{error.reason}.")


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
