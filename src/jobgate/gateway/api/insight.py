"""``/v1/jobs/{id}/…``: what a job may do, has done, and needs."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from jobgate.config.endpoints import Endpoint, UnixPath, parse_listen
from jobgate.config.policy import Network, Tls
from jobgate.gateway.explain import judge
from jobgate.gateway.learned import as_options, as_toml, learn
from jobgate.gateway.variables import TOKEN_PLACE, NoAddress, address_for_job, job_variables, parse_address
from jobgate.gateway.views import JobView
from jobgate.proxy.usage import Usage

from .answers import json_response, raw_response
from .bodies import read_object
from .context import Control, control_of, job_id_of
from .parameters import ADDRESS, FORM, LINES, SUFFIX, TOP
from .problems import ApiProblem, BadRequest
from .shapes import usage_shape

MAX_URLS = 100
MAX_URL_CHARS = 4096


async def check(request: web.Request) -> web.Response:
    """Explain what would happen to URLs."""
    control, job_id = control_of(request), job_id_of(request)
    urls = _urls(await read_object(request))
    view = control.registry.get(job_id)
    job = control.gate.jobs.get(job_id)
    if job is None:
        raise _not_served(view)
    return json_response({"answers": [judge(url, job.policy).record() for url in urls]})


async def usage(request: web.Request) -> web.Response:
    """Counters, and the hosts behind them."""
    control, job_id = control_of(request), job_id_of(request)
    control.registry.get(job_id)
    await control.gate.examine(job_id)
    view = control.registry.get(job_id)
    return json_response(usage_shape(view, control.gate.jobs.get(job_id), TOP.of(request.query)))


async def decisions(request: web.Request) -> web.Response:
    """The newest lines of the log about a job."""
    control, job_id = control_of(request), job_id_of(request)
    control.registry.get(job_id)
    count, lines = LINES.of(request.query), await control.gate.examine(job_id)
    recent = control.feed.recent(job_id, count) if lines is None else lines[-count:]
    return json_response({"decisions": recent})


async def learned(request: web.Request) -> web.Response:
    """The smallest policy that would have been enough."""
    control, job_id = control_of(request), job_id_of(request)
    control.registry.get(job_id)
    suffixes = SUFFIX.all_of(request.query)
    form = FORM.of(request.query)
    await control.gate.examine(job_id)
    job = control.gate.jobs.get(job_id)
    if job is None:
        found = learn(Usage(), Tls.REQUIRE, suffixes=suffixes)
    else:
        found = learn(job.usage, job.policy.job.tls, suffixes=suffixes)
    if form == "json":
        return json_response({"domains": list(found.domains), "tls": found.tls.value})
    text = as_toml(found) if form == "toml" else f"{as_options(found)}\n"
    return raw_response(text.encode(), media_type="text/plain")


async def variables(request: web.Request) -> web.Response:
    """The variables by which a job finds its gate."""
    control, job_id = control_of(request), job_id_of(request)
    view = control.registry.get(job_id)
    given = ADDRESS.of(request.query)
    job = control.gate.jobs.get(job_id)
    if job is None:
        raise _not_served(view)
    settings = control.registry.settings
    try:
        address = parse_address(given) if given else address_for_job(job_id, _listeners(control, view))
    except NoAddress as error:
        detail = f"{error}: add ?address=HOST:PORT as the job sees the gateway.".replace("job", "Job", 1)
        raise ApiProblem(HTTPStatus.CONFLICT, "no-address", detail) from None
    token = job.settings.token
    complete = bool(token) or not view.has_token
    shown = token if complete else TOKEN_PLACE
    found = job_variables(settings, job.settings, address, token=shown)
    return json_response({"variables": found, "complete": complete})


def _listeners(control: Control, view: JobView) -> Sequence[Endpoint | UnixPath]:
    return control.registry.settings.listen.proxy if view.listen is None else [parse_listen(view.listen)]


def _not_served(view: JobView) -> ApiProblem:
    network = view.document["network"]
    why = f'it has network "{network}"' if network != Network.HTTP else view.problem
    return ApiProblem(HTTPStatus.CONFLICT, "not-served", f'Job "{view.id}" has no gate: {why}.')


def _urls(body: dict[str, object]) -> list[str]:
    """Read ``{"urls": […]}``.

    Raises:
        BadRequest: It is something else.
    """
    urls = body.get("urls")
    if set(body) != {"urls"} or not isinstance(urls, list):
        raise BadRequest('Send {"urls": ["https://www.example.com/"]}.')
    if not 1 <= len(urls) <= MAX_URLS:
        raise BadRequest(f"Send 1 to {MAX_URLS} URLs at once, not {len(urls)}.")
    texts = [url for url in urls if isinstance(url, str) and 1 <= len(url) <= MAX_URL_CHARS]
    if len(texts) < len(urls):
        raise BadRequest(f"Each URL is a text of 1 to {MAX_URL_CHARS} characters.")
    return texts
