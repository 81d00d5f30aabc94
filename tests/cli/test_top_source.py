"""From the client's values to looks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobgate.cli.top_loop import Unreachable
from jobgate.cli.top_model import Refusal
from jobgate.cli.top_source import GatewaySource, look_of
from jobgate.client import Client, NotFound, Unavailable
from jobgate.client.values import Job, Live, Page, RefusedHost, Usage

LIVE = Live(1, 2, 3, 4, 5, 6, 7, 8.0, 9.0, None, 10.0)


def job(id: str) -> Job:
    return Job(id, "api", "active", None, None, datetime(2026, 11, 20, tzinfo=UTC), False, {}, LIVE)


class Fake(Client):
    """Has its jobs on pages of one, and forgets one of them."""

    def __init__(self, *ids: str, fails: bool = False) -> None:
        super().__init__()
        self._ids = ids
        self._fails = fails

    async def page(self, after: str = "", *, limit: int = 100, labels: object = None) -> Page:
        if self._fails:
            raise Unavailable("nobody answers")
        index = self._ids.index(after) + 1 if after else 0
        following = self._ids[index] if index + 1 < len(self._ids) else None
        return Page(100.0 + index, following, (job(self._ids[index]),))

    async def usage(self, job_id: str, *, top: int = 50) -> Usage:
        if self._fails:
            raise Unavailable("nobody answers")
        if job_id == "gone":
            raise NotFound("no job")
        rows = (RefusedHost("evil.test:443", "port", "connect", 3, ()),)
        return Usage(LIVE, {}, (), rows, (), ())


async def test_all_pages_are_looked_at() -> None:
    at, looks = await GatewaySource(Fake("a", "b", "c")).looks()
    assert at == 100.0
    assert [look.id for look in looks] == ["a", "b", "c"]


def test_every_counter_is_taken() -> None:
    look = look_of(job("a"))
    assert (look.connections, look.bytes_up, look.bytes_down, look.requests, look.refused) == (1, 2, 3, 4, 5)
    assert (look.wait_up_s, look.wait_down_s, look.rate_up, look.rate_down) == (8.0, 9.0, None, 10.0)


async def test_refusals_of_a_job_that_is_gone_are_none() -> None:
    found = await GatewaySource(Fake()).refusals(["a", "gone"])
    assert found == [Refusal("a", "evil.test:443", "port", 3)]


async def test_error_of_the_client_is_told() -> None:
    source = GatewaySource(Fake("a", fails=True))
    with pytest.raises(Unreachable, match="nobody answers"):
        await source.looks()
    with pytest.raises(Unreachable, match="nobody answers"):
        await source.refusals(["a"])
