"""A control API that says whatever a test wants, with the real dashboard on it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from aiohttp import web

from jobgate.gateway.dashboard import add_routes

Shape = dict[str, object]


def job(id: str, **changes: object) -> Shape:
    """One job that is calm and well; ``settings`` and ``live`` are changed key by key."""
    settings: Shape = {"id": id, "domains": [".ok.test"], "labels": {}, "mode": "", "tls": "require"}
    live: Shape = dict.fromkeys(
        ("connections", "bytes_up", "bytes_down", "requests", "refused", "waiting_up", "waiting_down"), 0
    )
    live |= {"wait_up_s": 0.0, "wait_down_s": 0.0, "rate_up": 1_250_000.0, "rate_down": None}
    for name, part in (("settings", settings), ("live", live)):
        extra = changes.pop(name, {})
        assert isinstance(extra, dict)
        part |= extra
    shape: Shape = {
        "id": id,
        "origin": "api",
        "state": "active",
        "problem": None,
        "listen": "127.0.0.1:3128",
        "created_at": "2026-11-20T13:25:07.123Z",
        "has_token": False,
        "settings": settings,
        "live": live,
    }
    return shape | changes


def refusal(authority: str, reason: str, **changes: object) -> Shape:
    """One row of a job's refusals."""
    row: Shape = {"authority": authority, "reason": reason, "kind": "connect", "count": 3, "proposals": []}
    return row | changes


def decision(id: str, job_id: str, **changes: object) -> Shape:
    """One decision line."""
    line: Shape = {"v": 1, "ts": "2026-11-20T13:25:07.123Z", "event": "decision", "id": id, "job": job_id}
    line |= {"client": "127.0.0.1:50000", "kind": "connect", "method": "CONNECT", "host": "www.ok.test"}
    line |= {"port": 443, "decision": "allow", "reason": None, "rule": ".ok.test"}
    return line | changes


class PlayedApi:
    """What is said; may be changed while a page looks.

    Attributes:
        jobs: Of the list.
        refused: Rows of every job.
        lines: Of the log, told at once to whoever follows.
        node: What the node says of itself.
    """

    def __init__(self, jobs: Sequence[Shape] = ()) -> None:
        self.jobs = list(jobs)
        self.refused: list[Shape] = []
        self.lines: list[Shape] = []
        self.node: Shape = {"draining": False, "mode": "enforce", "version": "0"}

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        add_routes(app)
        app.router.add_get("/v1/node", self._node)
        app.router.add_get("/v1/jobs", self._list)
        app.router.add_get("/v1/jobs/{id}", self._one)
        app.router.add_get("/v1/jobs/{id}/usage", self._usage)
        app.router.add_get("/v1/jobs/{id}/decisions", self._decisions)
        app.router.add_get("/v1/events", self._events)
        return app

    async def _node(self, request: web.Request) -> web.Response:
        return web.json_response(self.node)

    async def _list(self, request: web.Request) -> web.Response:
        ids = [str(shape["id"]) for shape in self.jobs]
        after = request.query.get("after", "")
        first = ids.index(after) + 1 if after else 0
        page = self.jobs[first : first + int(request.query.get("limit", "100"))]
        more = first + len(page) < len(self.jobs)
        following = page[-1]["id"] if more else None
        return web.json_response({"at": time.time(), "next": following, "jobs": page})

    async def _one(self, request: web.Request) -> web.Response:
        found = [shape for shape in self.jobs if shape["id"] == request.match_info["id"]]
        return web.json_response(found[0])

    async def _usage(self, request: web.Request) -> web.Response:
        empty: Shape = {"reached": [], "overlooked": [], "failed": [], "decisions": {}}
        return web.json_response({**empty, "refused": self.refused})

    async def _decisions(self, request: web.Request) -> web.Response:
        return web.json_response({"decisions": self.lines})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for line in self.lines:
            await response.write(f"event: {line['event']}\ndata: {json.dumps(line)}\n\n".encode())
        await asyncio.Event().wait()  # until the server ends
        return response
