"""Looking again and again, at a gateway that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobgate.cli.top_loop import HELP, KEYS, MOST_REFUSED_JOBS, Picture, Top, Unreachable
from jobgate.cli.top_model import SORTS, Look, Refusal


class Gateway:
    """Moves 1000 bytes a second down, in every job; ``answers`` is False while it is away."""

    def __init__(self, *ids: str, refused: int = 0) -> None:
        self.at = 100.0
        self.answers = True
        self.asked: list[list[str]] = []
        self._ids = ids
        self._refused = refused

    async def looks(self) -> tuple[float, list[Look]]:
        if not self.answers:
            raise Unreachable("the gateway does not answer")
        self.at += 2.0
        moved = int(1000 * self.at)
        looks = [Look(id, "active", 1, 5, self._refused, 0, moved, None, None, 0.0, 0.0) for id in self._ids]
        return self.at, looks

    async def refusals(self, job_ids: Sequence[str]) -> list[Refusal]:
        self.asked.append(list(job_ids))
        return [Refusal(job, "evil.test:443", "not-listed", len(job)) for job in job_ids]


async def test_once_has_rates() -> None:
    top = Top(Gateway("b", "a"), "id")
    await top.once(0.0)
    assert [(row.look.id, row.down) for row in top.picture.rows] == [("a", 1000.0), ("b", 1000.0)]


async def test_refusals_are_of_the_jobs_with_most_and_most_frequent_first() -> None:
    ids = [f"{'j' * length}" for length in range(1, MOST_REFUSED_JOBS + 3)]
    gateway = Gateway(*ids, refused=1)
    top = Top(gateway, "id")
    await top.look()
    assert len(gateway.asked[0]) == MOST_REFUSED_JOBS
    counts = [refusal.times for refusal in top.picture.refusals]
    assert counts == sorted(counts, reverse=True)


async def test_job_without_refusals_is_not_asked_about() -> None:
    gateway = Gateway("a")
    await Top(gateway, "id").look()
    assert gateway.asked == [[]]


async def test_gateway_that_went_away_leaves_the_picture_and_comes_back() -> None:
    gateway = Gateway("a")
    top = Top(gateway, "id")
    drawn: list[Picture] = []

    def draw(picture: Picture) -> None:
        drawn.append(picture)
        gateway.answers = len(drawn) != 1
        if len(drawn) == 3:
            top.over.set()

    await top.run(draw, 0.0)
    assert [picture.note for picture in drawn] == ["", "the gateway does not answer (trying again)", ""]
    assert [len(picture.rows) for picture in drawn] == [1, 1, 1]


async def test_once_says_that_nobody_answers() -> None:
    gateway = Gateway("a")
    gateway.answers = False
    with pytest.raises(Unreachable):
        await Top(gateway, "id").once(0.0)


async def test_gateway_that_never_answered_is_an_error() -> None:
    gateway = Gateway("a")
    gateway.answers = False
    with pytest.raises(Unreachable):
        await Top(gateway, "id").run(lambda _: pytest.fail("drawn"), 3600.0)


async def test_q_ends_at_once() -> None:
    top = Top(Gateway("a"), "id")
    running = asyncio.ensure_future(top.run(lambda _: None, 3600.0))
    await asyncio.sleep(0)
    assert top.press("q") is False
    await running


@pytest.mark.parametrize("key", list(KEYS))
async def test_key_sorts_what_is_there(key: str) -> None:
    top = Top(Gateway("b", "a"), "down")
    await top.look()
    before = top.picture
    assert top.press(key) is True
    assert [row.look.id for row in top.picture.rows] == ["a", "b"]
    assert top.picture.at == before.at


async def test_other_key_changes_nothing() -> None:
    assert Top(Gateway(), "id").press("x") is False


def test_every_sort_has_a_key_and_its_word() -> None:
    assert set(KEYS.values()) == set(SORTS)
    assert all(f" {key} {sort.removeprefix('x')}" in f" {HELP}" for key, sort in KEYS.items())
