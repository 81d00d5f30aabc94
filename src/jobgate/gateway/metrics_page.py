"""The page ``/metrics``, for Prometheus: on a listener of its own, and below the control API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PATH = "/metrics"
JOBS = "jobs"
"""``?jobs=1`` gives the series of each job, too: the scrape decides, not the gate."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""

Gather = Callable[[bool], Iterable[Metric]]
"""Reads the counters, with those of each job or without; called on the loop."""


class _Snapshot(Collector):
    """Families that were gathered, and those of the process."""

    def __init__(self, families: Iterable[Metric], process: Collector) -> None:
        self._families = list(families)
        self._process = process

    def collect(self) -> Iterable[Metric]:
        yield from self._families
        yield from self._process.collect()


def add_route(app: web.Application, gather: Gather) -> None:
    """Serve the page. The counters are read on the loop, the text is written by a thread."""
    process = ProcessCollector(registry=CollectorRegistry())

    async def page(request: web.Request) -> web.Response:
        wanted = request.query.get(JOBS, "0")
        if wanted not in ("0", "1"):
            raise web.HTTPBadRequest(text=f"{JOBS}: write 0 or 1\n")
        snapshot = _Snapshot(gather(wanted == "1"), process)
        body = await asyncio.to_thread(generate_latest, snapshot)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=body, headers=headers)

    app.router.add_get(PATH, page)


def metrics_app(gather: Gather) -> web.Application:
    """An application with this page alone."""
    app = web.Application()
    add_route(app, gather)
    return app
