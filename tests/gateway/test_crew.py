"""All workers together; none of them is started, but where they are to end."""

from __future__ import annotations

import pytest

from jobgate.config.load import load_text
from jobgate.gateway.crew import Crew
from jobgate.gateway.fleet import Fleet
from jobgate.gateway.workers import WorkerError
from jobgate.proxy.journal import Journal

SETTINGS = load_text("[listen]\nworkers = 3\n")


def made(log: str = "-") -> Crew:
    return Fleet(SETTINGS, journal=Journal(), log=log, loop="asyncio").crew


async def test_job_goes_to_the_worker_with_the_fewest() -> None:
    crew = made()
    assert [crew.assign(job_id).number for job_id in "abcd"] == [1, 2, 3, 1]
    assert crew.release("b").number == 2
    assert crew.assign("e").number == 2
    first, *_ = crew
    assert crew.owned_by(first) == ["a", "d"]
    with pytest.raises(KeyError):
        crew.owner("b")


async def test_workers_that_do_not_come_up_are_an_error_and_gone(tmp_path: object) -> None:
    crew = made(f"{tmp_path}/missing/log")
    with pytest.raises(WorkerError):
        await crew.start()
    await crew.gone(crew.dismiss(0.0), 0.0)
    assert len(crew) == 3
    assert not any(hand.is_up for hand in crew)
