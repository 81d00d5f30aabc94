"""Log writer: whole lines, no waiting, bounded memory, counted losses, no thread left."""

from __future__ import annotations

import errno
import json
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from jobgate.proxy.logwriter import LogWriter

LINE = b'{"line":' + b"1" * 90 + b"}\n"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert "jobgate-log" not in [thread.name for thread in threading.enumerate()]


@contextmanager
def fifo() -> Iterator[tuple[int, str]]:
    """Reading end of a pipe, and a path that opens its writing end."""
    read_end, write_end = os.pipe()
    try:
        yield read_end, f"/proc/self/fd/{write_end}"
    finally:
        os.close(write_end)
        os.close(read_end)


@contextmanager
def standard_output() -> Iterator[tuple[int, str]]:
    """Reading end of a pipe whose writing end is descriptor 1 meanwhile."""
    read_end, write_end = os.pipe()
    saved = os.dup(1)
    os.dup2(write_end, 1)
    os.close(write_end)
    try:
        yield read_end, "-"
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(read_end)


Pipe = Callable[[], AbstractContextManager[tuple[int, str]]]

both_pipes = pytest.mark.parametrize("pipe", [fifo, standard_output], ids=["fifo", "stdout"])


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def read_until(fd: int, end: bytes) -> bytes:
    data = b""
    while end not in data:
        data += os.read(fd, 65_536)
    return data


def wait_for_drops(writer: LogWriter, count: int) -> None:
    while writer.dropped < count:
        time.sleep(0)


def test_lines_arrive_in_order_and_the_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    writer = LogWriter(str(path))
    for number in range(5_000):
        writer.write(b"%d\n" % number)
    writer.close()
    assert lines_of(path) == [b"old\n"] + [b"%d\n" % number for number in range(5_000)]
    assert (writer.dropped, writer.pending_bytes) == (0, 0)


@both_pipes
def test_lines_arrive_without_close(pipe: Pipe) -> None:
    with pipe() as (read_end, path):
        writer = LogWriter(path)
        for _ in range(2):
            writer.write(LINE)
            assert read_until(read_end, b"\n") == LINE
        writer.close()


def test_lines_of_a_moment_make_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = os.write

    def count(fd: int, data: bytes) -> int:
        writes.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(os, "write", count)
    writer = LogWriter(str(tmp_path / "log"))
    for _ in range(100):
        writer.write(LINE)
    writer.close()
    assert writes == [100 * len(LINE)]


