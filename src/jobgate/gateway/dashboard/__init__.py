"""The dashboard: a page in the browser over the control API. Here are only its files.

Written by hand, without a build step; nothing is loaded from anywhere else. The page
holds no secret and is given to everybody who reaches the API; what it shows it asks
for with the token that its user types. What jobs can influence (hosts, methods, ids)
reaches the page as JSON and becomes text nodes, never markup; the policy below would
stop a script even so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

PREFIX = "/dashboard/"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no string becomes markup or code, by whatever function
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for anew each time, sent only if changed: an upgrade shows at once
}
"""Of every file of the page."""

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """One file as it is sent."""

    content: bytes
    content_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """Read the files of the page, by name."""
    return dict(_read_assets())


def is_public(path: str) -> bool:
    """Say whether a path of the API is the page's own, which nobody needs a token for."""
    return path == "/" or path.startswith(PREFIX)


def add_routes(app: web.Application) -> None:
    """Serve the page at ``/`` and its files below ``/dashboard/``."""
    assets = load_assets()

    async def index(request: web.Request) -> web.Response:
        return _answer(request, assets["index.html"])

    async def file(request: web.Request) -> web.Response:
        asset = assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound(headers=HEADERS)
        return _answer(request, asset)

    app.router.add_get("/", index)
    app.router.add_get(PREFIX + "{name}", file)


def _answer(request: web.Request, asset: Asset) -> web.Response:
    headers = {**HEADERS, "ETag": f'"{asset.etag}"'}
    known = request.if_none_match or ()
    if any(tag.value in (asset.etag, "*") for tag in known):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.content, headers={**headers, "Content-Type": asset.content_type})


def _read_assets() -> Iterator[tuple[str, Asset]]:
    for path in (files(__name__) / "assets").iterdir():
        content_type = _TYPES.get(path.name.rpartition(".")[2])
        if content_type is not None:
            content = path.read_bytes()
            yield path.name, Asset(content, content_type, hashlib.sha256(content).hexdigest()[:16])
