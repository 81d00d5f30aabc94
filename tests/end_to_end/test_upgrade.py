"""A gateway is replaced while it serves: nobody who uses it notices."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from jobgate.gateway.upgrade import Predecessor, meet
from support.busy import Load, Talk, busy_origin
from support.serve import COMMAND, ENVIRONMENT, Served
from support.succession import BURST_BYTES, RATE_BYTES_PER_S, Gateway, serving
from support.wait import until

#: Starts a command with a socket as systemd does: as descriptor 3, and for this very process.
ACTIVATE = [
    sys.executable,
    "-c",
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n",
]


@asynccontextmanager
async def loaded(gateway: Gateway) -> AsyncIterator[Load]:
    """Load it inside the block; nobody may notice anything of what happens there."""
    load = Load(gateway.listener, gateway.origin)
    load.start(tunnels=4, downloads=2, kept=2)
    await load.reach("request", 10)
    yield load
    await load.end()
    assert load.failures == []


def ended(process: Served) -> bool:
    return process.process.poll() is not None


async def met(gateway: Gateway) -> Predecessor:
    """Be the new process."""
    found = await meet(gateway.path)
    assert found is not None
    return found


async def test_three_take_overs_under_load_are_noticed_by_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        started = time.monotonic()
        async with loaded(gateway) as load:
            for turn in range(3):
                await gateway.take_over()
                await load.reach("close", 2 * (turn + 1))  # each kept connection has moved to the new process
                await load.reach("tunnel", load.done["tunnel"] + 50)
        elapsed_s = time.monotonic() - started
        await until(lambda: all(map(ended, gateway.processes[:3])))
    assert load.done["download"] >= 2
    assert load.downloaded_bytes <= RATE_BYTES_PER_S * elapsed_s + 4 * BURST_BYTES
    assert [process.process.returncode for process in gateway.processes] == [0, 0, 0, 0]
    assert {process.listeners["train"] for process in gateway.processes} == {gateway.listener}
    lines = [line for process in gateway.processes for line in process.lines]
    decided, closed = (
        [str(line["id"]) for line in lines if line["event"] == event] for event in ("decision", "close")
    )
    assert sorted(decided) == sorted(closed)
    assert {line["reason"] for line in lines if line["event"] == "close"} == {"done"}


async def test_new_process_with_a_broken_configuration_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway, loaded(gateway) as load:
        gateway.configure("nonsense = 1\n")
        done = await gateway.failed_take_over()
        assert (done.returncode, "unknown key" in done.stderr) == (2, True)
        await load.reach("tunnel", load.done["tunnel"] + 50)
        assert load.done["close"] == 0


async def test_new_process_that_cannot_listen_changes_nothing(tmp_path: Path) -> None:
    job = '[[job]]\nid = "more"\nlisten = "127.0.0.1:{}"\nnetwork = "http"\ndomains = ["o.test"]\n'
    async with serving(tmp_path) as gateway, loaded(gateway) as load:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gateway.configure(job.format(taken.getsockname()[1]))
            done = await gateway.failed_take_over()
        assert (done.returncode, "Address already in use" in done.stderr) == (1, True)
        await load.reach("tunnel", load.done["tunnel"] + 50)
        assert load.done["close"] == 0
        gateway.configure()
        await gateway.take_over()
        await load.reach("close", 2)


async def test_new_process_that_dies_right_before_it_says_go_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway, loaded(gateway) as load:
        (await met(gateway)).close()
        await load.reach("tunnel", load.done["tunnel"] + 50)
        assert load.done["close"] == 0


async def test_new_process_that_dies_right_after_it_said_go_is_replaced_by_the_old_one(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway, loaded(gateway) as load:
        found = await met(gateway)
        await found.detach()
        found.close()
        await load.reach("tunnel", load.done["tunnel"] + 50)
        await gateway.take_over()
        await load.reach("tunnel", load.done["tunnel"] + 50)
    assert [process.process.poll() for process in gateway.processes] == [0, 0]


async def test_connections_of_the_old_process_outlive_the_new_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        async with Talk.opened(gateway.listener, gateway.origin) as talk:
            new = await gateway.take_over()
            new.process.kill()
            await until(lambda: ended(new))
            await talk.say(1000)
        await until(lambda: ended(gateway.processes[0]))
    assert gateway.processes[0].process.returncode == 0


async def test_policy_of_the_new_process_holds_for_connections_of_the_old_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        async with Talk.opened(gateway.listener, gateway.origin) as talk:
            new = await gateway.take_over()
            await talk.say(1000)
            gateway.configure(deny='"o.test"')
            new.process.send_signal(signal.SIGHUP)
            assert await talk.is_cut()
        await until(lambda: ended(gateway.processes[0]))
        assert gateway.processes[0].line_with(event="close")["reason"] == "revoked"


async def test_configuration_of_the_new_process_holds_for_connections_of_the_old_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway, Talk.opened(gateway.listener, gateway.origin) as talk:
        gateway.configure(deny='"o.test"')
        await gateway.take_over()
        assert await talk.is_cut()


async def test_jobs_of_the_api_and_their_counters_go_along_without_a_state_file(tmp_path: Path) -> None:
    job = {"network": "http", "listen": "127.0.0.1:0", "tls": "any"}
    async with serving(tmp_path) as gateway:
        put = await gateway.api("PUT", "jobs/api", {**job, "domains": [f"o.test:{gateway.origin}"]})
        listener = str(put["listen"])
        async with Talk.opened(listener, gateway.origin) as short:
            await short.say(1000)
        async with Talk.opened(listener, gateway.origin) as talk:
            await gateway.take_over()
            shown = await gateway.api("GET", "jobs/api")
            assert shown["listen"] == listener
            assert shown["live"]["requests"] == 2  # type: ignore[index]
            await talk.say(1000)
            async with Talk.opened(listener, gateway.origin) as other:
                await other.say(1000)
            await gateway.api("DELETE", "jobs/api")
            assert await talk.is_cut()


async def test_old_process_cuts_what_is_left_when_it_may_not_wait_longer(tmp_path: Path) -> None:
    async with serving(tmp_path, limit_s=0.2) as gateway:
        async with Talk.opened(gateway.listener, gateway.origin) as talk:
            await gateway.take_over()
            assert await talk.is_cut()
        await until(lambda: ended(gateway.processes[0]))
        assert gateway.processes[0].line_with(event="close")["reason"] == "drained"


async def test_unix_listener_keeps_its_path(tmp_path: Path) -> None:
    path = tmp_path / "job.sock"
    async with serving(tmp_path, listen=f"unix:{path}") as gateway:
        inode = path.stat().st_ino
        await gateway.take_over()
        await until(lambda: ended(gateway.processes[0]))
        assert path.stat().st_ino == inode
        async with Talk.opened(gateway.listener, gateway.origin) as talk:
            await talk.say(1000)
    assert not path.exists()


async def test_process_where_nobody_serves_begins_alone(tmp_path: Path) -> None:
    async with busy_origin() as origin, AsyncExitStack() as stack:
        gateway = Gateway(tmp_path, origin, stack, "127.0.0.1:0", 0.0)
        gateway.configure()
        await gateway.take_over()
        async with Talk.opened(gateway.listener, origin) as talk:
            await talk.say(1000)
        assert os.stat(gateway.path.path).st_mode & 0o777 == 0o600


async def test_service_manager_is_told_who_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.setblocking(False)
        monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", f"{tmp_path}/notify")
        async with serving(tmp_path) as gateway:
            await gateway.take_over()
            await until(lambda: ended(gateway.processes[0]))
            told = [manager.recv(100) for _ in range(2)]
            assert told == [b"MAINPID=%d\nREADY=1" % process.process.pid for process in gateway.processes]
            with pytest.raises(BlockingIOError):
                manager.recv(100)  # the old process is not the service, and does not say that it stops


async def test_listeners_of_the_service_manager_are_used(tmp_path: Path) -> None:
    """A restart loses no connection: the manager holds the listener, whose backlog waits."""
    async with busy_origin() as origin, AsyncExitStack() as stack:
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        host, port = sock.getsockname()
        Gateway(tmp_path, origin, stack, f"{host}:{port}", 0.0).configure()
        for _ in range(2):
            talk = asyncio.ensure_future(_talk_once(f"{host}:{port}", origin))  # before anybody serves
            command = [*COMMAND, "serve", "--config", str(tmp_path / "jobgate.toml"), "--log", "/dev/null"]
            process = await asyncio.create_subprocess_exec(
                *ACTIVATE, str(sock.fileno()), *command, pass_fds=[sock.fileno()], env=ENVIRONMENT
            )
            await talk
            process.terminate()
            assert await process.wait() == 0


async def _talk_once(listener: str, origin: int) -> None:
    async with Talk.opened(listener, origin) as talk:
        await talk.say(1000)
