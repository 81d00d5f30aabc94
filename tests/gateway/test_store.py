from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobgate.gateway.database import Database
from jobgate.gateway.store import Store
from jobgate.gateway.stored import StoredJob, StoreError
from jobgate.proxy.usage import JobCounters
from support.serve import ENVIRONMENT

JOB = StoredJob("train", {"id": "train"}, None, 1000.5, "")
COUNTED = JobCounters(10, 20, 3, 1, 999.0)


@asynccontextmanager
async def store_at(path: str) -> AsyncIterator[Store]:
    store = Store(path)
    try:
        yield store
    finally:
        await store.close()


async def test_what_is_kept_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = f"{tmp_path}/state.db"
    async with store_at(path) as store:
        assert await store.load(()) == ([], {})
        await store.put_job(JOB)
        await store.put_job(JOB._replace(id="other"))
        await store.add_counters({"train": COUNTED})
        await store.remove_jobs(["other"])
    async with store_at(path) as store:
        assert await store.load(()) == ([JOB], {"train": COUNTED})


async def test_without_a_path_nothing_is_kept() -> None:
    async with store_at("") as store:
        await store.put_job(JOB)
        await store.add_counters({"train": COUNTED})
        await store.remove_jobs(["train"])
        assert await store.load(()) == ((), {})
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("jobgate-store")]


async def test_file_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("[[job]]")
    async with store_at(f"{tmp_path}/state.db") as store:
        with pytest.raises(StoreError, match="it is no database"):
            await store.load(())


async def test_loop_goes_on_while_the_disk_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes wait behind one another, and the loop for none of them."""
    released = threading.Event()
    put_job = Database.put_job

    def slow(self: Database, job: StoredJob) -> None:
        assert released.wait(10)
        put_job(self, job)

    monkeypatch.setattr(Database, "put_job", slow)
    async with store_at(f"{tmp_path}/state.db") as store:
        await store.load(())
        first, second = (asyncio.create_task(store.put_job(JOB._replace(id=id))) for id in ("a", "b"))
        await asyncio.sleep(0)
        assert not first.done()
        released.set()
        await asyncio.gather(first, second)
    async with store_at(f"{tmp_path}/state.db") as store:
        assert [job.id for job in (await store.load(())).jobs] == ["a", "b"]


def test_whoever_keeps_nothing_does_not_load_sqlite() -> None:
    program = (
        "import asyncio, sys; from jobgate.gateway.store import Store\n"
        "store = Store(''); asyncio.run(store.load(())); print('sqlite3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
