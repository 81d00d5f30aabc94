"""Two services on one loop: what the second has of the first, and what the first still hears."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jobgate.config.endpoints import UnixPath
from jobgate.gateway.alone import UpgradeError
from jobgate.gateway.control import Sockets
from jobgate.gateway.inherited import Inherited
from jobgate.gateway.listeners import open_listener
from jobgate.gateway.stored import StoreError
from jobgate.gateway.succession import UPGRADE_MODE, Succession
from support.registry import DOCUMENT, World, status
from support.wait import until

FILE = """
[[job]]
id = "filed"
network = "http"
listen = "unix:{folder}/filed.sock"
domains = ["a.test"]
rate_up = 1000000
burst = 10000
"""


class Service:
    """One of them.

    Attributes:
        here: Its registry and gate.
        reopened: How often its log was.
    """

    def __init__(self, folder: Path, here: World) -> None:
        self.here = here
        self.reopened = 0
        path = UnixPath(f"{folder}/control.sock.upgrade")
        self.succession = Succession(here.gate, here.registry, path, str(here.file or ""), self._reopen)
        self.control = UnixPath(f"{folder}/control.sock")
        self._waiting: asyncio.Future[None] | None = None

    @property
    def share(self) -> float:
        return self.here.gate.jobs["filed"].up.piece_bytes / 5_000

    def _reopen(self) -> None:
        self.reopened += 1

    async def begin(self) -> None:
        """All that a service does before it says that it is ready."""
        await self.here.registry.start(self.succession.inheritance, self.succession.known)
        sock = self.succession.inheritance.take(self.control) or open_listener(self.control)
        self.succession.add(Sockets([], sock, None))
        await self.succession.begin()

    async def confirm(self) -> None:
        """All that it does then."""
        await self.succession.confirm()
        self._waiting = asyncio.ensure_future(self.succession.wait(lambda: None))

    async def followed(self) -> None:
        """What it does when another one serves."""
        assert self._waiting is not None
        await self._waiting
        self._waiting = asyncio.ensure_future(self.succession.follow())

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
        await self.succession.close()
        for sock in self.succession._besides:
            sock.close()
        await self.here.gate.close()
        await self.here.registry.close()
        self.here.log.close()


class Two:
    """A folder, and services that follow each other there."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack

    async def service(self) -> Service:
        """Make one; it has met the one that serves."""
        text = FILE.format(folder=self.folder)
        here = World(text, file=self.folder / "gate.toml", state=None, resolver=None)
        service = Service(self.folder, here)
        self._stack.push_async_callback(service.close)
        await service.succession.meet([], take_over=True)
        return service

    async def serving(self) -> Service:
        """Make one that serves."""
        service = await self.service()
        await service.begin()
        await service.confirm()
        return service


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        yield Two(tmp_path, stack)


async def test_first_one_serves_alone(two: Two) -> None:
    first = await two.serving()
    assert (first.succession.known, first.share) == (None, 1.0)
    path = two.folder / "control.sock.upgrade"
    assert path.stat().st_mode & 0o777 == UPGRADE_MODE
    await first.close()
    assert not path.exists()


async def test_second_one_has_everything_and_the_first_one_nothing(two: Two) -> None:
    first = await two.serving()
    view, _ = await first.here.registry.put("asked", {**DOCUMENT, "token": "secret"})
    second = await two.service()
    assert (first.share, second.succession.known is not None) == (0.5, True)
    await second.begin()
    assert second.here.registry.roster.listening() == first.here.registry.roster.listening()
    assert second.here.registry.get("asked").has_token
    await second.confirm()
    await first.followed()
    assert await status(f"unix:{two.folder}/filed.sock") == 200
    assert await status(view.listen) == 407
    assert first.here.log.decisions == []
    assert len(second.here.log.decisions) == 2
    assert (first.share, second.share) == (0.5, 0.5)
    with pytest.raises(StoreError, match="another process serves now"):
        await first.here.registry.remove("asked")
    await first.close()
    await until(lambda: second.share == 1.0)
    assert (two.folder / "filed.sock").is_socket()
    assert (two.folder / "control.sock.upgrade").is_socket()


async def test_second_one_that_gives_up_leaves_everything_to_the_first(two: Two) -> None:
    first = await two.serving()
    second = await two.service()
    await second.begin()
    second.succession.give_up()
    await second.close()
    await until(lambda: first.share == 1.0 and not first.here.gate.retiring)
    assert (two.folder / "filed.sock").is_socket()
    assert await status(f"unix:{two.folder}/filed.sock") == 200
    assert (await first.here.registry.put("asked", DOCUMENT))[1]


async def test_what_nobody_wants_is_closed(two: Two) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        service = await two.service()
        await service.succession.meet([Inherited(sock)], take_over=False)
        await service.begin()
        await service.succession.close()
        assert sock.fileno() == -1


async def test_service_without_a_control_socket_cannot_be_followed(two: Two) -> None:
    service = await two.service()
    service.succession.add(Sockets([], None, None))
    await service.succession.begin()
    await service.succession.wait(lambda: None)
    assert not (two.folder / "control.sock.upgrade").exists()


async def test_process_that_does_not_answer_is_an_error(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobgate.gateway.upgrade.PREPARE_S", 0.01)
    with (
        open_listener(UnixPath(f"{two.folder}/control.sock.upgrade")),
        pytest.raises(UpgradeError, match="no answer"),
    ):
        await two.service()


def domains(service: Service, job_id: str) -> list[str]:
    return list(map(str, service.here.gate.jobs[job_id].policy.job.domains))


async def followed(two: Two) -> tuple[Service, Service]:
    first = await two.serving()
    await first.here.registry.put("asked", DOCUMENT)
    second = await two.service()
    await second.begin()
    await second.confirm()
    await first.followed()
    return first, second


async def test_first_one_hears_of_changes_by_the_api(two: Two) -> None:
    first, second = await followed(two)
    await second.here.registry.patch("asked", {"domains": ["b.test"], "rate_up": "unlimited"})
    await until(lambda: domains(first, "asked") == ["b.test"])
    await second.here.registry.put("new", {**DOCUMENT, "listen": "127.0.0.1:0"})
    await until(lambda: "new" in first.here.gate.jobs)
    await second.here.registry.remove("asked")
    await until(lambda: "asked" not in first.here.gate.jobs)


async def test_first_one_hears_of_reloads(two: Two) -> None:
    first, second = await followed(two)
    second.here.write(FILE.format(folder=two.folder).replace("a.test", "b.test"))
    await second.here.registry.reload()
    await until(lambda: domains(first, "filed") == ["b.test"])
    assert "asked" in first.here.gate.jobs
    second.here.write("")
    await second.here.registry.reload()
    await until(lambda: "filed" not in first.here.gate.jobs)
    assert (two.folder / "control.sock").is_socket()


async def test_first_one_reopens_its_log_with_the_second(two: Two) -> None:
    first, second = await followed(two)
    second.succession.on_hangup()
    await until(lambda: (first.reopened, second.reopened) == (1, 1))
