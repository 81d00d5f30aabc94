"""jobgate: the network gate of a compute job.

Public: ``Client`` of a gateway's control API, with its errors; loaded when they are asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; importing typing would cost more than all of this
if TYPE_CHECKING:
    from .client import Client, Conflict, GatewayError, Invalid, NotFound, Unauthorized, Unavailable

__version__ = "0.1.0"

__all__ = [
    "Client",
    "Conflict",
    "GatewayError",
    "Invalid",
    "NotFound",
    "Unauthorized",
    "Unavailable",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load the client when it is asked for: it needs aiohttp, which the data plane never loads."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    return getattr(client, name)
