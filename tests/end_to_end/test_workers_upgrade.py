"""A gateway of several processes is replaced while it serves, and nobody who uses it notices."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from jobgate.gateway.upgrade import meet
from support.busy import Load, Talk
from support.crew import is_alive
from support.serve import Served
from support.succession import Gateway, serving
from support.wait import until_seen

PATIENCE_S = 20.0


def ended(process: Served) -> bool:
    return process.process.poll() is not None


def workers(process: Served) -> list[int]:
    ready: dict[str, Any] = process.line_with(event="ready")
    return list(ready["workers"])


async def test_two_take_overs_under_load_are_noticed_by_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=2) as gateway:
        load = Load(gateway.listener, gateway.origin)
        load.start(tunnels=2, downloads=1, kept=2)
        await load.reach("request", 10)
        for turn in range(2):
            await gateway.take_over()
            await load.reach("close", 2 * (turn + 1))  # each kept connection has moved to the new process
            await load.reach("tunnel", load.done["tunnel"] + 20)
        await load.end()
        assert load.failures == []
        await until_seen(lambda: all(map(ended, gateway.processes[:2])))
        assert not any(is_alive(pid) for process in gateway.processes[:2] for pid in workers(process))
    assert [process.process.returncode for process in gateway.processes] == [0, 0, 0]
    lines = [line for process in gateway.processes for line in process.lines]
    decided, closed = (
        sorted(str(line["id"]) for line in lines if line["event"] == event) for event in ("decision", "close")
    )
    assert decided == closed
    assert {line["reason"] for line in lines if line["event"] == "close"} == {"done"}


async def test_changes_hold_for_connections_of_the_old_workers(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=2) as gateway:
        async with Talk.opened(gateway.listener, gateway.origin) as talk:
            new = await gateway.take_over()
            await talk.say(1000)
            gateway.configure(deny='"o.test"')
            new.process.send_signal(signal.SIGHUP)
            assert await talk.is_cut()
        await until_seen(lambda: ended(gateway.processes[0]))
        assert gateway.processes[0].line_with(event="close")["reason"] == "revoked"


async def test_new_process_that_dies_after_go_is_replaced_by_the_old_workers(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=2) as gateway:
        found = await meet(gateway.path)
        assert found is not None
        await found.detach()
        found.close()
        async with asyncio.timeout(PATIENCE_S), Talk.opened(gateway.listener, gateway.origin) as talk:
            await talk.say(1000)
        await gateway.take_over()


async def test_worker_that_dies_while_it_drains_is_not_started_again(tmp_path: Path) -> None:
    async with serving(tmp_path, workers=2) as gateway:
        old = gateway.processes[0]
        async with Talk.opened(gateway.listener, gateway.origin) as talk:
            await gateway.take_over()
            await talk.say(1000)
            for pid in workers(old):
                os.kill(pid, signal.SIGKILL)
            await talk.is_cut()
            await until_seen(lambda: ended(old))
        assert old.line_with(event="worker")["restart_s"] is None
        await talk_again(gateway)


async def talk_again(gateway: Gateway) -> None:
    async with Talk.opened(gateway.listener, gateway.origin) as talk:
        await talk.say(1000)


async def test_one_process_is_followed_by_several_and_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        for count in (2, 1):
            async with Talk.opened(gateway.listener, gateway.origin) as talk:
                await talk.say(10)
                gateway.configure(workers=str(count))
                await gateway.take_over()
                await talk.say(1000)
            await talk_again(gateway)
        await until_seen(lambda: all(map(ended, gateway.processes[:2])))