@both_pipes
def test_pipe_gets_whole_lines_in_pieces_that_nobody_can_come_between(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        writes.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", note)
    oversized = b"x" * select.PIPE_BUF + b"\n"
    with pipe() as (read_end, path):
        writer = LogWriter(path)
        for line in (*[LINE] * 100, oversized, LINE, b"end\n"):
            writer.write(line)
        received = read_until(read_end, b"end\n")
        writer.close()
    assert received == LINE * 100 + oversized + LINE + b"end\n"
    assert [data for data in writes if not data.endswith(b"\n")] == [oversized[:-1]]
    assert all(len(data) <= select.PIPE_BUF for data in writes)


def test_open_of_an_impossible_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogWriter(str(tmp_path / "missing" / "log"))


def test_writer_without_lines_starts_no_thread(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"))
    assert "jobgate-log" not in [thread.name for thread in threading.enumerate()]
    writer.close()
    writer.close()


def test_write_after_close_is_counted(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"))
    writer.close()
    writer.write(LINE)
    assert writer.dropped == 1


def test_standard_output_keeps_its_flags_and_stays_open() -> None:
    with standard_output() as (read_end, path):
        writer = LogWriter(path)
        writer.write(LINE)
        writer.reopen()
        assert read_until(read_end, b"\n") == LINE
        writer.close()
        assert os.get_blocking(1)
        assert os.write(1, b"job\n") == 4


@both_pipes
def test_blocked_pipe_costs_bounded_memory_and_the_count_is_logged(pipe: Pipe) -> None:
    with pipe() as (read_end, path):
        writer = LogWriter(path, max_pending_bytes=100_000, clock_wall=lambda: 0.0)
        for _ in range(5_000):
            writer.write(LINE)
            assert writer.pending_bytes <= 100_000
        assert writer.dropped > 0
        lines = read_until(read_end, b'"lines"').splitlines(keepends=True)
        writer.close()
    dropped = json.loads(lines.pop())
    assert set(lines) == {LINE}
    assert dropped == {
        "v": 1,
        "ts": "1970-01-01T00:00:00.000Z",
        "event": "dropped",
        "job": None,
        "lines": 5_000 - len(lines),
    }


@both_pipes
def test_close_gives_up_on_a_blocked_pipe(pipe: Pipe) -> None:
    with pipe() as (_, path):
        writer = LogWriter(path)
        for _ in range(5_000):
            writer.write(LINE)
        writer.close(timeout_s=0.05)
        assert writer.dropped > 4_000
        assert writer.pending_bytes == 0


def test_reader_that_has_gone_makes_counted_losses() -> None:
    read_end, write_end = os.pipe()
    writer = LogWriter(f"/proc/self/fd/{write_end}")
    os.close(write_end)
    os.close(read_end)
    writer.write(LINE)
    writer.close()
    assert writer.dropped == 1


def test_full_disk_drops_whole_lines_and_logs_the_count_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    writer = LogWriter(str(path), clock_wall=lambda: 0.0)
    for _ in range(3):
        writer.write(LINE)
    wait_for_drops(writer, 3)
    path.unlink()
    writer.reopen()
    writer.write(LINE)
    writer.close()
    dropped, line = sorted(lines_of(path), key=len)
    assert json.loads(dropped)["lines"] == 3
    assert line == LINE


def test_reopen_goes_on_in_the_new_file_without_losing_a_line(tmp_path: Path) -> None:
    path, rotated = tmp_path / "log", tmp_path / "log.1"
    writer = LogWriter(str(path))
    writer.write(b"before\n")
    path.rename(rotated)
    writer.reopen()
    writer.write(b"after\n")
    writer.close()
    assert sorted(lines_of(path) + (lines_of(rotated))) == [b"after\n", b"before\n"]
    assert b"after\n" in lines_of(path)


def test_reopen_before_the_first_line_uses_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(str(path))
    path.unlink()
    writer.reopen()
    writer.write(LINE)
    writer.close()
    assert lines_of(path) == [LINE]


def test_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    writer = LogWriter(str(directory / "log"))
    moved = directory.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        writer.reopen()
    writer.write(LINE)
    writer.close()
    assert lines_of(moved / "log") == [LINE]


def test_reopen_frees_a_writer_that_is_blocked(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with fifo() as (_, blocked):
        path.symlink_to(blocked)
        writer = LogWriter(str(path))
        for _ in range(5_000):
            writer.write(LINE)
        path.unlink()
        writer.reopen()
        writer.close()
    assert LINE in lines_of(path)


def test_line_cut_by_a_full_disk_is_completed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 bytes fit, then nothing for two attempts, then all."""
    path = tmp_path / "log"
    write = os.write
    full = [OSError(errno.ENOSPC, "full"), OSError(errno.ENOSPC, "full")]
    fitted: list[int] = []

    def cramped(fd: int, data: bytes) -> int:
        if not fitted:
            fitted.append(3)
            return write(fd, data[:3])
        if full:
            raise full.pop()
        return write(fd, data)

    monkeypatch.setattr(os, "write", cramped)
    writer = LogWriter(str(path))
    writer.write(b"first\n")
    writer.write(b"second\n")
    wait_for_drops(writer, 1)
    while full:
        writer.write(b"third\n")
        time.sleep(0)
    writer.write(b"last\n")
    writer.close()
    lines = lines_of(path)
    assert lines[0] == b"first\n"
    assert b"last\n" in lines
    assert all(line in {b"first\n", b"third\n", b"last\n"} or json.loads(line)["lines"] for line in lines)


def test_write_that_would_block_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    write = os.write
    blocked = [BlockingIOError(errno.EAGAIN, "later")]

    def busy(fd: int, data: bytes) -> int:
        if blocked:
            raise blocked.pop()
        return write(fd, data)

    monkeypatch.setattr(os, "write", busy)
    writer = LogWriter(str(path))
    writer.write(LINE)
    writer.close()
    assert lines_of(path) == [LINE]
