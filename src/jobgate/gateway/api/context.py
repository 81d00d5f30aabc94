"""What the handlers share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from jobgate.config.readers import read_job_id
from jobgate.gateway.feed import Feed

from .problems import ApiProblem, BadRequest

if TYPE_CHECKING:
    from jobgate.gateway.registry import Registry
    from jobgate.proxy.gate import Gate


@dataclass(frozen=True, slots=True)
class Control:
    """The gateway as the API sees it.

    Attributes:
        registry: The jobs, and the one place to change them.
        gate: Live state of the jobs.
        feed: Recent lines of the log, and those who follow it.
        started_at: Seconds since the epoch.
        turn: Held over a condition (``If-Match``) and the change that depends on it; see ``changing``.
    """

    registry: Registry
    gate: Gate
    feed: Feed
    started_at: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Change something, one after the other.

        Raises:
            ApiProblem: The gateway is about to stop, or another process serves already: what changed
                here would be lost.
        """
        async with self.turn:
            if self.gate.draining:
                detail = "The gateway is about to stop and changes nothing any more."
                raise ApiProblem(HTTPStatus.SERVICE_UNAVAILABLE, "draining", detail)
            yield


CONTROL = web.AppKey("control", Control)


def control_of(request: web.Request) -> Control:
    """Find the gateway of a request."""
    return request.config_dict[CONTROL]


def job_id_of(request: web.Request) -> str:
    """Find the job that the path names.

    Raises:
        BadRequest: It cannot be the id of one.
    """
    try:
        return read_job_id(request.match_info["id"])
    except ValueError as error:
        raise BadRequest(f"The path names no job: {error}.") from None
