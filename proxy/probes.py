"""Health checks: one a second would bury what jobs do in the log and in the counters. Pure."""

from __future__ import annotations

from jobgate.config.host import Authority, Name

from .credentials import credential_fields
from .head import RequestHead

PROBE_HOST = Authority(Name("jobgate"), 80)


def is_probe(request: RequestHead) -> bool:
    """Say whether this asks as ``jobgate health`` does: it names no destination, and is refused for that.

    It shows no credentials: whoever tries some is to be seen.
    """
    return (
        request.target == b"/"
        and request.method == b"GET"
        and request.host == PROBE_HOST
        and not credential_fields(request.headers)
    )
