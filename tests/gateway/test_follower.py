from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from jobgate.gateway.follower import REOPEN, Follower, change_of, reload_of
from support.registry import DOCUMENT, World, world

FILE = '[[job]]\nid = "filed"\nnetwork = "http"\nlisten = "127.0.0.1:0"\ndomains = ["{domain}"]\n'


class Drainer:
    """A process whose listeners another one has, with one job of its file and one of its API."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.reopened = 0
        registry = here.registry
        for sock in here.gate.detach():
            sock.close()
        registry.roster.retire()
        self.follower = Follower(here.gate, registry.roster, registry.settings, self._reopen)

    def domains(self, job_id: str) -> list[str]:
        return list(map(str, self.here.gate.jobs[job_id].policy.job.domains))

    def _reopen(self) -> None:
        self.reopened += 1


@pytest.fixture
async def drainer(tmp_path: Path) -> AsyncIterator[Drainer]:
    async with world(FILE.format(domain="a.test"), file=tmp_path / "gate.toml") as here:
        await here.registry.put("asked", DOCUMENT)
        yield Drainer(here)


async def told(**changes: object) -> Mapping[str, object]:
    """What the process that serves says of its job ``asked``."""
    async with world() as other:
        await other.registry.put("asked", {**DOCUMENT, **changes})
        return change_of(other.registry.roster, "asked")


async def test_changed_job_is_taken_on_without_a_listener(drainer: Drainer) -> None:
    await drainer.follower.heed(await told(domains=["b.test"], token="secret"))
    assert drainer.domains("asked") == ["b.test"]
    assert drainer.here.gate.jobs["asked"].settings.token_hash is not None
    assert drainer.here.registry.roster.listening() == {}


async def test_removed_job_goes(drainer: Drainer) -> None:
    gone = change_of(drainer.here.registry.roster, "nobody")
    assert gone == {"removed": "nobody"}
    await drainer.follower.heed(gone)
    await drainer.follower.heed({"removed": "asked"})
    assert list(drainer.here.gate.jobs) == ["filed"]


@pytest.mark.parametrize(
    "job", [{"id": "asked"}, {"id": "asked", "token_hash": "xy"}], ids=["incomplete", "not a hash"]
)
async def test_job_that_is_not_understood_goes(job: dict[str, object], drainer: Drainer) -> None:
    whole = {**dict((await told())["job"]), **job} if len(job) > 1 else job  # type: ignore[call-overload]
    await drainer.follower.heed({"job": whole})
    assert list(drainer.here.gate.jobs) == ["filed"]


async def test_job_of_a_later_version_goes(drainer: Drainer) -> None:
    job = dict((await told())["job"])  # type: ignore[call-overload]
    await drainer.follower.heed({"job": {**job, "document": {**job["document"], "later": 1}}})
    assert list(drainer.here.gate.jobs) == ["filed"]


async def test_file_is_read_again(drainer: Drainer) -> None:
    drainer.here.write(FILE.format(domain="b.test"))
    await drainer.follower.heed(reload_of(str(drainer.here.file)))
    assert (drainer.domains("filed"), drainer.domains("asked")) == (["b.test"], ["a.test"])


async def test_file_that_is_not_understood_changes_nothing_and_is_told(
    drainer: Drainer, caplog: pytest.LogCaptureFixture
) -> None:
    drainer.here.write(FILE.format(domain="b.test") + "later = 1\n")
    await drainer.follower.heed(reload_of(str(drainer.here.file)))
    assert drainer.domains("filed") == ["a.test"]
    assert "keep their policy" in caplog.text


async def test_log_is_opened_anew(drainer: Drainer) -> None:
    await drainer.follower.heed(REOPEN)
    assert drainer.reopened == 1


async def test_what_a_later_version_says_is_left_alone(drainer: Drainer) -> None:
    await drainer.follower.heed({"something": "new"})
    assert list(drainer.here.gate.jobs) == ["filed", "asked"]
