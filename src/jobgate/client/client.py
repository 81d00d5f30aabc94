"""The public client of a gateway's control API.

```python
async with jobgate.Client() as gateway:
    settings = {"network": "http", "listen": "127.0.0.1:0", "domains": [".example.com"]}
    job = await gateway.put_job("train-42", settings)
    async for event in gateway.events("train-42"):
        print(event.name, event.line)
```

Nothing is tried again by itself: what an error means for a change, the caller knows best.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import quote

from .reading import structured
from .transport import NOTHING, Transport
from .values import (
    Event,
    Job,
    Learned,
    Node,
    Page,
    Reload,
    Usage,
    Validation,
    Variables,
    Verdict,
)

DEFAULT_CONTROL = "/run/jobgate/control.sock"


class Client:
    """A gateway, over its control API. Use it as an asynchronous context.

    Args:
        control: Path of the socket (also ``unix:/path``), or ``ip:port``.
        token: What stands in the gateway's ``control_token_file``.
        timeout_s: Seconds for each request; streams live on.
    """

    def __init__(
        self, control: str = DEFAULT_CONTROL, *, token: str | None = None, timeout_s: float = 30.0
    ) -> None:
        self.control = control
        self._transport = Transport(control, token, timeout_s)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    # --- jobs -------------------------------------------------------------------------

    async def page(self, after: str = "", *, limit: int = 100, labels: Mapping[str, str] = NOTHING) -> Page:
        """Some jobs in the order of their ids, those behind ``after`` with all of these labels."""
        query = [("after", after), ("limit", str(limit)), *_label_parameters(labels)]
        return structured(await self._transport.json("GET", "/v1/jobs", query=query), Page)

    async def jobs(self, labels: Mapping[str, str] = NOTHING) -> AsyncIterator[Job]:
        """All jobs in the order of their ids, with all of these labels."""
        after: str | None = ""
        while after is not None:
            page = await self.page(after, labels=labels)
            for job in page.jobs:
                yield job
            after = page.next

    async def job(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: There is none of this id.
        """
        return await self._job("GET", job_id)

    async def put_job(
        self, job_id: str, settings: Mapping[str, object], *, only_new: bool = False, etag: str = ""
    ) -> Job:
        """Add a job, or replace it whole: what the settings leave out has its default.

        Args:
            job_id: Letters, digits, dots, underscores and hyphens.
            settings: Keys of a ``[[job]]``; ``"token": True`` has the gateway make a token, which is in
                the answer and told this once.
            only_new: There must not be such a job yet.
            etag: The job must still be as this ``Job.etag`` says.

        Raises:
            Invalid: The settings cannot be taken.
            Conflict: A job of the configuration file, or ``only_new`` or ``etag`` do not hold.
        """
        headers = {"If-None-Match": "*"} if only_new else {}
        return await self._job("PUT", job_id, settings, {**headers, **_if_match(etag)})

    async def patch_job(self, job_id: str, changes: Mapping[str, object], *, etag: str = "") -> Job:
        """Change some settings of a job; ``None`` is the default, a list replaces a list, tables are merged.

        Raises:
            NotFound: There is none of this id.
            Invalid, Conflict: As ``put_job``.
        """
        return await self._job("PATCH", job_id, changes, _if_match(etag))

    async def remove_job(self, job_id: str, *, etag: str = "") -> None:
        """Remove a job: its connections end, its counters are forgotten.

        Raises:
            NotFound: There is none of this id.
            Conflict: As ``put_job``.
        """
        await self._transport.json("DELETE", _path(job_id), headers=_if_match(etag))

    # --- about a job ------------------------------------------------------------------

    async def check(self, job_id: str, urls: Sequence[str]) -> list[Verdict]:
        """What would happen to these URLs, one after the other; no name is looked up."""
        answer = await self._transport.json("POST", _path(job_id, "/check"), {"urls": list(urls)})
        return structured(_member(answer, "answers"), list[Verdict])

    async def usage(self, job_id: str, *, top: int = 50) -> Usage:
        """What the job has used; ``top`` hosts in each list."""
        return structured(
            await self._transport.json("GET", _path(job_id, "/usage"), query=[("top", str(top))]), Usage
        )

    async def decisions(self, job_id: str, *, limit: int = 100) -> list[Mapping[str, object]]:
        """The newest lines of the log about the job, newest last."""
        answer = await self._transport.json("GET", _path(job_id, "/decisions"), query=[("limit", str(limit))])
        return structured(_member(answer, "decisions"), list[Mapping[str, object]])

    async def learned(self, job_id: str, *, suffixes: Sequence[str] = ()) -> Learned:
        """The smallest policy that would have been enough; names below a suffix are one entry."""
        query = [("suffix", suffix) for suffix in suffixes]
        return structured(await self._transport.json("GET", _path(job_id, "/learned"), query=query), Learned)

    async def variables(self, job_id: str, *, address: str = "") -> Variables:
        """The environment of the job.

        Args:
            job_id: Whose.
            address: ``host:port`` of the gateway as the job sees it; ``""``: the job's listener.

        Raises:
            Conflict: Nothing tells the address.
        """
        query = [("address", address)] if address else []
        return structured(await self._transport.json("GET", _path(job_id, "/env"), query=query), Variables)

    async def events(self, job_id: str = "") -> AsyncIterator[Event]:
        """The log as it is written, of one job or of all, until the gateway stops.

        Raises:
            Unavailable: The connection broke, or there are too many streams.
        """
        path = _path(job_id, "/events") if job_id else "/v1/events"
        async with self._transport.request("GET", path, stream=True) as response:
            name = ""
            async for line in response.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield Event(name, structured(json.loads(value), dict[str, object]))

    # --- the node ---------------------------------------------------------------------

    async def node(self) -> Node:
        """What runs there."""
        return structured(await self._transport.json("GET", "/v1/node"), Node)

    async def policy(self) -> Mapping[str, Mapping[str, object]]:
        """What bounds every job now: ``node``, ``limits``, ``timeouts``."""
        return structured(await self._transport.json("GET", "/v1/policy"), dict[str, dict[str, object]])

    async def validate(self, configuration: str) -> Validation:
        """What is wrong with a configuration (TOML), or what it would change."""
        headers = {"Content-Type": "application/toml"}
        answer = await self._transport.json("POST", "/v1/policy/validate", configuration, headers=headers)
        return structured(answer, Validation)

    async def reload(self) -> Reload:
        """Have the gateway read its configuration file again.

        Raises:
            Invalid: It is wrong; nothing has changed.
        """
        return structured(await self._transport.json("POST", "/v1/policy/reload"), Reload)

    # --- inside -----------------------------------------------------------------------

    async def _job(
        self,
        method: str,
        job_id: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] = NOTHING,
    ) -> Job:
        async with self._transport.request(method, _path(job_id), body, headers=headers) as response:
            job = structured(json.loads(await response.text()), Job)
            return replace(job, etag=response.headers.get("ETag", ""))


def _path(job_id: str, rest: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{rest}"


def _if_match(etag: str) -> dict[str, str]:
    return {"If-Match": etag} if etag else {}


def _label_parameters(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("label", f"{key}={value}") for key, value in labels.items()]


def _member(answer: object, name: str) -> object:
    return structured(answer, dict[str, object]).get(name)
