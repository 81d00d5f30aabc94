"""Answers: JSON, and the fields that every one of them has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from aiohttp import web

JSON = "application/json"

#: Nothing here is for caches, for frames or for guesses about its type, and strangers learn no versions.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "jobgate",
    "X-Content-Type-Options": "nosniff",
}


def json_bytes(value: object) -> bytes:
    """Write JSON in as few bytes as it takes, in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def json_response(
    value: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> web.Response:
    """Make an answer of a value."""
    return raw_response(json_bytes(value), status=status, headers=headers, media_type=media_type)


def raw_response(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = JSON
) -> web.Response:
    """Make an answer of bytes that are written already."""
    return web.Response(
        body=body, status=status, headers={**HEADERS, **(headers or {})}, content_type=media_type
    )


def entity_tag(document: Mapping[str, object]) -> str:
    """Name one state of a document, for ``If-Match`` (RFC 9110 §8.8.3)."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")
    return f'"{hashlib.sha256(canonical).hexdigest()[:32]}"'
