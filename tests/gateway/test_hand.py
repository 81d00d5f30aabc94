"""One worker as the main process sees it; real processes, and some that are not there yet."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobgate.config.load import load_text
from jobgate.gateway import orders
from jobgate.gateway.hand import MAX_WAITING, Hand
from jobgate.gateway.workers import WorkerError
from support.crew import is_alive
from support.wait import Changes, until_seen

SETTINGS = load_text("")
DEADLINE_S = 20.0


class Boss:
    """Whose worker it is: what came to its ears."""

    def __init__(self) -> None:
        self.heard_bodies: list[Mapping[str, object]] = []
        self.told: list[str] = []
        self.changes = Changes()

    def introduce(self, hand: Hand) -> None:
        self._tell("introduce")
        hand.post(orders.begin(SETTINGS, 1))

    def heard(self, hand: Hand, body: Mapping[str, object]) -> None:
        self.heard_bodies.append(body)
        self.changes.notify()

    def lost(self, hand: Hand, problem: str, restart_s: float | None) -> None:
        self._tell(f"lost: {problem}, {restart_s}")

    def back(self, hand: Hand) -> None:
        self._tell("back")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.changes.notify()


@asynccontextmanager
async def working(folder: Path) -> AsyncIterator[tuple[Hand, Boss]]:
    boss = Boss()
    hand = Hand(1, ["asyncio", str(folder / "log")], boss)
    await hand.start()
    try:
        yield hand, boss
    finally:
        await hand.kill()


async def test_worker_answers_in_order(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, _):
        hand.post({"share": 0.5})
        answers = await asyncio.gather(*(hand.ask({}, DEADLINE_S) for _ in range(3)))
        assert [answer is not None and answer["mark"] for answer in answers] == [1, 2, 3]
        report = await hand.ask({"report": True}, DEADLINE_S)
        assert report is not None
        assert "report" in report


async def test_worker_that_died_is_started_again_and_introduced_anew(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, boss):
        first = hand.pid
        asked = asyncio.ensure_future(hand.ask({"usage": "nobody"}, DEADLINE_S))
        os.kill(first, signal.SIGKILL)
        await boss.changes.until(lambda: "back" in boss.told, DEADLINE_S)
        assert boss.told == ["introduce", "lost: it was ended by SIGKILL, 0.0", "introduce", "back"]
        await asked  # answered before, or with nothing: it does not hang
        assert hand.pid != first
        assert await hand.ask({}, DEADLINE_S) is not None


async def test_order_that_is_not_understood_ends_a_worker_which_is_told_with_its_exit_code(
    tmp_path: Path,
) -> None:
    async with working(tmp_path) as (hand, boss):
        hand.post({"nonsense": 1})
        await boss.changes.until(lambda: "back" in boss.told, DEADLINE_S)
        assert boss.told[1] == "lost: it ended with exit code 1, 0.0"


async def test_worker_that_retires_is_not_started_again(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, boss):
        hand.retire()
        os.kill(hand.pid, signal.SIGKILL)
        await hand.ended()
        assert boss.told == ["introduce", "lost: it was ended by SIGKILL, None"]
        assert not hand.is_up
        assert await hand.ask({}) is None


async def test_worker_that_is_to_end_ends_and_nobody_is_told(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, boss):
        hand.expect_end()
        hand.post({"close": 0.0})
        await hand.ended()
        assert boss.told == ["introduce"]
        assert [list(body) for body in boss.heard_bodies] == [["last"]]
        assert not is_alive(hand.pid)


async def test_killed_worker_is_gone(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, _):
        pid = hand.pid
    await until_seen(lambda: not is_alive(pid))


async def test_worker_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    hand = Hand(1, ["asyncio", str(tmp_path / "missing" / "log")], Boss())
    with pytest.raises(WorkerError, match=r"worker 1 does not start: .*exit code 1"):
        await hand.start()
    await hand.kill()


async def test_worker_that_cannot_be_introduced_is_started_again(tmp_path: Path) -> None:
    """Its listeners take descriptors, of which there may be none for a moment."""

    class Short(Boss):
        def introduce(self, hand: Hand) -> None:
            super().introduce(hand)
            if self.told.count("introduce") == 2:
                raise OSError(errno.EMFILE, "Too many open files")

    boss = Short()
    hand = Hand(1, ["asyncio", str(tmp_path / "log")], boss)
    await hand.start()
    try:
        os.kill(hand.pid, signal.SIGKILL)
        await boss.changes.until(lambda: "back" in boss.told, DEADLINE_S)
        assert hand.is_up
        assert [text.partition(":")[0] for text in boss.told] == [
            "introduce",
            "lost",
            "introduce",
            "lost",
            "introduce",
            "back",
        ]
        assert "Too many open files" in boss.told[3]
    finally:
        await hand.kill()


async def test_connections_wait_for_a_worker_that_is_not_there_but_not_without_end(tmp_path: Path) -> None:
    hand = Hand(1, ["asyncio", str(tmp_path / "log")], Boss())
    pairs = [socket.socketpair() for _ in range(3)]
    for ours, _ in pairs[:2]:
        hand.pass_on(ours, "unix", "job")
    assert [ours.fileno() for ours, _ in pairs[:2]] == [-1, -1]
    assert [is_open(theirs) for _, theirs in pairs[:2]] == [True, True]
    hand.expect_end()
    hand.pass_on(pairs[2][0], "unix", "job")
    assert [is_open(theirs) for _, theirs in pairs] == [False, False, False]
    for _, theirs in pairs:
        theirs.close()
    await hand.kill()
    assert MAX_WAITING < 2000


@asynccontextmanager
async def standing_still(hand: Hand) -> AsyncIterator[socket.socket]:
    """A worker that reads nothing, whose link is full; and a connection that is for it."""
    os.kill(hand.pid, signal.SIGSTOP)
    for number in range(MAX_WAITING):
        hand.post(orders.own("127.0.0.1", number, there=True))
    await until_seen(lambda: 0 < len(hand._outbox) < MAX_WAITING)
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        theirs.sendall(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
        hand.pass_on(ours, "unix", "job")
        await asyncio.sleep(0)
        assert len(hand._outbox) > 1
        yield theirs


async def test_what_a_worker_that_stands_still_has_no_room_for_waits_for_it(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, _), standing_still(hand) as theirs:
        os.kill(hand.pid, signal.SIGCONT)
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 100), DEADLINE_S)
        assert answer.startswith(b"HTTP/1.1 403 ")  # no job of this worker
        assert await hand.ask({}, DEADLINE_S) is not None


async def test_connection_that_a_worker_did_not_get_any_more_is_for_the_next_one(tmp_path: Path) -> None:
    async with working(tmp_path) as (hand, boss), standing_still(hand) as theirs:
        os.kill(hand.pid, signal.SIGKILL)
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 100), DEADLINE_S)
        assert answer.startswith(b"HTTP/1.1 403 ")  # no job of this worker
        assert "back" in boss.told


def is_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
