"""From the JSON of an answer to values and errors. Keys that this version does not know are passed over."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from .errors import Conflict, GatewayError, Invalid, NotFound, Unauthorized, Unavailable, UnexpectedAnswer
from .values import Problem

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


def structured(value: object, kind: type[T]) -> T:
    """Take a value of JSON for one of these.

    Raises:
        UnexpectedAnswer: It is something else.
    """
    from cattrs import BaseValidationError

    try:
        return _converter().structure(value, kind)
    except (BaseValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"not a {kind.__name__} of the control API") from error


@cache
def _converter() -> Converter:
    from cattrs import Converter

    def moment(value: object, _: type) -> datetime:
        return datetime.fromisoformat(str(value))

    converter = Converter()
    converter.register_structure_hook(datetime, moment)
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    return converter


def error_of(status: int, text: str) -> GatewayError:
    """Make an error of an answer that is no success.

    Source: RFC 9457 §3.
    """
    try:
        problem = structured(json.loads(text), dict[str, object])
        problems = structured(problem.get("problems", []), list[Problem])
    except (ValueError, RecursionError, UnexpectedAnswer):
        problem, problems = {}, []
    detail = str(problem.get("detail") or f"the gateway answered {status}")
    reason = str(problem.get("reason", ""))
    if status in _INVALID:
        return Invalid(detail, problems, reason=reason, status=status)
    return _ERRORS.get(status, GatewayError)(detail, reason=reason, status=status)


_INVALID = (400, 408, 413, 415, 422)
_ERRORS = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    503: Unavailable,
}
