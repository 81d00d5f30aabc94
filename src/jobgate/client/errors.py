"""How a gateway says no, as exceptions."""

from __future__ import annotations

from collections.abc import Sequence

from .values import Problem


class GatewayError(Exception):
    """The gateway did not do what it was asked for.

    Attributes:
        reason: One word, as the API has it.
        status: Of the answer; 0: there was none.
    """

    def __init__(self, detail: str, *, reason: str = "", status: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status


class NotFound(GatewayError):
    """There is no such job."""


class Conflict(GatewayError):
    """The job is one of the configuration file, exists already, or is not as it was."""


class Invalid(GatewayError):
    """What was sent cannot be taken.

    Attributes:
        problems: Single errors, each with the path of its key.
    """

    def __init__(self, detail: str, problems: Sequence[Problem], *, reason: str, status: int) -> None:
        super().__init__(detail, reason=reason, status=status)
        self.problems = tuple(problems)


class Unauthorized(GatewayError):
    """The token is missing or wrong."""


class Unavailable(GatewayError):
    """Nobody answers, or the gateway cannot do it now."""


class UnexpectedAnswer(GatewayError):
    """An answer that is none of the API's: of another program, or of a version that is too far away."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason="unexpected")
