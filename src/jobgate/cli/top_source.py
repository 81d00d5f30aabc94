"""What ``jobgate top`` sees: the jobs of a gateway, asked for by its client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobgate.client import Client, GatewayError, NotFound
from jobgate.client.values import Job

from .top_loop import Unreachable
from .top_model import Look, Refusal

PAGE = 500
"""As many jobs as the gateway gives at once."""
TOP_HOSTS = 10


class GatewaySource:
    """Looks at one gateway through an open client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def looks(self) -> tuple[float, list[Look]]:
        """Look at all jobs; the time is that of the first page.

        Raises:
            Unreachable: The gateway does not answer, or says no.
        """
        looks: list[Look] = []
        at, after = 0.0, ""
        while True:
            try:
                page = await self._client.page(after, limit=PAGE)
            except GatewayError as error:
                raise Unreachable(str(error)) from error
            looks += map(look_of, page.jobs)
            at = at or page.at
            if page.next is None:
                return at, looks
            after = page.next

    async def refusals(self, job_ids: Sequence[str]) -> list[Refusal]:
        """Ask what was refused to these jobs; one that is gone meanwhile has nothing.

        Raises:
            Unreachable: As ``looks``.
        """
        found = await asyncio.gather(*map(self._refusals_of, job_ids))
        return [refusal for refusals in found for refusal in refusals]

    async def _refusals_of(self, job_id: str) -> list[Refusal]:
        try:
            usage = await self._client.usage(job_id, top=TOP_HOSTS)
        except NotFound:
            return []
        except GatewayError as error:
            raise Unreachable(str(error)) from error
        return [Refusal(job_id, row.authority, row.reason, row.count) for row in usage.refused]


def look_of(job: Job) -> Look:
    """Take what is shown of a job."""
    live = job.live
    return Look(
        id=job.id,
        state=job.state,
        connections=live.connections,
        requests=live.requests,
        refused=live.refused,
        bytes_up=live.bytes_up,
        bytes_down=live.bytes_down,
        rate_up=live.rate_up,
        rate_down=live.rate_down,
        wait_up_s=live.wait_up_s,
        wait_down_s=live.wait_down_s,
    )
