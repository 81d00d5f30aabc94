"""The files of the dashboard: what is sent, and what they may not contain."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from jobgate.gateway.dashboard import (
    CONTENT_SECURITY_POLICY,
    HEADERS,
    Asset,
    add_routes,
    is_public,
    load_assets,
)

ASSETS = load_assets()
SCRIPTS = sorted(name for name in ASSETS if name.endswith(".js"))

Page = TestClient[web.Request, web.Application]


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    app = web.Application()
    add_routes(app)
    async with TestClient(TestServer(app)) as client:
        yield client


def text(name: str) -> str:
    return ASSETS[name].content.decode()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard/main.js", "text/javascript; charset=utf-8"),
        ("/dashboard/base.css", "text/css; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
    ],
    ids=["page", "script", "style", "icon"],
)
async def test_asset_has_its_type_and_all_headers(page: Page, path: str, content_type: str) -> None:
    response = await page.get(path)
    assert response.status == 200
    assert response.headers["Content-Type"] == content_type
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/none.js",
        "/dashboard/__init__.py",
        "/dashboard/..%2f__init__.py",
        "/dashboard/",
        "/index.html",
    ],
)
async def test_other_paths_are_not_found(page: Page, path: str) -> None:
    assert (await page.get(path)).status == 404


async def test_known_asset_is_not_sent_again(page: Page) -> None:
    etag = (await page.get("/dashboard/main.js")).headers["ETag"]
    response = await page.get("/dashboard/main.js", headers={"If-None-Match": etag})
    assert (response.status, await response.read()) == (304, b"")
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    other = await page.get("/dashboard/main.js", headers={"If-None-Match": '"other"'})
    assert other.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_assets_are_only_read(page: Page, method: str) -> None:
    assert (await page.request(method, "/")).status == 405


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/", True),
        ("/dashboard/main.js", True),
        ("/dashboard", False),
        ("/v1/jobs", False),
        ("/metrics", False),
        ("/healthz", False),
        ("//", False),
    ],
)
def test_only_the_page_itself_is_public(path: str, public: bool) -> None:
    assert is_public(path) is public


def test_policy_allows_nothing_but_own_files() -> None:
    directives = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert directives["default-src"] == "'none'"
    assert not re.search(r"unsafe|\*|https?:|blob:", CONTENT_SECURITY_POLICY)
    assert {directives[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}


def test_page_has_no_inline_code_and_no_outside_asset() -> None:
    html = text("index.html")
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:|https?://", html)
    named = set(re.findall(r'(?:src|href)="dashboard/([^"]+)"', html))
    assert named <= set(ASSETS)
    assert len(named) == 9


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_makes_no_markup_of_text_and_no_code(name: str) -> None:
    makes_markup = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|ContextualFragment|setHTML"
    )
    makes_code = r"\beval\b|new Function|javascript:"
    assert not re.search(f"{makes_markup}|{makes_code}|document\\.cookie", text(name))


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_imports_files_that_are_there(name: str) -> None:
    imported = re.findall(r'from "([^"]+)"', text(name))
    assert {path.removeprefix("./") for path in imported} <= set(ASSETS)
    assert all(path.startswith("./") for path in imported)


@pytest.mark.parametrize("name", sorted(set(ASSETS) - {"icon.svg"}))
def test_asset_names_no_other_place(name: str) -> None:
    outside = set(re.findall(r"https?://[^\s\"')]+", text(name)))
    assert outside <= {"http://www.w3.org/2000/svg"}


def test_assets_are_small_in_all() -> None:
    assert sum(len(asset.content) for asset in ASSETS.values()) < 150_000


def test_etag_follows_the_content() -> None:
    assert all(isinstance(asset, Asset) and len(asset.etag) == 16 for asset in ASSETS.values())
    assert len({asset.etag for asset in ASSETS.values()}) == len(ASSETS)
