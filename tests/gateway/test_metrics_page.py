"""The page ``/metrics`` over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from jobgate.gateway.metrics_page import PATH, metrics_app

Page = TestClient[web.Request, web.Application]


def gather(jobs: bool) -> list[Metric]:
    """One family, or two where those of the jobs are asked for."""
    families: list[Metric] = [CounterMetricFamily("of_gate", "text", 1)]
    if jobs:
        families.append(CounterMetricFamily("of_jobs", "text", 2))
    return families


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    async with TestClient(TestServer(metrics_app(gather))) as client:
        yield client


async def test_page_is_the_text_format_with_the_process(page: Page) -> None:
    response = await page.get(PATH)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    names = {family.name for family in text_string_to_metric_families(await response.text())}
    assert {"of_gate", "process_open_fds", "process_resident_memory_bytes"} <= names
    assert "of_jobs" not in names


@pytest.mark.parametrize(("query", "there"), [("?jobs=1", True), ("?jobs=0", False), ("", False)])
async def test_jobs_are_there_where_the_scrape_asks(page: Page, query: str, there: bool) -> None:
    assert ("of_jobs_total" in await (await page.get(PATH + query)).text()) is there


async def test_other_value_is_a_bad_request(page: Page) -> None:
    assert (await page.get(f"{PATH}?jobs=yes")).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", PATH, 405), ("GET", "/", 404), ("GET", "/v1/jobs", 404)],
    ids=["change", "root", "api"],
)
async def test_nothing_else_is_served(page: Page, method: str, path: str, status: int) -> None:
    assert (await page.request(method, path)).status == status
