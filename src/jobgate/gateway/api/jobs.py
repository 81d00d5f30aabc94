"""``/v1/jobs``: list, show, add, change, remove."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web

from jobgate.gateway.views import JobView, UnknownJob

from .answers import JSON, entity_tag, json_bytes, json_response, raw_response
from .bodies import PATCH_TYPES, read_object
from .context import Control, control_of, job_id_of
from .parameters import AFTER, LABEL, LIMIT
from .problems import ApiProblem, BadRequest
from .shapes import job_shape

#: Jobs that are written before the loop has its turn again: two milliseconds.
SLICE = 25
TOKEN_BYTES = 32
#: Entity tags, one or more, or any (RFC 9110 §13.1.1).
IF_MATCH = r'^(\*|(W/)?"[!#-~]{0,100}"([ ]?,[ ]?(W/)?"[!#-~]{0,100}"){0,10})$'
#: Entity tags have no use here.
IF_NONE_MATCH = r"^\*$"
_EXPECTED = {"If-Match": 'the ETag of an answer, or "*"', "If-None-Match": '"*"'}


async def list_jobs(request: web.Request) -> web.Response:
    """A page of jobs in the order of their ids. The data plane has its turns in between."""
    control = control_of(request)
    limit = LIMIT.of(request.query)
    labels = LABEL.all_of(request.query)
    after, found, pieces = AFTER.of(request.query), 0, []
    following: str | None = None
    at = time.time()  # in the turn in which the first ones are looked at: rates are told from both
    while following is None and (views := control.registry.jobs(after, SLICE)):
        shown = [view for view in views if _has_labels(view, labels)]
        if found + len(shown) > limit:
            shown = shown[: limit - found]
            following = shown[-1].id if shown else after
        pieces += [json_bytes(job_shape(view, control.gate.jobs.get(view.id))) for view in shown]
        found += len(shown)
        after = views[-1].id
        await asyncio.sleep(0)
    head = json_bytes({"at": at, "next": following})
    return raw_response(head[:-1] + b',"jobs":[' + b",".join(pieces) + b"]}")


async def show_job(request: web.Request) -> web.Response:
    """One job."""
    control = control_of(request)
    return _answer(control, control.registry.get(job_id_of(request)))


async def put_job(request: web.Request) -> web.Response:
    """Add a job, or replace it whole."""
    control, job_id = control_of(request), job_id_of(request)
    document, token = with_token(await read_object(request))
    async with control.changing():
        check_conditions(request.headers, _current(control, job_id))
        view, created = await control.registry.put(job_id, document)
    return _answer(control, view, created=created, token=token)


async def patch_job(request: web.Request) -> web.Response:
    """Change some keys of a job."""
    control, job_id = control_of(request), job_id_of(request)
    changes, token = with_token(await read_object(request, PATCH_TYPES))
    async with control.changing():
        check_conditions(request.headers, control.registry.get(job_id))
        view = await control.registry.patch(job_id, changes)
    return _answer(control, view, token=token)


async def remove_job(request: web.Request) -> web.Response:
    """Remove a job."""
    control, job_id = control_of(request), job_id_of(request)
    async with control.changing():
        check_conditions(request.headers, control.registry.get(job_id))
        await control.registry.remove(job_id)
    return web.Response(status=HTTPStatus.NO_CONTENT)


def with_token(document: Mapping[str, object]) -> tuple[dict[str, object], str | None]:
    """Put a random token where the document asks for one: ``"token": true``.

    Returns:
        The document, and the token that was made.
    """
    if document.get("token") is not True:
        return dict(document), None
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return {**document, "token": token}, token


def check_conditions(headers: Mapping[str, str], view: JobView | None) -> None:
    """Hold a change to the state of the job that it was made for.

    Raises:
        ApiProblem: The job is another one than ``If-Match`` says, or is there in spite of
            ``If-None-Match: *`` (412).

        BadRequest: A condition that has another form.

    Source: RFC 9110 §13.1.1, §13.1.2.
    """
    wanted, unwanted = (
        _condition(headers, name, form)
        for name, form in (("If-Match", IF_MATCH), ("If-None-Match", IF_NONE_MATCH))
    )
    if wanted is not None and (view is None or not _matches(wanted, view)):
        raise ApiProblem(
            HTTPStatus.PRECONDITION_FAILED,
            "changed",
            "The job is not as it was when you looked: get it again, and decide anew.",
        )
    if unwanted is not None and view is not None:
        detail = f'There is a job "{view.id}" already: take another id, or change that job.'
        raise ApiProblem(HTTPStatus.PRECONDITION_FAILED, "exists", detail)


def _condition(headers: Mapping[str, str], name: str, form: str) -> str | None:
    value = headers.get(name)
    if value is not None and not re.fullmatch(form, value):
        raise BadRequest(f"The field {name} is wrong: expected {_EXPECTED[name]}.")
    return value


def _matches(wanted: str, view: JobView) -> bool:
    tag = entity_tag(view.document)
    return wanted.strip() == "*" or tag in (text.strip() for text in wanted.split(","))


def _has_labels(view: JobView, wanted: Sequence[str]) -> bool:
    labels = view.document["labels"]
    if not isinstance(labels, Mapping):
        return False
    pairs = (text.partition("=") for text in wanted)
    return all(key in labels and (not equals or labels[key] == value) for key, equals, value in pairs)


def _current(control: Control, job_id: str) -> JobView | None:
    try:
        return control.registry.get(job_id)
    except UnknownJob:
        return None


def _answer(
    control: Control, view: JobView, *, created: bool = False, token: str | None = None
) -> web.Response:
    shape = job_shape(view, control.gate.jobs.get(view.id))
    headers = {"ETag": entity_tag(view.document)}
    if created:
        headers["Location"] = f"/v1/jobs/{view.id}"
    return json_response(
        shape if token is None else {**shape, "token": token},
        status=HTTPStatus.CREATED if created else HTTPStatus.OK,
        headers=headers,
        media_type=JSON,
    )
