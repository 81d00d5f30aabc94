from __future__ import annotations

import pytest

from jobgate.client.errors import (
    Conflict,
    GatewayError,
    Invalid,
    NotFound,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from jobgate.client.values import Problem


@pytest.mark.parametrize("kind", [Conflict, NotFound, Unauthorized, Unavailable])
def test_every_error_is_one_of_the_gateway(kind: type[GatewayError]) -> None:
    error = kind("Because.", reason="why", status=1)
    assert isinstance(error, GatewayError)
    assert (str(error), error.reason, error.status) == ("Because.", "why", 1)


def test_invalid_keeps_its_problems() -> None:
    error = Invalid("Because.", [Problem("a", "b")], reason="why", status=422)
    assert error.problems == (Problem("a", "b"),)


def test_unexpected_answer_has_its_reason() -> None:
    assert (UnexpectedAnswer("x").reason, UnexpectedAnswer("x").status) == ("unexpected", 0)
