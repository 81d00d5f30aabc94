"""The list of what the API does: the routes and the OpenAPI document are both made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from aiohttp import web

from . import insight, jobs, node, stream
from .bodies import JSON_TYPES, PATCH_TYPES, TOML_TYPES
from .parameters import ADDRESS, AFTER, FORM, JOB, LABEL, LIMIT, LINES, SUFFIX, TOP, Parameter, check_names

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Answer(NamedTuple):
    """A success.

    Attributes:
        schema: Name of the component; ``""``: a text.
        headers: Fields of the head, each with what it means.
        media_types: What the content can be; none: there is no content.
    """

    description: str
    schema: str = ""
    headers: Mapping[str, str] = {}
    media_types: tuple[str, ...] = JSON_TYPES


class Body(NamedTuple):
    """What a request carries.

    Attributes:
        schema: Name of the component; ``""``: a text.
        media_types: What it can be sent as.
    """

    schema: str
    media_types: tuple[str, ...] = JSON_TYPES


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done.

    Attributes:
        method: Of HTTP.
        path: With ``{id}`` for a job.
        name: Unique, for programs that are made from the document.
        handler: Does it.
        summary: One line.
        answers: Successes by status.
        refusals: Statuses of problems, besides those that every operation has.
        parameters: Of the query.
        body: Of the request; ``None``: there is none.
        conditions: Fields of the head that hold it to a state of the job: description and pattern.
        is_public: Nobody needs a token for it.
    """

    method: str
    path: str
    name: str
    handler: Handler
    summary: str
    answers: Mapping[HTTPStatus, Answer]
    refusals: tuple[HTTPStatus, ...] = ()
    parameters: tuple[Parameter[object], ...] = ()
    body: Body | None = None
    conditions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    is_public: bool = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Do it, if nothing in the query is unknown."""
        check_names(request.query, [parameter.name for parameter in self.parameters])
        return await self.handler(request)


_OK, _CREATED, _NO_CONTENT = HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT
_MISSING, _CONFLICT, _BUSY = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE
_INVALID = HTTPStatus.UNPROCESSABLE_ENTITY
_CHANGE = (_CONFLICT, HTTPStatus.PRECONDITION_FAILED, _INVALID, _BUSY)

_TAG = {"ETag": "The state of the job's settings, for `If-Match`."}
_IF_MATCH = {"If-Match": ("Change it only if it is still as this `ETag` says; otherwise 412.", jobs.IF_MATCH)}
_IF_NEW = {"If-None-Match": ("`*`: only if there is no such job; otherwise 412.", jobs.IF_NONE_MATCH)}
_JOB = Answer("The job.", "Job", _TAG)
_EVENTS = Answer(
    "Lines of the log as events, until the client leaves: `decision`, `close`, `policy` and others, named as "
    "in the log; `lost` where this client was too slow.",
    media_types=(stream.MEDIA_TYPE,),
)

OPERATIONS = (
    Operation(
        "GET",
        "/v1/jobs",
        "list_jobs",
        jobs.list_jobs,
        "List jobs in the order of their ids.",
        {_OK: Answer("A page.", "JobPage")},
        parameters=(AFTER, LIMIT, LABEL),
    ),
    Operation(
        "GET", "/v1/jobs/{id}", "get_job", jobs.show_job, "Show a job.", {_OK: _JOB}, refusals=(_MISSING,)
    ),
    Operation(
        "PUT",
        "/v1/jobs/{id}",
        "put_job",
        jobs.put_job,
        "Add a job, or replace it whole: what the document leaves out has its default.",
        {
            _OK: Answer("The job as it is now.", "JobWithToken", _TAG),
            _CREATED: Answer(
                "The job, which is new.", "JobWithToken", {**_TAG, "Location": "Where it is from now on."}
            ),
        },
        refusals=_CHANGE,
        body=Body("Settings"),
        conditions={**_IF_MATCH, **_IF_NEW},
    ),
    Operation(
        "PATCH",
        "/v1/jobs/{id}",
        "patch_job",
        jobs.patch_job,
        "Change some settings of a job (merge patch, RFC 7396: null is the default, a list replaces one).",
        {_OK: Answer("The job as it is now.", "JobWithToken", _TAG)},
        refusals=(_MISSING, *_CHANGE),
        body=Body("SettingsPatch", PATCH_TYPES),
        conditions=_IF_MATCH,
    ),
    Operation(
        "DELETE",
        "/v1/jobs/{id}",
        "remove_job",
        jobs.remove_job,
        "Remove a job: its listener closes, its connections end, its counters are forgotten.",
        {_NO_CONTENT: Answer("It is gone.", media_types=())},
        refusals=(_MISSING, _CONFLICT, HTTPStatus.PRECONDITION_FAILED, _BUSY),
        conditions=_IF_MATCH,
    ),
    Operation(
        "POST",
        "/v1/jobs/{id}/check",
        "check",
        insight.check,
        "Explain what would happen to URLs, by the very code that decides; no name is looked up.",
        {_OK: Answer("One answer for each URL, in order.", "Answers")},
        refusals=(_MISSING, _CONFLICT),
        body=Body("Check"),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}/usage",
        "get_usage",
        insight.usage,
        "Show the counters of a job, and the hosts that it reached and was refused.",
        {_OK: Answer("The usage.", "Usage")},
        refusals=(_MISSING,),
        parameters=(TOP,),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}/decisions",
        "get_decisions",
        insight.decisions,
        "Show the newest lines of the log about a job.",
        {_OK: Answer("Lines, the newest last.", "Lines")},
        refusals=(_MISSING,),
        parameters=(LINES,),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}/learned",
        "get_learned",
        insight.learned,
        "Show the smallest policy that would let pass what the job did, in report mode above all.",
        {_OK: Answer("The policy.", "Learned", media_types=(*JSON_TYPES, "text/plain"))},
        refusals=(_MISSING,),
        parameters=(FORM, SUFFIX),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}/env",
        "get_variables",
        insight.variables,
        "Show the variables by which the job finds its gate.",
        {_OK: Answer("The variables.", "Variables")},
        refusals=(_MISSING, _CONFLICT),
        parameters=(ADDRESS,),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}/events",
        "follow_job",
        stream.job_events,
        "Follow the log about a job.",
        {_OK: _EVENTS},
        refusals=(_MISSING, _BUSY),
    ),
    Operation(
        "GET",
        "/v1/events",
        "follow",
        stream.all_events,
        "Follow the log.",
        {_OK: _EVENTS},
        refusals=(_BUSY,),
        parameters=(JOB,),
    ),
    Operation(
        "GET",
        "/v1/policy",
        "get_policy",
        node.show_policy,
        "Show what bounds every job now.",
        {_OK: Answer("The node's part of the configuration in force.", "Policy")},
    ),
    Operation(
        "POST",
        "/v1/policy/validate",
        "validate_policy",
        node.validate,
        "Read a configuration (TOML) and say what is wrong with it, or what it would change.",
        {_OK: Answer("What was found; nothing has changed.", "Validation")},
        body=Body("", TOML_TYPES),
    ),
    Operation(
        "POST",
        "/v1/policy/reload",
        "reload_policy",
        node.reload,
        "Read the configuration file again and take on all of it, or nothing.",
        {_OK: Answer("What has changed.", "Reload")},
        refusals=(_INVALID, _BUSY),
    ),
    Operation(
        "GET", "/v1/node", "get_node", node.show_node, "Show what runs here.", {_OK: Answer("It.", "Node")}
    ),
    Operation(
        "GET",
        "/healthz",
        "healthz",
        node.healthy,
        "Say whether the process works.",
        {_OK: Answer("It does.", "Status")},
        is_public=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        node.ready,
        "Say whether jobs' connections are accepted.",
        {_OK: Answer("They are.", "Status")},
        refusals=(_BUSY,),
        is_public=True,
    ),
)
"""Everything but ``/v1/openapi.json``, which is made of this."""
