"""``/v1/events``: the log as it is written, as an event stream."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web

from jobgate.gateway.feed import Follower, News, TooManyFollowers

from .answers import HEADERS, json_bytes
from .context import control_of, job_id_of
from .parameters import JOB
from .problems import ApiProblem

MEDIA_TYPE = "text/event-stream"
#: A comment after this much silence: for proxies that cut what is silent, and to notice who has left.
KEEP_ALIVE_S = 15.0
#: A follower that takes nothing for this long is cut.
PATIENCE_S = 60.0


async def all_events(request: web.Request) -> web.StreamResponse:
    """Everything, or what is about one job."""
    return await _stream(request, JOB.of(request.query))


async def job_events(request: web.Request) -> web.StreamResponse:
    """What is about one job."""
    job_id = job_id_of(request)
    control_of(request).registry.get(job_id)
    return await _stream(request, job_id)


async def _stream(request: web.Request, job: str) -> web.StreamResponse:
    try:
        with control_of(request).feed.follow(job) as follower:
            response = web.StreamResponse(headers={**HEADERS, "Content-Type": MEDIA_TYPE})
            response.force_close()  # nobody waits behind an endless answer
            await response.prepare(request)
            await _send(request, response, follower)
            return response
    except TooManyFollowers:
        detail = "Too many streams are open: close one, or try again later."
        problem = ApiProblem(HTTPStatus.SERVICE_UNAVAILABLE, "streams", detail, headers={"Retry-After": "10"})
        raise problem from None


async def _send(request: web.Request, response: web.StreamResponse, follower: Follower) -> None:
    """Send until the client leaves or the gateway stops."""
    text = b": this is the log as it is written\n\n"
    try:
        while not follower.over:
            async with asyncio.timeout(PATIENCE_S):
                await response.write(text)
            text = encode(await follower.news(KEEP_ALIVE_S))
    except ConnectionError:
        return
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


def encode(news: News) -> bytes:
    """Write lines as events; their order is that of the log.

    Source: HTML Living Standard §9.2.5.
    """
    if not news.lines:
        return b": still here\n\n"
    events = [("lost", json_bytes({"v": 1, "event": "lost", "lines": news.lost}))] if news.lost else []
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event.encode("ascii"), line) for event, line in events + news.lines
    )
