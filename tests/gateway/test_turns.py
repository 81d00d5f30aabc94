from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from jobgate.gateway.turns import Turns


async def test_one_change_waits_for_another() -> None:
    turns, done = Turns(), list[str]()

    async def change(name: str) -> str:
        done.append(f"{name} begins")
        await asyncio.sleep(0)
        done.append(f"{name} ends")
        return name

    first, second = await asyncio.gather(turns.run(change("a")), turns.run(change("b")))
    assert (first, second) == ("a", "b")
    assert done == ["a begins", "a ends", "b begins", "b ends"]


async def test_change_that_fails_lets_the_next_one_go() -> None:
    turns = Turns()

    async def fail() -> None:
        raise ValueError("no")

    async def work() -> str:
        return "done"

    with pytest.raises(ValueError, match=r"^no$"):
        await turns.run(fail())
    assert await turns.run(work()) == "done"


async def test_change_goes_on_when_nobody_waits_for_it() -> None:
    turns, go_on, done = Turns(), asyncio.Event(), list[str]()

    async def change() -> None:
        await go_on.wait()
        done.append("done")

    waiting = asyncio.create_task(turns.run(change()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    go_on.set()
    async with turns.none():
        assert done == ["done"]


async def test_no_change_happens_meanwhile() -> None:
    turns, done = Turns(), list[str]()

    async def change() -> None:
        done.append("done")

    async with turns.none():
        waiting = asyncio.create_task(turns.run(change()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert done == []
    await waiting
    assert done == ["done"]


async def test_change_whose_turn_comes_too_late_is_refused() -> None:
    turns, done = Turns(), list[str]()

    async def change() -> None:
        done.append("changed")

    turns.refusal = ValueError("too late")
    with pytest.raises(ValueError, match=r"^too late$"):
        await turns.run(change())
    turns.refusal = None
    await turns.run(change())
    assert done == ["changed"]


@pytest.mark.parametrize("fails", [False, True], ids=["made", "failed"])
async def test_something_is_done_before_and_after_each_change(fails: bool) -> None:
    done = list[str]()

    async def before() -> None:
        done.append("before")

    async def after() -> None:
        done.append("after")

    async def change() -> None:
        done.append("change")
        if fails:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") if fails else nullcontext():
        await Turns(before, after).run(change())
    assert done == ["before", "change", "after"]
