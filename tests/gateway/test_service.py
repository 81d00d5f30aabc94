from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from pathlib import Path

import pytest

from jobgate.config.load import load_file
from jobgate.gateway import service as service_module
from jobgate.gateway.listeners import ListenError
from jobgate.gateway.service import Service, background
from support.service import DEADLINE_S, echo_origin, running
from support.wait import until

NODE = """
[node]
allow_addresses = ["127.0.0.1"]
[listen]
control = ""
[dns.hosts]
"origin.test" = ["127.0.0.1"]
[timeouts]
drain_s = {drain_s}
"""
JOB = """
[[job]]
id = "{id}"
network = "http"
listen = "{listen}"
domains = ["{domain}"]
tls = "any"
"""


def job(id: str = "train", listen: str = "127.0.0.1:0", domain: str = "origin.test:8081") -> str:
    return JOB.format(id=id, listen=listen, domain=domain)


class File:
    """A configuration file that a test writes again and again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobgate.toml"

    def write(self, *jobs: str, drain_s: float = 60.0) -> None:
        self.path.write_text(NODE.format(drain_s=drain_s) + "".join(jobs))

    def service(self, *jobs: str, drain_s: float = 60.0, watch: bool = False) -> Service:
        self.write(*jobs, drain_s=drain_s)
        return Service(load_file(self.path), config_path=str(self.path), watch=watch)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


async def test_ready_says_where_each_job_listens(file: File) -> None:
    async with running(file.service(job())) as service:
        assert service.listen["train"].startswith("127.0.0.1:")
        service.connected().close()


async def test_ready_says_how_many_connections_the_descriptors_allow(file: File) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (656, before[1]))
    try:
        async with running(file.service(job())) as service:
            assert service.besides["max_connections"] == 133
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_sigterm_lets_a_tunnel_finish(file: File) -> None:
    async with echo_origin() as port, running(file.service(job(domain=f"origin.test:{port}"))) as service:
        async with service.tunnel(f"origin.test:{port}") as (reader, writer):
            os.kill(os.getpid(), signal.SIGTERM)
            await service.until_said("stopping")
            writer.write(b"still here")
            assert await asyncio.wait_for(reader.readexactly(10), DEADLINE_S) == b"still here"
            assert not service.task.done()
            writer.write_eof()
        await service.ended()


async def test_listener_is_closed_while_draining(file: File) -> None:
    async with (
        echo_origin() as port,
        running(file.service(job(domain=f"origin.test:{port}"))) as service,
        service.tunnel(f"origin.test:{port}"),
    ):
        os.kill(os.getpid(), signal.SIGINT)
        await service.until_said("stopping")
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            service.connected()


async def test_second_signal_ends_what_is_left(file: File) -> None:
    async with (
        echo_origin() as port,
        running(file.service(job(domain=f"origin.test:{port}"))) as service,
        service.tunnel(f"origin.test:{port}") as (reader, _),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        await service.until_said("stopping")
        os.kill(os.getpid(), signal.SIGTERM)
        await service.ended()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), DEADLINE_S)


async def test_drain_ends_with_its_time(file: File) -> None:
    async with (
        echo_origin() as port,
        running(file.service(job(domain=f"origin.test:{port}"), drain_s=0.0)) as service,
        service.tunnel(f"origin.test:{port}"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        await service.ended()


async def test_path_of_a_unix_listener_is_gone_afterwards(file: File, tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    async with running(file.service(job(listen=f"unix:{path}"))) as service:
        assert service.listen == {"train": f"unix:{path}"}
        assert path.is_socket()
    assert not path.exists()


async def test_listener_that_cannot_be_opened_ends_the_start(file: File, tmp_path: Path) -> None:
    first = job(id="first", listen=f"unix:{tmp_path}/first")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = job(id="second", listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ListenError, match=r"^job second: cannot listen on 127\.0\.0\.1:\d+: Address"):
            async with running(file.service(first, second)):
                pass
    assert not (tmp_path / "first").exists()


async def test_hangup_opens_the_log_anew_and_reloads(file: File) -> None:
    async with running(file.service(job())) as service:
        file.write(job(), job(id="second"))
        await service.reload()
        assert service.said == ["ready", "log", "reloading", "reloaded"]
        line = service.log.lines("policy")[-1]
        assert (line["action"], line["added"], line["changed"]) == ("reload", ["second"], [])


async def test_hangup_without_a_file_opens_the_log_alone(file: File) -> None:
    async with running(Service(file.service(job()).settings)) as service:
        os.kill(os.getpid(), signal.SIGHUP)
        await service.until_said("log")
        assert service.said == ["ready", "log"]


async def test_tunnel_that_stays_allowed_is_not_touched_by_a_reload(file: File) -> None:
    async with (
        echo_origin() as port,
        running(file.service(job(domain=f"origin.test:{port}"))) as service,
        service.tunnel(f"origin.test:{port}") as (reader, writer),
    ):
        file.write(job(domain=f".origin.test:{port}"), job(id="second"))
        await service.reload()
        writer.write(b"still here")
        assert await asyncio.wait_for(reader.readexactly(10), DEADLINE_S) == b"still here"


async def test_tunnel_that_a_reload_refuses_ends_revoked(file: File) -> None:
    async with echo_origin() as port, running(file.service(job(domain=f"origin.test:{port}"))) as service:
        async with service.tunnel(f"origin.test:{port}") as (reader, _):
            file.write(job(domain="other.test"))
            await service.reload()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(reader.readexactly(1), DEADLINE_S)
        await service.until(lambda: bool(service.log.closes))
        assert [line["reason"] for line in service.log.closes] == ["revoked"]


async def test_broken_file_changes_nothing(file: File) -> None:
    async with echo_origin() as port, running(file.service(job(domain=f"origin.test:{port}"))) as service:
        async with service.tunnel(f"origin.test:{port}") as (reader, writer):
            file.path.write_text("[[job]]\nid = 7\nlisten = 'nowhere'\n")
            await service.reload()
            (problem,) = service.problems
            assert problem.startswith("not reloaded, all stays as it was:\n")
            assert "job[0].id: expected a text" in problem
            assert "job[0].listen: write " in problem
            writer.write(b"still here")
            assert await asyncio.wait_for(reader.readexactly(10), DEADLINE_S) == b"still here"
        async with service.tunnel(f"origin.test:{port}"):
            pass
        assert [line["action"] for line in service.log.lines("policy")] == ["keep"]


async def test_changed_file_is_read_once_it_stands_still(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "TICK_S", 0.01)
    async with running(file.service(job(), watch=True)) as service:
        file.write(job(), job(id="second"))
        await service.until_said("reloaded")
        assert service.log.lines("policy")[-1]["added"] == ["second"]


async def test_changed_and_broken_file_is_told_of_once(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "TICK_S", 0.01)
    async with running(file.service(job(), watch=True)) as service:
        file.path.write_text("[[job")
        await service.until_said("reloaded")
        file.write(job())
        await service.until_said("reloaded", 2)
        assert len(service.problems) == 1


async def test_defect_of_a_background_task_is_told_and_ends_nothing() -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    async def fail() -> None:
        raise RuntimeError("a defect")

    async with background(fail()):
        await until(lambda: bool(told))
    assert told == ["a defect"]
