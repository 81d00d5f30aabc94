"""Two processes and more, in one: what they say to each other, and what each does when another one dies."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jobgate.config.endpoints import UnixPath, parse_listen
from jobgate.gateway import upgrade
from jobgate.gateway.alone import UpgradeError
from jobgate.gateway.link import Link, LinkError
from jobgate.gateway.listeners import open_listener
from jobgate.gateway.upgrade import (
    meet,
    upgrade_path,
)
from support.processes import World
from support.sockets import open_sockets
from support.wait import until


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    before = len(open_sockets())  # uvloop has others each time that it runs
    async with AsyncExitStack() as stack:
        yield World(tmp_path, stack)
    assert len(open_sockets()) == before


async def test_new_process_gets_everything_and_the_old_one_lets_go(world: World) -> None:
    old, new = world.processes("old", "new")
    serving = old.serve(world.listener)
    found = await world.meet()
    (listener,) = found.handover.listeners
    assert (listener.name, listener.sock.getsockname()) == ("old", old.listener.getsockname())
    assert (old.did, old.share) == (["freeze"], 0.5)
    await found.detach()
    assert (old.did, serving.done()) == (["freeze", "detach"], False)
    await found.retire(new.team)
    old.drain(await serving)
    assert (old.did, new.share) == (["freeze", "detach", "thaw"], 0.5)


async def test_where_nobody_serves_there_is_nobody_to_take_over_from(tmp_path: Path) -> None:
    path = UnixPath(f"{tmp_path}/upgrade")
    assert await meet(path) is None
    open_listener(path).close()
    assert await meet(path) is None


async def test_each_process_holds_an_equal_share(world: World) -> None:
    first, second, third = world.processes("first", "second", "third")
    await world.take_over(first, second)
    await until(lambda: [first.share, second.share] == [0.5, 0.5])
    await world.take_over(second, third)
    await until(lambda: [first.share, second.share, third.share] == [1 / 3] * 3)


ENDS = [
    ("the first", 0, [None, 0.5, 0.5]),
    ("the second", 1, [0.5, None, 0.5]),
    ("the one that serves", 2, [0.5, 0.5, None]),
]


@pytest.mark.parametrize(("number", "shares"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
async def test_share_of_a_process_that_ends_goes_to_the_others(
    number: int, shares: list[float | None], world: World
) -> None:
    processes = world.processes("first", "second", "third")
    await world.take_over(processes[0], processes[1])
    await world.take_over(processes[1], processes[2])
    await until(lambda: {process.share for process in processes} == {1 / 3})
    await processes[number].end()
    others = [(process, share) for process, share in zip(processes, shares, strict=True) if share is not None]
    await until(lambda: all(process.share == share for process, share in others))


async def test_last_one_has_all(world: World) -> None:
    first, second, third = world.processes("first", "second", "third")
    await world.take_over(first, second)
    await world.take_over(second, third)
    await first.end()
    await second.end()
    await until(lambda: third.share == 1.0)
    assert third.team.drainers == []


async def test_new_process_that_dies_before_go_changes_nothing(world: World) -> None:
    (old,) = world.processes("old")
    serving = old.serve(world.listener)
    (await world.meet()).close()
    await until(lambda: old.did == ["freeze", "thaw"])
    assert (old.share, serving.done()) == (1.0, False)


async def test_new_process_that_dies_right_after_go_is_as_if_it_had_never_been(world: World) -> None:
    old, new = world.processes("old", "new")
    serving = old.serve(world.listener)
    found = await world.meet()
    await found.detach()
    found.close()
    await until(lambda: old.did == ["freeze", "detach", "resume", "thaw"])
    assert old.share == 1.0
    old.did.clear()
    again = await world.meet()  # the next one may try
    await again.detach()
    await again.retire(new.team)
    old.drain(await serving)
    assert old.did == ["freeze", "detach", "thaw"]


async def test_drainers_of_an_old_process_have_their_share_back_when_nothing_comes_of_it(
    world: World,
) -> None:
    first, second = world.processes("first", "second")
    await world.take_over(first, second)
    second.serve(world.listener)
    found = await world.meet()
    await until(lambda: [first.share, second.share] == [1 / 3] * 2)
    found.close()
    await until(lambda: [first.share, second.share] == [1 / 2] * 2)


async def test_old_process_that_dies_after_it_gave_everything_has_let_go(world: World) -> None:
    old, new = world.processes("old", "new")
    old.serve(world.listener)
    found = await world.meet()
    await old.end()
    await found.detach()
    await found.retire(new.team)
    await until(lambda: new.share == 1.0)
    assert new.team.drainers == []


async def test_old_process_that_dies_in_the_middle_is_an_error(world: World) -> None:
    meeting = asyncio.ensure_future(meet(world.path))
    sock, _ = await asyncio.get_running_loop().sock_accept(world.listener)
    link = Link(sock)
    await link.receive()
    await link.send({"listeners": []})
    link.close()
    with pytest.raises(UpgradeError, match=r"cannot take over by .*: the other process has ended"):
        await meeting


async def test_process_that_speaks_another_version_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (old,) = world.processes("old")
    serving = old.serve(world.listener)
    monkeypatch.setattr(upgrade, "VERSION", 2)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(world.path.path)
    link = Link(sock)
    await link.send({"take_over": 1})
    assert (await link.receive()).body == {"error": "this process can be taken over by version 2 only"}
    link.close()
    assert not serving.done()
    assert old.did == []


async def test_other_user_is_not_heard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (old,) = world.processes("old")
    serving = old.serve(world.listener)
    monkeypatch.setattr(Link, "is_trusted", lambda self: False)
    with pytest.raises(UpgradeError, match="belongs to another user"):
        await meet(world.path)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(world.path.path)
    link = Link(sock)
    with pytest.raises(LinkError, match="has ended"):
        await link.receive()
    link.close()
    assert (serving.done(), old.did) == (False, [])


class Poor(socket.socket):
    """A listening socket that cannot accept, once."""

    failed = False

    def accept(self) -> tuple[socket.socket, object]:
        if self.failed:
            return super().accept()
        self.failed = True
        raise OSError(errno.EMFILE, "Too many open files")


async def test_process_without_a_descriptor_left_can_be_asked_later(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upgrade, "PAUSE_S", 0.0)
    (old,) = world.processes("old")
    with Poor(fileno=os.dup(world.listener.fileno())) as listener:
        listener.setblocking(False)
        serving = old.serve(listener)
        (await world.meet()).close()
        await until(lambda: old.did == ["freeze", "thaw"])
        await old.end()
    assert "for the moment: Too many open files" in caplog.text
    assert serving.cancelled()


async def test_process_that_asks_for_nothing_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upgrade, "ANSWER_S", 0.01)
    (old,) = world.processes("old")
    old.serve(world.listener)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(world.path.path)
    link = Link(sock)
    with pytest.raises(LinkError):
        await link.receive()
    link.close()
    assert "did not take over: it was too slow" in caplog.text


def test_place_of_the_socket_is_beside_the_control_socket() -> None:
    assert upgrade_path(UnixPath("/run/a.sock")) == UnixPath("/run/a.sock.upgrade")
    assert upgrade_path(None) is None
    assert upgrade_path(parse_listen("127.0.0.1:9900")) is None
