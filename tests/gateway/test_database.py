from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from jobgate.gateway import database as database_module
from jobgate.gateway.database import APPLICATION_ID, KEEP_S, MIGRATIONS, Database
from jobgate.gateway.stored import StoredJob, StoreError
from jobgate.proxy.usage import JobCounters

JOB = StoredJob("train", {"id": "train", "domains": ["a.test"]}, b"\x01" * 32, 1000.5, "127.0.0.1:3128")
COUNTED = JobCounters(10, 20, 3, 1, 999.0)
NOW = 1_800_000_000.0


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    with closing(Database(str(path))) as database:
        yield database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_jobs_are_there_after_it_was_closed(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database.put_job(JOB._replace(id="other", token_hash=None, listen=""))
    with opened(path) as database:
        stored = database.load((), NOW)
    assert stored.jobs == [JOB._replace(id="other", token_hash=None, listen=""), JOB]
    assert stored.counters == {}


def test_every_name_is_that_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Path(":memory:")) as database:
        database.put_job(JOB)
    with opened(tmp_path / ":memory:") as database:
        assert database.load((), NOW).jobs == [JOB]


def test_job_is_replaced_by_its_id(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database.put_job(JOB._replace(document={"id": "train"}, token_hash=None))
        assert database.load((), NOW).jobs == [JOB._replace(document={"id": "train"}, token_hash=None)]


def test_counters_of_two_processes_add_up(path: Path) -> None:
    with opened(path) as first, opened(path) as second:
        first.add_counters({"train": COUNTED})
        second.add_counters({"train": COUNTED._replace(started_at=5000.0), "other": COUNTED})
        first.add_counters({"train": JobCounters(-4, 0, 1, 0, 999.0)})
        assert second.load((), NOW).counters == {"train": JobCounters(16, 40, 7, 2, 999.0), "other": COUNTED}


def test_removed_job_is_gone_with_its_counters(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database.add_counters({"train": COUNTED, "other": COUNTED})
        database.remove_jobs(["train"], counters=True)
        assert database.load((), NOW) == ([], {"other": COUNTED})


def test_removed_job_may_leave_its_counters(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database.add_counters({"train": COUNTED})
        database.remove_jobs(["train"], counters=False)
        assert database.load((), NOW) == ([], {"train": COUNTED})


def test_counters_without_a_job_are_kept_for_a_while(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database.add_counters({"train": COUNTED, "in file": COUNTED, "back": COUNTED, "gone": COUNTED})
        database.load(["in file"], NOW)
        assert set(database.load(["in file", "back"], NOW + KEEP_S).counters) == {
            "train",
            "in file",
            "back",
            "gone",
        }
        later = NOW + KEEP_S + 1
        assert set(database.load(["in file"], later).counters) == {"train", "in file", "back"}
        assert set(database.load(["in file"], later + KEEP_S + 1).counters) == {"train", "in file"}


def test_file_is_for_its_owner_alone(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["state.db", "state.db-shm", "state.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_older_version_is_brought_forward(path: Path) -> None:
    with closing(Database(str(path), migrations=MIGRATIONS[:1])) as old:
        old.put_job(JOB)
    assert version_of(path) == 1
    with opened(path) as database:
        database.add_counters({"train": COUNTED})
        assert database.load((), NOW) == ([JOB], {"train": COUNTED})
    assert version_of(path) == len(MIGRATIONS) == 2


def test_step_that_fails_leaves_the_version_before(path: Path) -> None:
    with closing(Database(str(path))) as database:
        database.put_job(JOB)
    with pytest.raises(StoreError, match=rf"^cannot open {path}: no such table: missing$"):
        Database(
            str(path),
            migrations=(*MIGRATIONS, "CREATE TABLE half (id TEXT); INSERT INTO missing VALUES (1)"),
        )
    assert version_of(path) == 2
    with opened(path) as database:
        assert database.load((), NOW).jobs == [JOB]


def test_newer_version_is_refused(path: Path) -> None:
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    message = f"cannot open {path}: its schema has version 7 and this program knows 2: run the newer program"
    with pytest.raises(StoreError, match=rf"^{message}, or put back a copy from before it$"):
        Database(str(path))
    assert version_of(path) == 7


def test_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE moz_places (id)")
    with pytest.raises(StoreError, match=rf"^cannot open {path}: it is another program's database: name "):
        Database(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[[job]]\nid = 'a'\n" * 100, "it is no database: name another file in [state] path, or move"),
        (b"SQLite format 3\0" + b"\xff" * 4096, "it is no database: name another file in [state] path"),
    ],
    ids=["a text", "a bad head"],
)
def test_file_that_is_no_database_is_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        Database(str(path))
    assert str(caught.value).startswith(f"cannot open {path}: {message}")
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [(4096, os.urandom(2 * 4096)), (4 * 4096, b"\xff" * 8)],
    ids=["what must be read", "what only a check sees"],
)
def test_damaged_file_is_refused(path: Path, damage: tuple[int, bytes]) -> None:
    with opened(path) as database:
        for number in range(200):
            database.put_job(JOB._replace(id=f"job-{number}"))
    start, noise = damage
    content = bytearray(path.read_bytes())
    content[start : start + len(noise)] = noise
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"^cannot open {path}: it is damaged: put a copy back, or move it"):
        Database(str(path))


def test_document_that_is_no_json_is_damage(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE job SET document = '{'")
    with opened(path) as database, pytest.raises(StoreError, match=rf"^cannot read {path}: it is damaged"):
        database.load((), NOW)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.parent.write_text(""), "Not a directory"),
        (lambda path: path.mkdir(parents=True), "Is a directory"),
    ],
    ids=["no folder", "a file as folder", "a folder"],
)
def test_path_that_cannot_be_opened_is_named(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "folder" / "state.db"
    assert callable(make)
    make(path)
    with pytest.raises(StoreError, match=rf"^cannot open {path}: {message}$"):
        Database(str(path))


def test_locked_file_is_waited_for_and_then_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_S", 0.01)
    with opened(path) as database, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=rf"^cannot write {path}: another process keeps it locked: end"):
            database.put_job(JOB)
        other.execute("ROLLBACK")
        database.put_job(JOB)
        assert database.load((), NOW).jobs == [JOB]


def test_full_disk_is_named_and_nothing_is_half_written(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        large = JOB._replace(id="large", document={"labels": "x" * 200_000})
        with file_size_limit(100_000), pytest.raises(StoreError) as caught:
            database.put_job(large)
        assert str(caught.value) == (
            f"cannot write {path}: it cannot be read or written: see to the disk and its quota"
        )
        assert database.load((), NOW).jobs == [JOB]
        database.put_job(large)
        assert [job.id for job in database.load((), NOW).jobs] == ["large", "train"]


def test_full_file_system_is_named(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database._connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(StoreError, match=rf"^cannot write {path}: the disk is full: make room$"):
            database.put_job(JOB._replace(id="large", document={"labels": "x" * 200_000}))
        assert database.load((), NOW).jobs == [JOB]


def test_file_that_became_read_only_is_named(path: Path) -> None:
    with opened(path) as database:
        database.put_job(JOB)
        database._connection.execute("PRAGMA query_only = on")
        with pytest.raises(StoreError, match=rf"^cannot write {path}: it is read-only: make the file and"):
            database.put_job(JOB._replace(id="other"))


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Stand in for a disk that is full once a file has this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
