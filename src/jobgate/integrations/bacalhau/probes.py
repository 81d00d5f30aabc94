"""A log without health probes: one a second would bury what the job does."""

from __future__ import annotations

from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.journal import Journal

_LOOPBACK = ("127.", "[::1]:")


def is_probe(exchange: Exchange) -> bool:
    """Say whether this is no job's request, came from inside the container, and names no destination."""
    return (
        not exchange.job_id
        and exchange.target is None
        and exchange.refused is Reason.BAD_REQUEST
        and exchange.client.startswith(_LOOPBACK)
    )


class ProbelessJournal(Journal):
    """Leaves the lines of probes out."""

    def decision(self, exchange: Exchange) -> None:
        """Log what was decided, unless it is a probe."""
        if not is_probe(exchange):
            super().decision(exchange)

    def close(self, exchange: Exchange) -> None:
        """Log how it ended, unless it is a probe."""
        if not is_probe(exchange):
            super().close(exchange)
