"""The policies of a node's Ray jobs, as jobs of the node's gateway (edge).

Each policy in use is one job with members, under a token of its own. It is kept for a
lease only, and renewed while Ray's agent lives: whatever way the agent ends, the token is
worth nothing soon after. What earlier agents left behind is removed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from jobgate.client.errors import GatewayError, NotFound
from jobgate.client.values import Job, Variables

from .environment import cut_off, gated
from .options import Options
from .request import Egress

#: On every job of these, and on no other.
LABELS = {"managed-by": "jobgate-ray"}
#: Policies at once; a job that makes ever new ones is stopped here.
MAX_POLICIES = 1024
#: Renewals in the time of one lease.
RENEWALS = 4
TOKEN_BYTES = 32

#: Ray's own loggers end with the set-up of an environment.
_log = logging.getLogger(__name__)


class Gateway(Protocol):
    """What is asked of the gateway (``jobgate.client.Client``)."""

    async def put_job(self, job_id: str, settings: Mapping[str, object]) -> Job: ...

    async def patch_job(self, job_id: str, changes: Mapping[str, object]) -> Job: ...

    async def remove_job(self, job_id: str) -> None: ...

    async def variables(self, job_id: str, *, address: str = "") -> Variables: ...

    async def page(self, after: str = "", *, limit: int = 100, labels: Mapping[str, str] = ...) -> Page: ...


class Page(Protocol):
    """Some jobs of the gateway."""

    @property
    def next(self) -> str | None: ...

    @property
    def jobs(self) -> tuple[Job, ...]: ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A policy in use.

    Attributes:
        job_id: At the gateway.
        settings: What the gateway is told, but for the time.
        variables: For the workers; none: they have the node's network.
    """

    job_id: str
    settings: Mapping[str, object]
    variables: Mapping[str, str]


class Leases:
    """All policies of one agent.

    Args:
        options: How the plugin is set up.
        cluster: Hosts that workers reach directly.
        connect: Opens the gateway, for a few requests.
        clock_wall: Seconds since the epoch.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        options: Options,
        cluster: list[str],
        connect: Callable[[], AbstractAsyncContextManager[Gateway]],
        *,
        clock_wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Coroutine[object, object, None]] = asyncio.sleep,
    ) -> None:
        self._options = options
        self._no_proxy = tuple(dict.fromkeys((*options.no_proxy, *cluster)))
        self._connect = connect
        self._clock_wall = clock_wall
        self._sleep = sleep
        self._agent = secrets.token_hex(4)
        self._count = 0
        self._leases: dict[str, Lease] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # Ray makes environments side by side that have one policy

    def __len__(self) -> int:
        return len(self._leases)

    async def take(self, egress: Egress) -> None:
        """Have the gateway serve a policy, unless it does.

        Raises:
            GatewayError: It does not: the node does not allow it, or nobody answers.
            ValueError: There are too many.
        """
        async with self._turn:
            if egress.uri not in self._leases:
                await self._take(egress)
        if self._renewing is None or self._renewing.done():
            self._renewing = self._start(self._renew())

    def variables(self, uri: str) -> Mapping[str, str]:
        """The variables of the workers of a policy.

        Raises:
            KeyError: It is not in use.
        """
        return self._leases[uri].variables

    def give_up(self, uri: str) -> None:
        """Let a policy go: its token is worth nothing any more, as soon as the loop has its turn."""
        lease = self._leases.pop(uri, None)
        if lease is not None:
            self._start(self._remove(lease.job_id))

    # --- inside --------------------------------------------------------------------

    async def _take(self, egress: Egress) -> None:
        if len(self._leases) >= MAX_POLICIES:
            raise ValueError(
                f"egress: {MAX_POLICIES} policies are in use on this node already: use one of them"
            )
        self._count += 1
        job_id = f"ray-{self._agent}-{self._count}"
        token = secrets.token_urlsafe(TOKEN_BYTES)
        settings: dict[str, object] = {**egress.settings, "labels": LABELS}
        if egress.network == "http":
            settings |= {"token": token, "max_members": self._options.max_jobs}
        async with self._connect() as gateway:
            await self._remove_expired(gateway)
            await gateway.put_job(job_id, settings | self._end())
            variables: dict[str, str] = {}
            if egress.network == "http":
                found = await gateway.variables(job_id, address=self._options.address)
                variables = gated(found.variables, job_id, token, self._no_proxy)
            elif egress.network == "none":
                variables = cut_off(self._no_proxy)
        self._leases[egress.uri] = Lease(job_id, settings, variables)

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end(self) -> dict[str, object]:
        end = datetime.fromtimestamp(self._clock_wall() + self._options.lease_s, UTC)
        return {"expires": end.isoformat(timespec="seconds")}

    async def _renew(self) -> None:
        """Renew all leases again and again, while there are any; a gateway that forgot one learns it anew."""
        while self._leases:
            await self._sleep(self._options.lease_s / RENEWALS)
            for lease in list(self._leases.values()):
                try:
                    async with self._connect() as gateway:
                        await self._renew_one(gateway, lease)
                except (GatewayError, OSError) as error:
                    _log.warning("jobgate: the lease of %s is not renewed: %s", lease.job_id, error)

    async def _renew_one(self, gateway: Gateway, lease: Lease) -> None:
        """Move the end of a lease, and leave what the operator changed as it is."""
        try:
            await gateway.patch_job(lease.job_id, self._end())
        except NotFound:
            if lease in self._leases.values():
                await gateway.put_job(lease.job_id, {**lease.settings, **self._end()})
        if lease not in self._leases.values():  # given up meanwhile
            await self._remove(lease.job_id)

    async def _remove(self, job_id: str) -> None:
        try:
            async with self._connect() as gateway:
                await gateway.remove_job(job_id)
        except NotFound:
            pass
        except (GatewayError, OSError) as error:
            _log.warning("jobgate: %s ends with its lease, and not now: %s", job_id, error)

    async def _remove_expired(self, gateway: Gateway) -> None:
        """Remove what agents left behind that ended without a word."""
        after: str | None = ""
        while after is not None:
            page = await gateway.page(after, labels=LABELS)
            for job in page.jobs:
                if job.state == "expired" and job.origin == "api":
                    await self._remove(job.id)
            after = page.next
