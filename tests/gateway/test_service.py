from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobgate.config.load import load_text
from jobgate.config.settings import Settings
from jobgate.gateway.listeners import ListenError, bound_to
from jobgate.gateway.service import close_listeners, open_listeners, raise_descriptor_limit, serve
from jobgate.proxy.journal import Journal

DEADLINE_S = 10.0


def settings_for(listen: str, *, port: int = 8081, drain_s: float = 60.0) -> Settings:
    return load_text(
        f"""
        [node]
        allow_addresses = ["127.0.0.1"]
        [dns.hosts]
        "origin.test" = ["127.0.0.1"]
        [timeouts]
        drain_s = {drain_s}
        [[job]]
        id = "train"
        network = "http"
        listen = "{listen}"
        domains = ["origin.test:{port}"]
        tls = "any"
        """
    )


class Running:
    """A service that runs on the test's loop, and what it said of itself."""

    def __init__(self, settings: Settings) -> None:
        self.states: list[str] = []
        self.listen: dict[str, str] = {}
        self.hangups = 0
        self._changed = asyncio.Event()
        listeners = open_listeners(settings.jobs)
        self.task = asyncio.get_running_loop().create_task(
            serve(settings, listeners, journal=Journal(), on_hangup=self._hang_up, on_state=self._say)
        )

    async def until_state(self, state: str) -> None:
        while state not in self.states:
            await self.next_change()

    async def next_change(self) -> None:
        await asyncio.wait_for(self._changed.wait(), DEADLINE_S)
        self._changed.clear()

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, DEADLINE_S)

    def _say(self, state: str, listen: Mapping[str, str]) -> None:
        self.states.append(state)
        self.listen.update(listen)
        self._changed.set()

    def _hang_up(self) -> None:
        self.hangups += 1
        self._changed.set()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    service = Running(settings)
    try:
        await service.until_state("ready")
        yield service
    finally:
        if not service.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
            await service.until_state("stopping")
            os.kill(os.getpid(), signal.SIGTERM)
            await service.ended()


def connected(service: Running) -> socket.socket:
    """A connection to the listener, made without the resolver's threads: they would take our signals."""
    host, _, port = service.listen["train"].rpartition(":")
    return socket.create_connection((host, int(port)))


@asynccontextmanager
async def tunnel(
    service: Running, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A tunnel through the service to a local port."""
    reader, writer = await asyncio.open_connection(sock=connected(service))
    try:
        writer.write(f"CONNECT origin.test:{port} HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        assert head.startswith(b"HTTP/1.1 200 ")
        yield reader, writer
    finally:
        writer.close()


@asynccontextmanager
async def echo_origin() -> AsyncIterator[int]:
    """An origin that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    async with await asyncio.start_server(echo, sock=listener) as server:
        yield server.sockets[0].getsockname()[1]


async def test_ready_says_where_each_job_listens() -> None:
    async with running(settings_for("127.0.0.1:0")) as service:
        assert service.listen["train"].startswith("127.0.0.1:")
        connected(service).close()


async def test_sigterm_lets_a_tunnel_finish() -> None:
    async with echo_origin() as port, running(settings_for("127.0.0.1:0", port=port)) as service:
        async with tunnel(service, port) as (reader, writer):
            os.kill(os.getpid(), signal.SIGTERM)
            await service.until_state("stopping")
            writer.write(b"still here")
            assert await asyncio.wait_for(reader.readexactly(10), DEADLINE_S) == b"still here"
            assert not service.task.done()
            writer.write_eof()
        await service.ended()


async def test_listener_is_closed_while_draining() -> None:
    async with (
        echo_origin() as port,
        running(settings_for("127.0.0.1:0", port=port)) as service,
        tunnel(service, port),
    ):
        os.kill(os.getpid(), signal.SIGINT)
        await service.until_state("stopping")
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            connected(service)


async def test_second_signal_ends_what_is_left() -> None:
    async with (
        echo_origin() as port,
        running(settings_for("127.0.0.1:0", port=port)) as service,
        tunnel(service, port) as (reader, _),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        await service.until_state("stopping")
        os.kill(os.getpid(), signal.SIGTERM)
        await service.ended()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), DEADLINE_S)


async def test_drain_ends_with_its_time() -> None:
    async with (
        echo_origin() as port,
        running(settings_for("127.0.0.1:0", port=port, drain_s=0.0)) as service,
        tunnel(service, port),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        await service.ended()


async def test_hangup_is_passed_on_and_nothing_ends() -> None:
    async with running(settings_for("127.0.0.1:0")) as service:
        os.kill(os.getpid(), signal.SIGHUP)
        while not service.hangups:
            await service.next_change()
        assert service.states == ["ready"]


async def test_path_of_a_unix_listener_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    async with running(settings_for(f"unix:{path}")) as service:
        assert service.listen == {"train": f"unix:{path}"}
        assert path.is_socket()
    assert not path.exists()


def test_all_listeners_or_none_are_opened(tmp_path: Path) -> None:
    first = settings_for(f"unix:{tmp_path}/first").jobs[0]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = settings_for(f"127.0.0.1:{taken.getsockname()[1]}").jobs[0]
        with pytest.raises(
            ListenError, match=r"^job train: cannot listen on 127\.0\.0\.1:\d+: Address already in use$"
        ):
            open_listeners([first, second])
    assert list(tmp_path.iterdir()) == []


def test_listeners_of_limited_jobs_bound_the_receive_buffer() -> None:
    (opened,) = open_listeners(settings_for("127.0.0.1:0").jobs)
    wanted = 625_000  # half a second of 10 Mbit/s; the kernel may allow less, and doubles what it allows
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        assert opened.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == plain.getsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF
        )
    close_listeners([opened])


def test_close_listeners_leaves_those_that_are_closed() -> None:
    (opened,) = open_listeners(settings_for("127.0.0.1:0").jobs)
    assert bound_to(opened.sock)
    close_listeners([opened])
    close_listeners([opened])


def test_descriptor_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
