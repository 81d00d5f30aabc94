"""Health checks: one a second would bury what jobs do in the log and in the counters. Pure."""

from __future__ import annotations

from jobgate.config.host import Authority, Name

from .credentials import credential_fields
from .head import RequestHead

PROBE_HOST = Authority(Name("jobgate"), 80)
_LOOPBACK = ("127.", "[::1]:")


def is_probe(request: RequestHead, client: str) -> bool:
    """Say whether this asks as ``jobgate health`` does: it names no destination, and is refused for that.

    It comes from where the gate runs, and shows no credentials: whoever tries some is to be seen.

    Args:
        client: Address and port, as the log has them.
    """
    return (
        request.target == b"/"
        and request.method == b"GET"
        and request.host == PROBE_HOST
        and client.startswith(_LOOPBACK)
        and not credential_fields(request.headers)
    )
