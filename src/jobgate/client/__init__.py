"""The public client of a gateway's control API."""

from __future__ import annotations

from .client import DEFAULT_CONTROL, Client
from .errors import Conflict, GatewayError, Invalid, NotFound, Unauthorized, Unavailable, UnexpectedAnswer

__all__ = [
    "DEFAULT_CONTROL",
    "Client",
    "Conflict",
    "GatewayError",
    "Invalid",
    "NotFound",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
]
