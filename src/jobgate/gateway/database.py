"""The state file: SQLite with a schema version, its migrations, and its errors in an operator's words (edge).

Used by one thread, the store's. Write-ahead logging lets two processes use the file at once, as
they do during an upgrade; counters are therefore added to, never set.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from jobgate.proxy.usage import JobCounters

from .stored import Stored, StoredJob, StoreError

#: Another process that writes is waited for this long; it needs a millisecond.
BUSY_S = 2.0
#: Counters of a job that the file no longer has are kept this long, in case it comes back.
KEEP_S = 30 * 86400.0
#: In the file's head, so that nobody else's database is taken for ours.
APPLICATION_ID = 0x6A6F6267

MIGRATIONS = (
    """
    CREATE TABLE job (
        id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        token_hash BLOB,
        created_at REAL NOT NULL,
        listen TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE usage (
        id TEXT PRIMARY KEY,
        bytes_up INTEGER NOT NULL,
        bytes_down INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        started_at REAL NOT NULL,
        left_at REAL
    );
    """,
)
"""Scripts that lead from one schema version to the next; a published one never changes."""

_ADD = """
    INSERT INTO usage (id, bytes_up, bytes_down, requests, refused, started_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        bytes_up = bytes_up + excluded.bytes_up,
        bytes_down = bytes_down + excluded.bytes_down,
        requests = requests + excluded.requests,
        refused = refused + excluded.refused
"""

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_READONLY: "it is read-only: make the file and its folder writable for this user",
    sqlite3.SQLITE_PERM: "it is not ours: make the file and its folder writable for this user",
    sqlite3.SQLITE_BUSY: "another process keeps it locked: end that process",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked: end that process",
    sqlite3.SQLITE_CORRUPT: "it is damaged: put a copy back, or move it away to begin without jobs",
    sqlite3.SQLITE_NOTADB: "it is no database: name another file in [state] path, or move this one away",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see that its folder exists and is writable for this user",
    sqlite3.SQLITE_IOERR: "it cannot be read or written: see to the disk and its quota",
}


class Database:
    """An open state file.

    Raises:
        StoreError: It cannot be opened, is damaged, is somebody else's, or of a newer version.
    """

    def __init__(self, path: str, *, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._path = path
        with self._errors("open"):
            _create(path)
            # A whole path is never one of SQLite's special names, such as ":memory:".
            self._connection = sqlite3.connect(os.path.abspath(path), timeout=BUSY_S, isolation_level=None)
        try:
            with self._errors("open"):
                self._check()
                self._migrate(migrations)
        except StoreError:
            self._connection.close()
            raise

    def load(self, known: Collection[str], now: float) -> Stored:
        """Read everything; drop the counters of jobs that have long been gone.

        Args:
            known: Ids of the jobs of the configuration file.
            now: Seconds since the epoch.
        """
        with self._transaction("read") as connection:
            jobs = [
                StoredJob(job_id, json.loads(document), token_hash, created_at, listen)
                for job_id, document, token_hash, created_at, listen in connection.execute(
                    "SELECT id, document, token_hash, created_at, listen FROM job ORDER BY id"
                )
            ]
            self._age({*known, *(job.id for job in jobs)}, now)
            rows = connection.execute(
                "SELECT id, bytes_up, bytes_down, requests, refused, started_at FROM usage"
            )
            return Stored(jobs, {row[0]: JobCounters(*row[1:]) for row in rows})

    def put_job(self, job: StoredJob) -> None:
        """Write a job, in place of the one of its id."""
        document = json.dumps(dict(job.document), sort_keys=True)
        with self._transaction("write", durable=True) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO job (id, document, token_hash, created_at, listen) "
                "VALUES (?, ?, ?, ?, ?)",
                (job.id, document, job.token_hash, job.created_at, job.listen),
            )

    def remove_jobs(self, job_ids: Iterable[str], *, counters: bool) -> None:
        """Forget jobs, with their counters or without."""
        ids = [(job_id,) for job_id in job_ids]
        with self._transaction("write", durable=True) as connection:
            connection.executemany("DELETE FROM job WHERE id = ?", ids)
            if counters:
                connection.executemany("DELETE FROM usage WHERE id = ?", ids)

    def add_counters(self, deltas: Mapping[str, JobCounters]) -> None:
        """Add to the counters of jobs; the first addition says when the job started."""
        with self._transaction("write") as connection:
            connection.executemany(_ADD, [(job_id, *delta) for job_id, delta in deltas.items()])

    def close(self) -> None:
        """Close the file; the last process that does folds the log of changes into it."""
        self._connection.close()

    # --- inside -----------------------------------------------------------------------

    def _check(self) -> None:
        """See that the file is ours, sound, and can be shared."""
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and self._pragma("application_id") != APPLICATION_ID:
            raise StoreError(f"cannot open {self._path}: it is another program's database: name another file")
        if self._pragma("quick_check") != "ok":
            raise StoreError(f"cannot open {self._path}: {_REMEDIES[sqlite3.SQLITE_CORRUPT]}")
        if self._pragma("journal_mode = wal") != "wal":
            raise StoreError(f"cannot open {self._path}: no write-ahead log there: put it on a local disk")

    def _migrate(self, migrations: Sequence[str]) -> None:
        """Bring the schema to this program's version, whole or not at all."""
        newest = len(migrations)
        with self._transaction("open", durable=True) as connection:
            version = self._pragma("user_version")
            if not isinstance(version, int) or version > newest:
                raise StoreError(
                    f"cannot open {self._path}: its schema has version {version} and this program knows "
                    f"{newest}: run the newer program, or put back a copy from before it"
                )
            if version == newest:
                return
            for statement in ";".join(migrations[version:]).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {newest}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _age(self, present: Collection[str], now: float) -> None:
        """Note which counters belong to no job, and forget those that have for long."""
        rows = self._connection.execute("SELECT id, left_at FROM usage").fetchall()
        back = [(job_id,) for job_id, left_at in rows if job_id in present and left_at is not None]
        left = [(now, job_id) for job_id, left_at in rows if job_id not in present and left_at is None]
        self._connection.executemany("UPDATE usage SET left_at = NULL WHERE id = ?", back)
        self._connection.executemany("UPDATE usage SET left_at = ? WHERE id = ?", left)
        self._connection.execute("DELETE FROM usage WHERE left_at < ?", (now - KEEP_S,))

    def _pragma(self, pragma: str) -> object:
        """Ask for, or set, one property of the file; returns what it is."""
        value: object = self._connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        return value

    @contextmanager
    def _transaction(self, verb: str, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Make what is inside happen whole or not at all.

        A process that is killed loses nothing that was committed. ``durable`` keeps it through a loss
        of power as well, at the price of waiting for the disk.
        """
        with self._errors(verb):
            self._connection.execute(f"PRAGMA synchronous = {'full' if durable else 'normal'}")
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self._connection

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        """Say what was tried, with which file, and what to do."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells details
            raise StoreError(f"cannot {verb} {self._path}: {_REMEDIES.get(code, error)}") from error
        except OSError as error:
            raise StoreError(f"cannot {verb} {self._path}: {error.strerror}") from error
        except json.JSONDecodeError as error:
            remedy = _REMEDIES[sqlite3.SQLITE_CORRUPT]
            raise StoreError(f"cannot {verb} {self._path}: {remedy}") from error


def _create(path: str) -> None:
    """Create the file for its owner alone: it has hashes of tokens in it."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
