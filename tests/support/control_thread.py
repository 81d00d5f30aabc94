"""A control API on TCP in a thread with its own loop, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import uvloop

from .control import FILE_JOB, NODE, control_api
from .registry import DOCUMENT
from .wait import DEADLINE_S

TOKEN = "token-of-the-control-api"


@contextmanager
def control_thread(folder: Path) -> Iterator[str]:
    """Serve a job of a file, ``filed``, and one of the API, ``a``; gives the base of the URLs."""
    started: Future[str] = Future()
    stop = threading.Event()

    async def serve() -> None:
        file = folder / "gate.toml"
        async with control_api(folder, NODE + FILE_JOB, token=TOKEN, tcp=True, file=file) as api:
            await api.world.registry.put("a", DOCUMENT)
            started.set_result(f"http://{api.control}")
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    thread = threading.Thread(target=run, name="control-api", daemon=True)
    thread.start()
    try:
        yield started.result(DEADLINE_S)
    finally:
        stop.set()
        thread.join(DEADLINE_S)
