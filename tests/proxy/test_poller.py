from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from jobgate.proxy import poller as module
from jobgate.proxy.poller import BROKEN, ENDED, READABLE, WRITABLE, Poller, own_poller
from support.narrow import turns
from support.pairs import tcp_pair
from support.wait import until


class Listening:
    """Notes what it is told, and may do something about it."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.told: list[int] = []
        self.failed: list[Exception] = []
        self._then = then

    def ready(self, events: int) -> None:
        self.told.append(events)
        self._then()

    def fail(self, error: Exception) -> None:
        self.failed.append(error)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with tcp_pair() as pair:
        yield pair


@asynccontextmanager
async def polled() -> AsyncIterator[Poller]:
    """Have a poller that is not the loop's own."""
    poller = Poller(asyncio.get_running_loop())
    yield poller
    asyncio.get_running_loop().remove_reader(poller.descriptor)
    poller.close()


async def test_each_loop_has_its_own() -> None:
    poller = own_poller()
    assert own_poller() is poller
    assert poller.loop is asyncio.get_running_loop()


def test_poller_of_a_closed_loop_is_closed_when_there_is_another(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    async def own() -> Poller:
        return own_poller()

    ours, theirs = (sock.fileno() for sock in pair)
    first = asyncio.run(own())
    first.add(ours, READABLE, Listening())
    assert asyncio.run(own()) is not first
    with pytest.raises(ValueError, match="closed"):
        first.add(theirs, READABLE, Listening())
    first.remove(ours)  # by whoever lets go late


async def test_socket_is_told_until_it_was_read(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    async with polled() as poller:
        listening = Listening()
        poller.add(ours.fileno(), READABLE, listening)
        await turns()
        assert listening.told == []
        theirs.send(b"x")
        await until(lambda: len(listening.told) > 1)
        assert set(listening.told) == {READABLE & ~ENDED}
        ours.recv(10)
        count = len(listening.told)
        await turns()
        assert len(listening.told) == count


async def test_what_is_told_changes(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    async with polled() as poller:
        listening = Listening()
        poller.add(ours.fileno(), READABLE, listening)
        poller.change(ours.fileno(), WRITABLE)
        theirs.send(b"x")
        await until(lambda: bool(listening.told))
        assert set(listening.told) == {WRITABLE}


async def test_reset_is_told_in_any_case(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    async with polled() as poller:
        listening = Listening(lambda: poller.remove(ours.fileno()))
        poller.add(ours.fileno(), WRITABLE, listening)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        await until(lambda: bool(listening.told))
        assert listening.told[0] & (WRITABLE | BROKEN)


async def test_removed_socket_is_not_told_even_with_a_duplicate_open(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    async with polled() as poller:
        listening = Listening()
        poller.add(ours.fileno(), READABLE, listening)
        with ours.dup():
            poller.remove(ours.fileno())
            ours.close()
            theirs.send(b"x")
            await turns()
        assert listening.told == []
        assert poller.watched == {}


async def test_socket_that_another_one_let_go_in_the_same_turn_is_not_told() -> None:
    async with polled() as poller:
        with tcp_pair() as (one, to_one), tcp_pair() as (other, to_other):
            socks = {"one": one, "other": other}

            def let_go() -> None:
                for sock in socks.values():
                    poller.remove(sock.fileno())

            listening = {name: Listening(let_go) for name in socks}
            for name, sock in socks.items():
                poller.add(sock.fileno(), READABLE, listening[name])
            to_one.send(b"x")
            to_other.send(b"x")
            await until(lambda: any(each.told for each in listening.values()))
            await turns()
            assert sum(len(each.told) for each in listening.values()) == 1


async def test_defect_ends_its_own_socket_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    loop, reported = asyncio.get_running_loop(), list[dict[str, object]]()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    async with polled() as poller:
        with tcp_pair() as (second, to_second):

            def fail() -> None:
                poller.remove(ours.fileno())
                raise RuntimeError("defect")

            failing, good = Listening(fail), Listening()
            poller.add(ours.fileno(), READABLE, failing)
            poller.add(second.fileno(), READABLE, good)
            theirs.send(b"x")
            to_second.send(b"x")
            await until(lambda: bool(failing.told) and bool(good.told))
    assert [str(error) for error in failing.failed] == ["defect"]
    assert [context["exception"] for context in reported] == failing.failed


async def test_all_have_their_turn_though_few_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    async with polled() as poller:
        with contextlib.ExitStack() as stack:
            told: list[int] = []
            for number in range(7):
                ours, theirs = stack.enter_context(tcp_pair())
                poller.add(ours.fileno(), READABLE, Listening(partial(told.append, number)))
                theirs.send(b"x")  # and nobody reads it: each is ready in each turn
            await until(lambda: len(told) >= 28)
            assert {told.count(number) for number in range(7)} <= {3, 4, 5}
            for descriptor in tuple(poller.watched):
                poller.remove(descriptor)
