"""What clients send: bounded in size, time and depth, and never taken for what it is not."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Iterable
from http import HTTPStatus

from aiohttp import web

from .problems import ApiProblem, BadRequest

#: A request's content; ten thousand domains fit, and are read within a blink of the data plane's eye.
MAX_BODY_BYTES = 256 * 1024
#: A job's document has two levels.
MAX_DEPTH = 8
#: For the whole content.
BODY_S = 10.0

JSON_TYPES = ("application/json",)
PATCH_TYPES = ("application/merge-patch+json", "application/json")
TOML_TYPES = ("application/toml", "text/plain")


async def read_object(request: web.Request, media_types: Collection[str] = JSON_TYPES) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        ApiProblem: Another media type (415), too large (413), too slow (408), or no JSON object (400).
    """
    value = parse_json(await read_text(request, media_types))
    if not isinstance(value, dict):
        raise BadRequest("Send a JSON object.")
    return value


async def read_text(request: web.Request, media_types: Collection[str]) -> str:
    """Read a text in UTF-8.

    Raises:
        ApiProblem: As ``read_object``.
    """
    if request.content_type not in media_types:
        wanted = " or ".join(media_types)
        raise ApiProblem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", f"Send it with Content-Type: {wanted}."
        )
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError:
        detail = f"The content did not arrive within {BODY_S:g} s."
        raise ApiProblem(HTTPStatus.REQUEST_TIMEOUT, "timeout", detail) from None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The content is not UTF-8 at byte {error.start}.") from None


def parse_json(text: str) -> object:
    """Read JSON strictly: no key twice, no NaN, no half of a surrogate pair, no great depth.

    Raises:
        BadRequest: It breaks a rule, and says where.

    Source: RFC 8259 §4 and §8.2 (interoperability).
    """
    try:
        value: object = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    except ValueError as error:  # JSONDecodeError, a rule of ours, and int() of more than 4300 digits
        raise BadRequest(f"The content is not JSON: {error}.") from None
    _check(value)
    return value


_TOO_DEEP = f"The content is nested more than {MAX_DEPTH} levels deep."


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {ascii(key)[:80]} is there twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _check(value: object) -> None:
    """Look at every level and every text, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and not _is_whole(item):
                raise BadRequest("The content has half of a surrogate pair in a text.")
        level = inner
    if level:
        raise BadRequest(_TOO_DEEP)


def _is_whole(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
